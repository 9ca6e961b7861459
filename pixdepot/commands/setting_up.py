"""`pixdepot bootstrap`: what the service needs in AWS, made, looked at and removed."""

import os
import sys
from collections.abc import Coroutine
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .terminal import Tell, printing, run, say, settings

if TYPE_CHECKING:
    from bootstrap.commands import Made
    from bootstrap.packaging import Package, Target

T = TypeVar("T")

_with_lambda = click.option(
    "--lambda", "on_lambda", is_flag=True, help="The API on Lambda behind API Gateway, too."
)


@click.group()
def bootstrap() -> None:
    """Set up S3 and DynamoDB for the aws backend, and the API on Lambda."""


def _run(work: Coroutine[Any, Any, T]) -> T:
    from bootstrap.commands import refusals

    return run(work, *refusals())


def _built(target: "Target | None" = None) -> "Package":
    """Return the package for what the SDK is set to speak to: AWS, or an emulator on this machine."""
    from bootstrap.packaging import Target, build
    from bootstrap.processes import ServerFailed

    emulated = any(os.environ.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA"))
    try:
        return build(target or (Target.this_machine() if emulated else Target.aws()))
    except ServerFailed as error:
        raise click.ClickException(str(error)) from error


@bootstrap.command()
@_with_lambda
@click.option(
    "--every",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Repeat every SECONDS seconds until SIGTERM or Ctrl-C, and retry after a failure: for an emulator that "
    "keeps nothing when it restarts.",
)
@printing
def up(on_lambda: bool, every: float | None, tell: Tell) -> None:
    """Make what is missing, and mend what differs. Safe to run again."""
    from bootstrap import commands

    package = _built() if on_lambda else None
    if every is None:
        _tell_made(_run(commands.up(settings(), package)), tell)
        return
    said = ""

    def report(outcome: "Made | Exception") -> None:
        nonlocal said
        before, said = said, str(outcome) if isinstance(outcome, Exception) else "up"
        if isinstance(outcome, Exception):
            if said != before:
                say(f"Error: {said} Retrying every {every:g} seconds.", error=True)
        elif outcome.names or said != before:
            _tell_made(outcome, tell)

    _run(commands.keep_up(settings(), package, every, report))


def _tell_made(made: "Made", tell: Tell) -> None:
    lacking = [f"{each.state}: {each.name} ({each.detail})" for each in made.lacking]
    told = [*(f"made {name}" for name in made.names), *lacking, "Everything is there."]
    if made.url:
        told.append(f"The API is at {made.url}")
    facts = {"made": made.names, "url": made.url, "not_supported": {e.name: e.detail for e in made.lacking}}
    tell(facts, "\n".join(told))


@bootstrap.command()
@_with_lambda
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
def down(on_lambda: bool, yes: bool, tell: Tell) -> None:
    """Remove the bucket and the tables, with every image in them."""
    from bootstrap import commands
    from bootstrap.packaging import Package, Target

    chosen = settings()
    if not yes:
        question = f"Remove {chosen.bucket}, {chosen.table} and {chosen.index_table} for good?"
        click.confirm(question, abort=True, err=True)
    # What is removed needs no code.
    _run(commands.down(chosen, Package(Target.this_machine(), b"") if on_lambda else None))
    tell({"removed": [chosen.bucket, chosen.table, chosen.index_table]}, "Everything is gone.")


@bootstrap.command()
@_with_lambda
@printing
def status(on_lambda: bool, tell: Tell) -> None:
    """Show what exists, what differs and what the store does not support; exit with 1 if `up` has work to do."""
    from bootstrap import commands

    findings = _run(commands.status(settings(), _built() if on_lambda else None))
    for each in findings:
        tell(each, f"{each.state:8} {each.name}" + (f" ({each.detail})" if each.detail else ""))
    if not all(each.ok for each in findings):
        sys.exit(1)


@bootstrap.command()
@click.option("--architecture", type=click.Choice(["x86_64", "arm64"]), default="x86_64", show_default=True)
@click.option(
    "--python", default="", help="The function's Python, such as 3.13. By default this one, if it can be."
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), default="pixdepot.zip", show_default=True
)
@printing
def package(architecture: str, python: str, output: Path, tell: Tell) -> None:
    """Build the functions' zip for AWS, as template.yaml takes it."""
    from bootstrap.packaging import Target

    built = _built(Target.aws(architecture, python))
    output.write_bytes(built.zipped)
    size, runtime = len(built.zipped), built.target.runtime
    facts = {"path": str(output), "bytes": size, "runtime": runtime, "architecture": architecture}
    tell(facts, f"{output}: {size:,} bytes for {runtime} on {architecture}")


@bootstrap.command()
def template() -> None:
    """Print the SAM template of the whole deployment."""
    click.echo(files("bootstrap").joinpath("template.yaml").read_text(), nl=False)
