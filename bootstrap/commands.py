"""What `pixdepot bootstrap` and `pixdepot emulator` do: setting up AWS, with the service's own settings."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from service.settings import Settings, SettingsError

if TYPE_CHECKING:
    from .deployment import Deployment
    from .packaging import Package
    from .resources import Resource

NOT_SUPPORTED = "not supported here"


@dataclass(frozen=True, slots=True)
class Finding:
    """What `status` says of one resource, and why where that is known.

    It is "ok", "missing", "differs", "not ready", "failed", or "not supported here".
    """

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
    # The SDK takes a second, and other commands do without.
    from service.aws.session import new_session, opened_clients, opened_dynamodb, opened_s3

    from .resources import bucket_resources, resources, table_resources

    chosen = on_aws(settings)
    if package is not None:
        _check_functions(chosen)
    async with AsyncExitStack() as stack:
        if chosen.uses_s3 and chosen.uses_dynamodb:
            clients = await stack.enter_async_context(opened_clients(chosen))
            wanted = resources(clients, chosen)
        elif chosen.uses_s3:
            wanted = bucket_resources(await stack.enter_async_context(opened_s3(new_session(), chosen)), chosen)
        else:
            wanted = table_resources(await stack.enter_async_context(opened_dynamodb(new_session())), chosen)
        if package is None:
            yield Setup(wanted, None)
            return
        from .deployment import opened_deployment
        from .functions import functions, triggers
        from .gateway import rest_api

        deployment = await stack.enter_async_context(opened_deployment(clients, chosen))
        on_lambda = [*functions(deployment, package), *rest_api(deployment), *triggers(deployment)]
        yield Setup([*wanted, *on_lambda], deployment)


def on_aws(settings: Settings) -> Settings:
    """Return what is to be set up: what the settings store on AWS; both where they store nothing there yet."""
    return settings if settings.uses_s3 or settings.uses_dynamodb else settings.on("aws")


def _check_functions(settings: Settings) -> None:
    """Raise SettingsError where functions could not reach what they are to serve."""
    if not (settings.uses_s3 and settings.uses_dynamodb):
        raise SettingsError(
            "Functions on Lambda cannot store files: unset PIXDEPOT_STORAGE and PIXDEPOT_DATABASE, and set "
            "PIXDEPOT_BACKEND=aws."
        )
    if settings.s3_endpoint_url or settings.s3_access_key_id or settings.s3_region:
        raise SettingsError(
            "Functions on Lambda use S3 in the same account and Region: unset PIXDEPOT_S3_ENDPOINT_URL, "
            "PIXDEPOT_S3_REGION, PIXDEPOT_S3_ACCESS_KEY_ID and PIXDEPOT_S3_SECRET_ACCESS_KEY."
        )


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
    report: Callable[[Made | str], None],
) -> None:
    """Repeat `up` every `seconds` until SIGTERM or SIGINT, and report what each time made or why it failed."""
    from botocore.exceptions import BotoCoreError, ClientError

    from service.aws.refusals import explained

    from .processes import stop_signals
    from .resources import SetupFailed

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
            except (BotoCoreError, ClientError) as error:
                report(explained(error))
            except (OSError, SetupFailed) as error:
                report(str(error))
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
        made = await up(_of_one_account(settings), package, progress)
        with stop_signals() as stopped:
            started(str(made.url), emulator.shell_commands(settings.environment()))
            await emulator.until(stopped)


def _of_one_account(settings: Settings) -> Settings:
    """Return these settings for what has one endpoint and one key for all."""
    return replace(
        settings.on("aws"), s3_endpoint_url="", s3_region="", s3_access_key_id="", s3_secret_access_key=""
    )


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
    from .resources import NotReady

    try:
        there = await resource.found()
    except NotSupported as lacking:
        return Finding(resource.name, NOT_SUPPORTED, str(lacking))
    if isinstance(there, NotReady):
        return Finding(resource.name, "failed" if there.failed else "not ready", there.reason)
    return Finding(resource.name, "ok" if there == resource.wanted else "missing" if there is None else "differs")
