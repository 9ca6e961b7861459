"""Services to break: each with a backend of its own, and with what looks behind it a day later."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from bootstrap.emulator import Emulator
from service.domain import model
from service.domain.errors import Unavailable
from service.domain.model import Image
from service.operations.depot import Depot
from service.runtime import Runtime, open_service
from service.settings import Settings
from tests.api.client import ApiClient
from tests.api.conftest import served
from tests.aws.stand_in import Account, new_account, opened_in, sdk_environment
from tests.servers.proxy import Proxy, proxied

T = TypeVar("T")

_TRIES = 4


def tomorrow() -> datetime:
    """Return a time when every link of today is dead, and whatever is left over can be swept."""
    return model.now() + timedelta(days=1)


@dataclass(frozen=True)
class Site:
    """A service, and the same backend as it is tomorrow. Where there is a proxy, both reach AWS through it."""

    api: ApiClient
    later: Runtime
    proxy: Proxy | None = None

    @property
    def depot(self) -> Depot:
        """Return the ports."""
        return self.later.api.services.depot


@asynccontextmanager
async def on_local(directory: Path) -> AsyncIterator[Site]:
    """Run a service on files and SQLite in this directory."""
    settings = Settings(data_dir=directory)
    async with served(settings) as api, open_service(settings, tomorrow) as later:
        yield Site(api, later)


@asynccontextmanager
async def on_aws(emulator: Emulator) -> AsyncIterator[Site]:
    """Run a service on a bucket and tables of its own, behind a proxy."""
    async with (
        new_account(emulator) as account,
        proxied(emulator.endpoint_url) as proxy,
        opened_in(account.environment(proxy.url), served(account.settings)) as api,
        seen_later(account, proxy) as later,
    ):
        yield Site(api, later, proxy)


@asynccontextmanager
async def seen_later(account: Account, proxy: Proxy) -> AsyncIterator[Runtime]:
    """Open an account's backend as it is tomorrow, as its operator: reconcile needs more than the service may."""
    operator = sdk_environment(proxy.url, account.emulator.root)
    async with opened_in(operator, open_service(account.settings, tomorrow)) as later:
        yield later


async def left_over(later: Runtime) -> list[str]:
    """Sweep, then reconcile; return what is wrong all the same, with objects that only reconcile finds."""
    depot = later.api.services.depot
    swept = await later.sweeper.sweep()
    wrong = [f"3: sweep failed at {swept.failed}"] if swept.failed else []
    strays = await _objects(depot) - await _kept(depot)
    wrong += [f"3: {key} is left after a sweep" for key in sorted(strays)]
    first = await _patiently(later.reconciler.reconcile)
    second = await _patiently(partial(later.reconciler.reconcile, dry_run=True))
    if first.lists.missing:
        wrong.append(f"2: {first.lists.missing} rows of lists were missing")
    if second.orphans or second.lists.missing or second.lists.stale:
        wrong.append(f"3: a second reconcile finds {second}")
    if await depot.records.due(tomorrow(), 1):
        wrong.append("3: something is still due after a sweep")
    wrong += [f"1: {key} is gone" for key in sorted(await _kept(depot) - await _objects(depot))]
    return wrong


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Return what the work returns, also where an emulator that is busy does not answer some of its calls."""
    for _ in range(_TRIES):
        try:
            return await work()
        except Unavailable:
            continue
    return await work()


async def _kept(depot: Depot) -> set[str]:
    return {key async for image in everything(depot) for key in image.object_keys}


async def _objects(depot: Depot) -> set[str]:
    return {each.key for prefix in ("uploads/", "images/") async for each in depot.objects.list(prefix)}


async def everything(depot: Depot) -> AsyncIterator[Image]:
    """Yield every published image."""
    async for images in depot.everything():
        for image in images:
            yield image
