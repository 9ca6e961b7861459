"""`pixdepot bootstrap`: what the service needs in AWS, made, looked at and removed."""

import asyncio
import os
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .terminal import Tell, printing, run, say, settings

if TYPE_CHECKING:
    from bootstrap.commands import Made
    from bootstrap.packaging import Package, Target

_with_lambda = click.option(
    "--lambda", "on_lambda", is_flag=True, help="Include the API on Lambda behind API Gateway."
)


@click.group()
def bootstrap() -> None:
    """Create, check and delete AWS resources.

    The resources are the S3 bucket and the DynamoDB tables that the settings name and, with --lambda, the API on
    Lambda.
    """


def _built(target: "Target | None" = None) -> "Package":
    """Return the package for a target; by default for what the SDK is set to speak to."""
    from bootstrap.packaging import build
    from bootstrap.processes import ServerFailed

    try:
        return build(target or _target())
    except ServerFailed as error:
        raise click.ClickException(str(error)) from error


def _target() -> "Target":
    """Return what runs functions where the SDK is set to: AWS, an emulator's containers, or this machine."""
    from bootstrap.emulator import starts_functions_here
    from bootstrap.packaging import Target

    endpoint = os.environ.get("AWS_ENDPOINT_URL_LAMBDA") or os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint:
        return Target.aws()
    return Target.this_machine() if asyncio.run(starts_functions_here(endpoint)) else Target.containers()


@bootstrap.command()
@_with_lambda
@click.option(
    "--every",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Repeat every SECONDS seconds until SIGTERM or Ctrl-C, and retry after a failure. Use it with an emulator "
    "that loses its data when it restarts.",
)
@printing
def up(on_lambda: bool, every: float | None, tell: Tell) -> None:
    """Create missing resources and update those that differ.

    It is safe to run this command again.
    """
    from bootstrap import commands
    from bootstrap.resources import SetupFailed

    package = _built() if on_lambda else None
    if every is None:
        _tell_made(run(commands.up(settings(), package), SetupFailed), tell)
        return
    said = ""

    def report(outcome: "Made | str") -> None:
        nonlocal said
        before, said = said, outcome if isinstance(outcome, str) else "up"
        if isinstance(outcome, str):
            if said != before:
                say(f"Error: {said} Retrying every {every:g} seconds.", error=True)
        elif outcome.names or said != before:
            _tell_made(outcome, tell)

    run(commands.keep_up(settings(), package, every, report), SetupFailed)


def _tell_made(made: "Made", tell: Tell) -> None:
    lacking = [f"{each.state}: {each.name} ({each.detail})" for each in made.lacking]
    told = [*(f"set up {name}" for name in made.names), *lacking, "All resources exist."]
    if made.url:
        told.append(f"The API is at {made.url}")
    facts = {"made": made.names, "url": made.url, "not_supported": {e.name: e.detail for e in made.lacking}}
    tell(facts, "\n".join(told))


@bootstrap.command()
@_with_lambda
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@printing
def down(on_lambda: bool, yes: bool, tell: Tell) -> None:
    """Delete the bucket and the tables, with every image in them."""
    from bootstrap import commands
    from bootstrap.packaging import Package, Target

    chosen = commands.on_aws(settings())
    names = [chosen.bucket] if chosen.uses_s3 else []
    names += [chosen.table, chosen.index_table] if chosen.uses_dynamodb else []
    if not yes:
        click.confirm(f"Permanently delete {_listed(names)}?", abort=True, err=True)
    # What is removed needs no code.
    run(commands.down(chosen, Package(Target.this_machine(), b"") if on_lambda else None))
    tell({"removed": names}, "All resources are deleted.")


def _listed(names: Sequence[str]) -> str:
    """Return names as a sentence has them."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


@bootstrap.command()
@_with_lambda
@printing
def status(on_lambda: bool, tell: Tell) -> None:
    """Show which resources exist, differ or are unsupported.

    The exit status is 1 if `up` has something to create or update.
    """
    from bootstrap import commands

    findings = run(commands.status(settings(), _built() if on_lambda else None))
    for each in findings:
        tell(each, f"{each.state:9} {each.name}" + (f" ({each.detail})" if each.detail else ""))
    if not all(each.ok for each in findings):
        sys.exit(1)


@bootstrap.command()
@click.option(
    "--architecture",
    type=click.Choice(["x86_64", "arm64"]),
    default="x86_64",
    show_default=True,
    help="Processor architecture of the functions.",
)
@click.option(
    "--python",
    default="",
    metavar="VERSION",
    help="Python version of the functions, such as 3.13. [default: this Python, if Lambda supports it]",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default="pixdepot.zip",
    show_default=True,
    help="File to write.",
)
@printing
def package(architecture: str, python: str, output: Path, tell: Tell) -> None:
    """Build the zip file of the Lambda functions.

    template.yaml (see `pixdepot bootstrap template`) deploys this file.
    """
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
