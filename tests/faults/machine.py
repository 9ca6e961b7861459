"""Anything in any order, to a real server that is killed now and then and whose backend fails: Hypothesis chooses.

What every answer and every list is held against is `ledger.Ledger`; see there for what is left open, and when.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import aiohttp
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as some
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bootstrap.emulator import Emulator
from service.domain import model
from service.runtime import Runtime, open_service
from service.settings import Settings
from tests.aws.stand_in import new_account, opened_in, sdk_environment
from tests.faults.ledger import Ledger, Visitor
from tests.faults.sites import left_over, tomorrow
from tests.faults.tally import Tally
from tests.pictures import picture, sha256_of
from tests.process.servers import Server, serving
from tests.servers.proxy import Fault, Proxy, proxied

T = TypeVar("T")

_USER = "ada"
_CALLS = (
    "BatchWriteItem", "CopyObject", "DeleteItem", "DeleteObject", "GetItem", "GetObject", "ListObjectsV2",
    "PutItem", "PutObject", "Query", "UpdateItem",
)  # fmt: skip
_QUICK = [fault for fault in Fault if fault.is_quick]

LARGE = picture(size=(60, 50), noise=True, seed=1)
OTHER, GARBAGE = (data.ljust(len(LARGE), b"\0") for data in (picture(seed=2), b"<html>"))


@dataclass(frozen=True)
class World:
    """A backend that outlives its servers: how to start one, and how to open the backend at another time."""

    start: Callable[[], AbstractAsyncContextManager[Server]]
    open: Callable[[Callable[[], datetime]], AbstractAsyncContextManager[Runtime]]
    proxy: Proxy | None = None


Opening = Callable[[Path], AbstractAsyncContextManager[World]]


@asynccontextmanager
async def local_world(directory: Path) -> AsyncIterator[World]:
    """Keep everything in this directory."""
    settings = Settings(data_dir=directory / "data")
    yield World(lambda: serving(directory), lambda clock: open_service(settings, clock))


def aws_world(emulator: Emulator) -> Opening:
    """Keep everything on an emulator, behind a proxy."""

    @asynccontextmanager
    async def opening(directory: Path) -> AsyncIterator[World]:
        async with new_account(emulator) as account, proxied(emulator.endpoint_url) as proxy:
            with account.environment(proxy.url):
                variables = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
            variables |= account.settings.environment()

            def opened(clock: Callable[[], datetime]) -> AbstractAsyncContextManager[Runtime]:
                operator = sdk_environment(emulator.endpoint_url, emulator.root)
                return opened_in(operator, open_service(account.settings, clock))

            yield World(lambda: serving(directory, **variables), opened, proxy)

    return opening


@dataclass
class Begun:
    """An upload that was begun: its link, its title, and the bytes that are there."""

    link: dict[str, Any]
    title: str
    sent: bytes | None = None


@dataclass
class Story:
    """What has happened to one world until now."""

    world: World
    ledger: Ledger = field(default_factory=Ledger)
    begun: dict[str, Begun] = field(default_factory=dict)
    over: list[Begun] = field(default_factory=list)  # whose links should do nothing any more


class Machine(RuleBasedStateMachine):
    """Rules for one world. A subclass says which."""

    opening: Opening

    def __init__(self) -> None:
        super().__init__()
        self.loop, self.stack, self.process = asyncio.new_event_loop(), AsyncExitStack(), AsyncExitStack()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do this on the example's own loop."""
        return self.loop.run_until_complete(work)

    @initialize(number=some.integers(0, 2**32))
    def begin_story(self, number: int) -> None:
        self.run(self._begin_story(number))

    async def _begin_story(self, number: int) -> None:
        directory = Path(self.stack.enter_context(TemporaryDirectory()))
        self.story = Story(await self.stack.enter_async_context(type(self).opening(directory)))
        self.chance = random.Random(number)
        await self._start()

    async def _start(self) -> None:
        self.server = await self.process.enter_async_context(self.story.world.start())
        if hasattr(self, "visitor"):
            self.visitor.api = self.server.api
        else:
            self.visitor = Visitor(self.server.api, self.story.ledger, self.chance, _USER)

    # ------------------------------------------------------------ what users do

    @rule()
    def upload(self) -> None:
        self.run(self.visitor.upload())

    @rule()
    def upload_directly(self) -> None:
        self.run(self.visitor.upload_directly())

    @rule()
    def intrude(self) -> None:
        if self.visitor.has_some():
            self.run(self.visitor.intrude())

    @rule(number=some.integers(0, 2))
    def upload_with_a_key(self, number: int) -> None:
        self.run(self.visitor.upload_with_a_key(f"key-{number}"))

    @rule(what=some.sampled_from(["edit", "delete", "look"]))
    def change(self, what: str) -> None:
        if self.visitor.has_some():
            self.run(getattr(self.visitor, what)())

    @rule()
    def begin(self) -> None:
        self.run(self._begin())

    async def _begin(self) -> None:
        title = f"begun {len(self.story.begun) + len(self.story.over)} {self.chance.random()}"
        answer = await self.visitor.api.begin(LARGE, title=title, user_id=_USER)
        if self.visitor.told(answer, 201):
            self.story.begun[answer.json["image_id"]] = Begun(answer.json["upload"], title)

    # What there is to choose from is the service's doing, and depends on the moment; Hypothesis wants to find its
    # own choices as it left them. So every rule may be chosen at any time, and does nothing where there is nothing.

    @rule(number=some.integers(0, 100), data=some.sampled_from([LARGE, OTHER, GARBAGE]))
    def send(self, number: int, data: bytes) -> None:
        if not self.story.begun:
            return
        begun = self.story.begun[self._chosen(number)]
        if self.run(self._sent(begun, data)) == 200:
            begun.sent = data
        else:
            begun.sent = begun.sent or data  # its answer was lost

    async def _sent(self, begun: Begun, data: bytes) -> int:
        """Send until it is certain that something is there: 200, or 412 where it was before."""
        while True:
            with suppress(aiohttp.ClientError):
                answer = await self.visitor.api.transfer(self._link(begun), data)
                if answer.status in {200, 412}:
                    return answer.status

    def _link(self, begun: Begun) -> dict[str, Any]:
        """Return the link at the server that runs now."""
        url = begun.link["url"]
        here = f"{self.server.url}/storage" + url.partition("/storage")[2] if "/storage/" in url else url
        return {**begun.link, "url": here}

    def _chosen(self, number: int) -> str:
        ids = sorted(self.story.begun)
        return ids[number % len(ids)]

    @rule(number=some.integers(0, 100))
    def complete(self, number: int) -> None:
        if self.story.begun:
            self.run(self._complete(self._chosen(number)))

    async def _complete(self, image_id: str) -> None:
        begun, ledger = self.story.begun[image_id], self.story.ledger
        right = 409 if begun.sent is None else 200
        if begun.sent == GARBAGE:
            right = 415
        elif begun.sent:
            ledger.asked[begun.title] = sha256_of(begun.sent)
        if self.visitor.told(await self.visitor.api.complete(image_id), right) and right == 200:
            ledger.acknowledge(image_id, begun.title)
            self.story.over.append(self.story.begun.pop(image_id))

    @rule(number=some.integers(0, 100))
    def cancel(self, number: int) -> None:
        if self.story.begun:
            self.run(self._cancel(self._chosen(number)))

    async def _cancel(self, image_id: str) -> None:
        if self.visitor.told(await self.visitor.api.delete(f"/uploads/{image_id}"), 200):
            self.story.ledger.deleted.add(image_id)
            self.story.over.append(self.story.begun.pop(image_id))

    @rule(number=some.integers(0, 100))
    def send_late(self, number: int) -> None:
        if not self.story.over:
            return
        begun = self.story.over[number % len(self.story.over)]
        with suppress(aiohttp.ClientError):
            self.run(self.visitor.api.transfer(self._link(begun), OTHER))

    # ------------------------------------------------------------ what goes wrong

    @rule(during=some.sampled_from(["upload", "upload_directly", "edit", "delete"]), after=some.integers(0, 40))
    def kill(self, during: str, after: int) -> None:
        if during in {"edit", "delete"} and not self.visitor.has_some():
            during = "upload"
        self.run(self._kill(getattr(self.visitor, during)(), after / 1000))

    async def _kill(self, work: Awaitable[None], seconds: float) -> None:
        under_way = asyncio.ensure_future(work)
        await asyncio.wait({under_way}, timeout=seconds)
        self.server.process.kill()
        with suppress(aiohttp.ClientError):
            await under_way
        await self.process.aclose()
        await self._start()

    @precondition(lambda self: self.story.world.proxy)
    @rule(call=some.sampled_from(_CALLS), fault=some.sampled_from(_QUICK))
    def spoil(self, call: str, fault: Fault) -> None:
        proxy = self.story.world.proxy
        assert proxy
        proxy.calls.clear()
        proxy.faults[call, 1] = fault

    # ------------------------------------------------------------ what operators do

    @rule()
    def sweep(self) -> None:
        self.run(self._sweep())

    async def _sweep(self) -> None:
        async with self.story.world.open(model.now) as runtime:
            swept = await runtime.sweeper.sweep()
        if swept.failed:
            self.story.ledger.wrong.append(f"3: a sweep failed at {swept.failed}")

    @rule()
    def let_a_day_pass(self) -> None:
        self.run(self._let_a_day_pass())

    async def _let_a_day_pass(self) -> None:
        async with self.story.world.open(tomorrow) as later:
            self.story.ledger.wrong += await left_over(later)
        self.story.ledger.deleted |= self.story.begun.keys() - self.story.ledger.published.keys()
        self.story.over += self.story.begun.values()
        self.story.begun.clear()

    # ------------------------------------------------------------ what always holds

    @invariant()
    def all_agree(self) -> None:
        self.run(self._agree(bytes_too=False))

    async def _agree(self, *, bytes_too: bool) -> None:
        ledger = self.story.ledger
        wrong = await ledger.audit(self.visitor.api, bytes_too=bytes_too)
        for image_id in ledger.published.keys() & self.story.begun.keys():  # its complete was not answered
            self.story.over.append(self.story.begun.pop(image_id))
        assert not wrong, wrong

    def teardown(self) -> None:
        try:
            if hasattr(self, "visitor"):
                self.run(self._end_story())
        finally:
            self.run(self.process.aclose())
            self.run(self.stack.aclose())
            self.loop.close()

    async def _end_story(self) -> None:
        if self.story.world.proxy:
            self.story.world.proxy.faults.clear()
        await self._agree(bytes_too=True)
        await self._let_a_day_pass()
        await self._agree(bytes_too=True)


def live(world: Opening, number: int, stories: int, steps: int) -> None:
    """Live so many stories in worlds of this kind. Raises AssertionError with the shortest that goes wrong."""

    @seed(number)
    class Chosen(Machine):
        opening = staticmethod(world)

    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    chosen = settings(
        max_examples=stories, stateful_step_count=steps, deadline=None, database=None, suppress_health_check=checks
    )
    run_state_machine_as_test(Chosen, settings=chosen)  # type: ignore[no-untyped-call] # it has no types


async def measure(emulator: Emulator, number: int, stories: int) -> list[Tally]:
    """Live so many stories of 40 steps on each backend."""
    tallies = []
    for name, world in {"local": local_world, "aws": aws_world(emulator)}.items():
        tally = Tally(f"stories of up to 40 steps, {name}", stories)
        with tally.timed():
            try:
                await asyncio.to_thread(live, world, number, stories, 40)
            except AssertionError as error:
                tally.violations.append("\n".join([str(error), *getattr(error, "__notes__", [])]))
        tallies.append(tally)
    return tallies
