"""How every command speaks with whoever runs it: settings, results, bars, and what went wrong.

A command ends with 0 when all is done, with 1 when something failed, with 2 when it was called wrongly. Results go
to standard output; bars, logs and errors to standard error. All of it is written here: while bars are drawn they
own their terminal, and every line goes above them.
"""

import asyncio
import io
import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass, replace
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

from service.domain.errors import PixdepotError, explained
from service.settings import Settings, SettingsError

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

T = TypeVar("T")

# Prints a result: its text, or the result itself as one line of JSON.
Tell = Callable[[Any, str], None]


def settings(data: Path | None = None) -> Settings:
    """Return the settings of the environment, with this data directory if it is given.

    One that cannot be meant ends the command.
    """
    try:
        chosen = Settings.from_env(os.environ)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    return replace(chosen, data_dir=data) if data else chosen


data_option = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Data directory. [default: PIXDEPOT_DATA_DIR]"
)


def run(work: Coroutine[Any, Any, T], *also: type[Exception]) -> T:
    """Run to the end; what the person at the terminal can mend, `also` these errors, is told in a line."""
    told: tuple[type[Exception], ...] = (SettingsError, PixdepotError, OSError, *also)
    try:
        return asyncio.run(work)
    except BrokenPipeError:
        raise  # whoever read the results has enough; click ends quietly
    except told as error:
        raise click.ClickException(explained(error) if isinstance(error, PixdepotError) else str(error)) from error
    except Exception as error:
        if not type(error).__module__.startswith("botocore."):  # which few commands load
            raise
        from service.aws import refusals

        raise click.ClickException(refusals.explained(error)) from error


def reason(error: Exception) -> str:
    """Return why one of several things failed, as it is told beside its name."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def shown(outcome: str) -> str:
    """Return an outcome as people read it; the API's and --json's word for "exists" is "there"."""
    return "exists" if outcome == "there" else outcome


def printing(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command the option --json, and as `tell` what prints its results."""

    @click.option("--json", "as_json", is_flag=True, help="Print results as JSON, one object per line.")
    @wraps(command)
    def with_tell(*args: Any, as_json: bool, **options: Any) -> T:
        def tell(result: Any, text: str) -> None:
            say(_as_json(result) if as_json else text)

        return command(*args, tell=tell, **options)

    return with_tell


def _as_json(result: Any) -> str:
    facts: Mapping[str, Any] = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    return json.dumps(facts, default=_written)  # in ASCII, which every terminal and every pipe can carry


def _written(value: object) -> str:
    """Return a time as the API writes it, and anything else as text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)


def printable() -> None:
    """Let standard output take any text: what its encoding lacks is written as a backslash escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Drawn:
    """The bars that are drawn now, if any, and whether standard output is on their terminal, too."""

    bars: "Progress | None" = None
    with_results = False


def say(text: str, *, error: bool = False) -> None:
    """Print lines to standard output, or to standard error; above the bars where these are drawn there."""
    if _Drawn.bars and (error or _Drawn.with_results):
        from rich.text import Text

        with _Drawn.bars.live._lock:  # noqa: SLF001 - else rich's thread may draw in between, and leave bars behind
            _Drawn.bars.console.print(Text(text), soft_wrap=True)
        return
    stream = sys.stderr if error else sys.stdout
    stream.write(f"{text}\n")
    stream.flush()  # so that a reader who has had enough is noticed now


class _LogStream(io.TextIOBase):
    """Standard error for logs, which come in whole lines."""

    def write(self, text: str) -> int:
        """Print a log record."""
        say(text.removesuffix("\n"), error=True)
        return len(text)

    def isatty(self) -> bool:
        """Return whether people read along."""
        return sys.stderr.isatty() or bool(_Drawn.bars)


def log_stream() -> TextIO:
    """Return where logs go."""
    return _LogStream()  # type: ignore[return-value] # it is text that can be written to


@contextmanager
def bars(*columns: "ProgressColumn | str") -> Iterator["Progress"]:
    """Draw bars in the block where standard error is a terminal; they are gone when the work is done."""
    from rich.console import Console
    from rich.progress import Progress

    shared = sys.stdout.isatty() and os.path.samestat(os.fstat(1), os.fstat(2))
    progress = Progress(
        *(columns or Progress.get_default_columns()),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
        redirect_stdout=shared,  # for what libraries print
    )
    with progress:
        if not progress.disable:
            _Drawn.bars, _Drawn.with_results = progress, shared
        try:
            yield progress
        finally:
            _Drawn.bars = None


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


@contextmanager
def steps() -> Iterator[Callable[[str, int, int], None]]:
    """Draw a bar in the block, and give what moves it: what is done next, how many steps are done, and of how many.

    While their number is unknown (0), the bar only tells that something happens.
    """
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    name = TextColumn("{task.description}", markup=False)
    with bars(BarColumn(), TimeElapsedColumn(), name) as progress:
        task = progress.add_task("", total=None)

        def moved(following: str, done: int, number: int) -> None:
            progress.update(task, description=following, completed=done, total=number or None)

        yield moved
