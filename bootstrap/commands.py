"""What `pixdepot bootstrap` and `pixdepot emulator` do: setting up AWS, with the service's own settings."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from service.settings import Settings

if TYPE_CHECKING:
    from .deployment import Deployment
    from .packaging import Package
    from .resources import Resource

NOT_SUPPORTED = "not supported here"


@dataclass(frozen=True, slots=True)
class Finding:
    """What `status` says of one resource: "ok", "missing", "differs" or "not supported here", and why that is."""

    name: str
    state: str
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Return whether `up` would change nothing."""
        return self.state in {"ok", NOT_SUPPORTED}


@dataclass(frozen=True, slots=True)
class Made:
    """What `up` made, where the API is, if there is one on Lambda, and what the store does not have."""

    names: list[str]
    url: str | None
    lacking: list[Finding] = field(default_factory=list)


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


# Called with what is done next, how many steps are done, and how many there are (0 while that is unknown).
Progress = Callable[[str, int, int], None]


def _silent(_next: str, _done: int, _all: int) -> None:
    """Tell nobody."""


async def up(settings: Settings, package: "Package | None" = None, progress: Progress = _silent) -> Made:
    """Make everything as it should be, on Lambda too where a package is given. Repeatable, also at once.

    Raises SettingsError when anyone on the network could do anything as anyone.
    """
    async with opened_setup(settings, package) as setup:
        if setup.deployment is None:
            return await _made(setup.resources, progress)
        from lambda_adapter.environment import check_exposure

        from .gateway import api_url

        check_exposure(setup.deployment.function_settings)
        made = await _made(setup.resources, progress)
        return replace(made, url=await api_url(setup.deployment))


async def keep_up(
    settings: Settings,
    package: "Package | None",
    seconds: float,
    report: Callable[[Made | Exception], None],
) -> None:
    """Repeat `up` every `seconds` until SIGTERM or SIGINT, and report what each time made or why it failed."""
    from .processes import stop_signals

    told: tuple[type[Exception], ...] = (OSError, *refusals())
    with stop_signals() as stopped:
        stopping = asyncio.create_task(stopped.wait())
        while not stopping.done():
            making = asyncio.create_task(up(settings, package))
            await asyncio.wait([making, stopping], return_when=asyncio.FIRST_COMPLETED)
            if not making.done():
                making.cancel()
            try:
                report(await making)
            except asyncio.CancelledError:
                break
            except told as error:
                report(error)
            await asyncio.wait([stopping], timeout=seconds)


async def _made(resources: list["Resource"], progress: Progress) -> Made:
    """Make each resource as wanted; what the store does not have is left out, and told."""
    from .bucket import NotSupported

    made = Made([], None)
    for done, each in enumerate(resources):
        progress(each.name, done, len(resources))
        try:
            if await each.up():
                made.names.append(each.name)
        except NotSupported as lacking:
            made.lacking.append(Finding(each.name, NOT_SUPPORTED, str(lacking)))
    return made


# Pages that a server on this machine serves, on any port. Nothing but this machine reaches the emulator.
_LOCAL_PAGES = ("http://localhost:*", "http://127.0.0.1:*")


async def emulate(
    settings: Settings, data_dir: Path, port: int, started: Callable[[str, str], None], progress: Progress = _silent
) -> None:
    """Run AWS on this machine with the API on Lambda, until SIGTERM or Ctrl-C. What is kept is in `data_dir`.

    Calls `started` with the API's URL, and with shell commands that lead other commands to the same data, once
    requests are answered. Nothing but this machine reaches it, and its pages may use it from every port. Sets AWS_*
    in this process. Raises ServerFailed.
    """
    from .emulator import running_emulator
    from .packaging import Target, build
    from .processes import stop_signals

    origins = tuple(dict.fromkeys((*settings.cors_origins, *_LOCAL_PAGES)))
    settings = replace(settings, backend="aws", cors_origins=origins)
    progress("start the emulator", 0, 0)
    async with running_emulator(data_dir, port) as emulator:
        for name in [each for each in os.environ if each.startswith("AWS_")]:
            del os.environ[name]  # a developer's account is none of the emulator's business
        os.environ |= emulator.sdk_environment
        progress("package the functions", 0, 0)
        package = await asyncio.to_thread(build, Target.this_machine())
        made = await up(settings, package, progress)
        with stop_signals() as stopped:
            started(str(made.url), emulator.shell_commands(settings.environment()))
            await emulator.until(stopped)


async def down(settings: Settings, package: "Package | None" = None) -> None:
    """Remove everything, with all that is in it. Repeatable."""
    async with opened_setup(settings, package) as setup:
        for each in reversed(setup.resources):
            await each.down()


async def status(settings: Settings, package: "Package | None" = None) -> list[Finding]:
    """Return what is there and what differs; changes nothing."""
    async with opened_setup(settings, package) as setup:
        return [await _state(each) for each in setup.resources]


async def _state(resource: "Resource") -> Finding:
    from .bucket import NotSupported

    try:
        there = await resource.found()
    except NotSupported as lacking:
        return Finding(resource.name, NOT_SUPPORTED, str(lacking))
    return Finding(resource.name, "ok" if there == resource.wanted else "missing" if there is None else "differs")


def refusals() -> tuple[type[Exception], ...]:
    """Return the errors that AWS's refusals come as: the SDK's own."""
    from botocore.exceptions import BotoCoreError, ClientError

    return BotoCoreError, ClientError
