"""`bootstrap up|down|status|package|template`: setting up AWS, with the service's own settings."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from service.settings import Settings, SettingsError

if TYPE_CHECKING:
    from .deployment import Deployment
    from .packaging import Package, Target
    from .resources import Resource

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """What `status` says of one resource: "ok", "missing" or "differs"."""

    name: str
    state: str


@dataclass(frozen=True, slots=True)
class Made:
    """What `up` made, and where the API is, if there is one on Lambda."""

    names: list[str]
    url: str | None


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything the settings name, to be looked at and to be made; with the functions where that was asked for."""

    resources: list["Resource"]
    deployment: "Deployment | None"


@asynccontextmanager
async def opened_setup(settings: Settings, package: "Package | None") -> AsyncIterator[Setup]:
    """Open what is needed to speak to AWS, or to what stands in for it."""
    from service.aws.session import opened_clients  # the SDK takes a second, and other commands do without

    from .deployment import opened_deployment
    from .functions import functions, triggers
    from .gateway import rest_api
    from .resources import resources

    async with opened_clients(settings) as clients:
        wanted = resources(clients, settings)
        if package is None:
            yield Setup(wanted, None)
            return
        async with opened_deployment(clients, settings) as deployment:
            on_lambda = [*functions(deployment, package), *rest_api(deployment), *triggers(deployment)]
            yield Setup([*wanted, *on_lambda], deployment)


async def up(settings: Settings, package: "Package | None" = None) -> Made:
    """Make everything as it should be, on Lambda too where a package is given. Repeatable, also at once.

    Raises SettingsError when anyone on the network could do anything as anyone.
    """
    async with opened_setup(settings, package) as setup:
        if setup.deployment is None:
            return Made([each.name for each in setup.resources if await each.up()], None)
        from lambda_adapter.environment import check_exposure

        from .gateway import api_url

        check_exposure(setup.deployment.function_settings)
        names = [each.name for each in setup.resources if await each.up()]
        return Made(names, await api_url(setup.deployment))


async def emulate(settings: Settings, data_dir: Path, port: int, started: Callable[[str, str], None]) -> None:
    """Run AWS on this machine with the API on Lambda, until SIGTERM or Ctrl-C. What is kept is in `data_dir`.

    Calls `started` with the API's URL, and with what sets an SDK up, once requests are answered. Nothing but this
    machine reaches it. Sets AWS_* in this process. Raises ServerFailed.
    """
    from .emulator import running_emulator
    from .packaging import Target, build

    async with running_emulator(data_dir, port) as emulator:
        for name in [each for each in os.environ if each.startswith("AWS_")]:
            del os.environ[name]  # a developer's account is none of the emulator's business
        os.environ |= emulator.sdk_environment
        package = await asyncio.to_thread(build, Target.this_machine())
        made = await up(replace(settings, backend="aws"), package)
        started(str(made.url), " ".join(f"{name}={value}" for name, value in emulator.sdk_environment.items()))
        await emulator.until_stopped()


async def down(settings: Settings, package: "Package | None" = None) -> None:
    """Remove everything, with all that is in it. Repeatable."""
    async with opened_setup(settings, package) as setup:
        for each in reversed(setup.resources):
            await each.down()


async def status(settings: Settings, package: "Package | None" = None) -> list[Finding]:
    """Return what is there and what differs; changes nothing."""
    async with opened_setup(settings, package) as setup:
        found = [(each, await each.found()) for each in setup.resources]
    return [
        Finding(each.name, "ok" if there == each.wanted else "missing" if there is None else "differs")
        for each, there in found
    ]


def _settings() -> Settings:
    try:
        return Settings.from_env(os.environ)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end; what the person at the terminal can mend is told in a line."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return asyncio.run(work)
    except (SettingsError, BotoCoreError, ClientError, TimeoutError) as error:
        raise click.ClickException(str(error)) from error


def _built(target: "Target | None" = None) -> "Package":
    """Return the package for what the SDK is set to speak to: AWS, or an emulator on this machine."""
    from .packaging import Target, build
    from .processes import ServerFailed

    emulated = any(os.environ.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA"))
    try:
        return build(target or (Target.this_machine() if emulated else Target.aws()))
    except ServerFailed as error:
        raise click.ClickException(str(error)) from error


_with_lambda = click.option(
    "--lambda", "on_lambda", is_flag=True, help="The API on Lambda behind API Gateway, too."
)


@click.group()
def bootstrap() -> None:
    """Set up S3 and DynamoDB for the aws backend, and the API on Lambda."""


@bootstrap.command("up")
@_with_lambda
def up_command(on_lambda: bool) -> None:
    """Make what is missing, and mend what differs. Safe to run again."""
    made = _run(up(_settings(), _built() if on_lambda else None))
    for name in made.names:
        click.echo(f"made {name}")
    click.echo("Everything is there.")
    if made.url:
        click.echo(f"The API is at {made.url}")


@bootstrap.command("down")
@_with_lambda
@click.option("--yes", is_flag=True, help="Do not ask.")
def down_command(on_lambda: bool, yes: bool) -> None:
    """Remove the bucket and the tables, with every image in them."""
    from .packaging import Package, Target

    settings = _settings()
    if not yes:
        click.confirm(
            f"Remove {settings.bucket}, {settings.table} and {settings.index_table} for good?", abort=True
        )
    # What is removed needs no code.
    _run(down(settings, Package(Target.this_machine(), b"") if on_lambda else None))
    click.echo("Everything is gone.")


@bootstrap.command("status")
@_with_lambda
def status_command(on_lambda: bool) -> None:
    """Say what is there and what differs; exit with 1 unless all is well."""
    findings = _run(status(_settings(), _built() if on_lambda else None))
    for each in findings:
        click.echo(f"{each.state:8} {each.name}")
    if any(each.state != "ok" for each in findings):
        raise SystemExit(1)


@bootstrap.command("package")
@click.option("--architecture", type=click.Choice(["x86_64", "arm64"]), default="x86_64", show_default=True)
@click.option(
    "--python", default="", help="The function's Python, such as 3.13. By default this one, if it can be."
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), default="pixdepot.zip", show_default=True
)
def package_command(architecture: str, python: str, output: Path) -> None:
    """Build the functions' zip for AWS, as template.yaml takes it."""
    from .packaging import Target

    package = _built(Target.aws(architecture, python))
    output.write_bytes(package.zipped)
    click.echo(f"{output}: {len(package.zipped):,} bytes for {package.target.runtime} on {architecture}")


@bootstrap.command("template")
def template_command() -> None:
    """Print the SAM template of the whole deployment."""
    click.echo(files(__package__).joinpath("template.yaml").read_text(), nl=False)
