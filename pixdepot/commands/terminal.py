"""How every command speaks with whoever runs it: settings, results, bars, and what went wrong.

A command ends with 0 when all is done, with 1 when something failed, with 2 when it was called wrongly. Results go
to standard output; bars, logs and errors to standard error.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from service.errors import PixdepotError
from service.settings import Settings, SettingsError

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

T = TypeVar("T")

# Prints a result: its text, or the result itself as one line of JSON.
Tell = Callable[[Any, str], None]


def settings() -> Settings:
    """Return the settings of the environment; one that cannot be meant ends the command."""
    try:
        return Settings.from_env(os.environ)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error


def run(work: Coroutine[Any, Any, T], *also: type[Exception]) -> T:
    """Run to the end; what the person at the terminal can mend, `also` these errors, is told in a line."""
    told: tuple[type[Exception], ...] = (SettingsError, PixdepotError, OSError, *also)
    try:
        return asyncio.run(work)
    except BrokenPipeError:
        raise  # whoever read the results has enough; click ends quietly
    except told as error:
        raise click.ClickException(str(error)) from error


def reason(error: Exception) -> str:
    """Return why one of several things failed, as it is told beside its name."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def printing(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command the option --json, and as `tell` what prints its results."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")
    @wraps(command)
    def with_tell(*args: Any, as_json: bool, **options: Any) -> T:
        def tell(result: Any, text: str) -> None:
            click.echo(_as_json(result) if as_json else text)

        return command(*args, tell=tell, **options)

    return with_tell


def _as_json(result: Any) -> str:
    facts: Mapping[str, Any] = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    return json.dumps(facts, ensure_ascii=False, default=_written)


def _written(value: object) -> str:
    """Return a time as the API writes it, and anything else as text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)


def bars(*columns: "ProgressColumn | str") -> "Progress":
    """Return bars that are drawn where standard error is a terminal, and are gone when the work is done."""
    from rich.console import Console
    from rich.progress import Progress

    return Progress(
        *(columns or Progress.get_default_columns()),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
        # On one terminal results are written above the bars; elsewhere they are no business of the bars.
        redirect_stdout=sys.stdout.isatty(),
    )


class Transfers:
    """A bar for all bytes, and one for each file that is under way."""

    def __init__(self, progress: "Progress", total: int) -> None:
        self._progress, self._total = progress, total
        self._all = progress.add_task("All", total=total)

    def expect(self, more: int) -> None:
        """Let there be so many bytes more, where they were not all known at first."""
        self._total += more
        self._progress.update(self._all, total=self._total)

    @contextmanager
    def file(self, name: str, size: int) -> Iterator[Callable[[int, int], None]]:
        """Draw a bar in the block, and give what moves it: called with the bytes that are done, and with all."""
        bar, before = self._progress.add_task(name, total=size), 0

        def moved(done: int, _all: int) -> None:
            nonlocal before
            self._progress.update(bar, completed=done)
            self._progress.advance(self._all, done - before)
            before = done

        try:
            yield moved
        finally:
            moved(size, size)  # whatever became of it
            self._progress.remove_task(bar)


@contextmanager
def transfers(total: int = 0) -> Iterator[Transfers]:
    """Draw bars for so many bytes in the block."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    name = TextColumn("{task.description}", markup=False)
    with bars(name, BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()) as progress:
        yield Transfers(progress, total)
