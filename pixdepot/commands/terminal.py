"""How every command speaks with whoever runs it: settings, results, bars, and what went wrong.

A command ends with 0 when all is done, with 1 when something failed, with 2 when it was called wrongly. Results go
to standard output; bars, logs and errors to standard error.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, is_dataclass
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
    return json.dumps(facts, ensure_ascii=False)


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
