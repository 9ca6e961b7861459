"""Depots whose database or storage can be lost, or be another's."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from bootstrap.emulator import Emulator
from bootstrap.policy import upkeep_policy
from service.domain import model
from service.runtime import Runtime, open_service
from service.settings import Settings
from tests.aws.stand_in import new_account, opened_in


def tomorrow() -> datetime:
    """Return a time when nothing of today is under way."""
    return model.now() + timedelta(days=1)


@dataclass(frozen=True)
class Place:
    """Where a depot is, and what replaces its parts by those of another depot, or puts them back.

    `opened` opens a service there, a day later unless it is told another `clock`. `other` opens the depot that the
    parts come from.
    """

    opened: Callable[..., AbstractAsyncContextManager[Runtime]]
    other: Callable[[], AbstractAsyncContextManager[Runtime]]
    swap_database: Callable[[], None]
    swap_storage: Callable[[], None]
    refuses_at_start: bool = False


def on_local(directory: Path) -> Place:
    """Return a place for two depots in a directory."""
    here, there = directory / "here", directory / "there"

    def opened(
        clock: Callable[[], datetime] = tomorrow, *, paired: bool = True
    ) -> AbstractAsyncContextManager[Runtime]:
        return open_service(Settings(data_dir=here), clock, paired=paired)

    def swap(name: str) -> None:
        there.mkdir(exist_ok=True)
        kept = directory / "swapped"
        for source, target in ((here / name, kept), (there / name, here / name), (kept, there / name)):
            if source.exists():
                source.rename(target)

    return Place(
        opened,
        lambda: open_service(Settings(data_dir=there)),
        lambda: swap("pixdepot.db"),
        lambda: swap("objects"),
        refuses_at_start=True,
    )


@asynccontextmanager
async def on_aws(emulator: Emulator) -> AsyncIterator[Place]:
    """Make a place for two depots on the emulator, for a user who may do upkeep and no more."""
    async with AsyncExitStack() as stack:
        one, two = [await stack.enter_async_context(new_account(emulator)) for _ in range(2)]
        policies = [upkeep_policy(each.settings) for each in (one, two)]
        both = {**policies[0], "Statement": [part for each in policies for part in each["Statement"]]}
        account = replace(one, key=await emulator.create_user(both))
        named = {"here": one.settings, "there": two.settings}

        def opened(
            clock: Callable[[], datetime] = tomorrow, *, paired: bool = True
        ) -> AbstractAsyncContextManager[Runtime]:
            return opened_in(account.environment(), open_service(named["here"], clock, paired=paired))

        def swap(*names: str) -> None:
            here, there = named["here"], named["there"]
            named["here"] = replace(here, **{each: getattr(there, each) for each in names})
            named["there"] = replace(there, **{each: getattr(here, each) for each in names})

        yield Place(
            opened,
            lambda: opened_in(account.environment(), open_service(named["there"])),
            lambda: swap("table", "index_table"),
            lambda: swap("bucket"),
        )
