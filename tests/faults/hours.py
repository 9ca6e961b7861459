"""Two server processes on one backend, whose clocks are set wrong by hours, both ways, and right again.

What was acknowledged is there in the end, what was deleted is gone, and sweep alone leaves nothing over.
"""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

from bootstrap.emulator import Emulator
from service.runtime import Runtime, open_service
from service.settings import Settings
from tests.api.client import Answer, ApiClient
from tests.aws.stand_in import new_account, opened_in, sdk_environment
from tests.faults.sites import left_over, tomorrow
from tests.faults.tally import Tally
from tests.pictures import picture
from tests.process.servers import serving
from tests.servers.faketime import Clock

DATA = picture()
STEPS = 25
SERVERS = 2
HOUR = timedelta(hours=1)
DIRECT = "direct "  # before the ID of an image that has no idempotency key
GONE = (410, "image_gone")
BUSY = {(503, "unavailable")}  # an answer that anybody may get at any time, and that acknowledges nothing


@dataclass(frozen=True)
class Process:
    """A server in a process of its own, and its clock."""

    api: ApiClient
    clock: Clock

    async def jump(self, by: timedelta) -> None:
        """Set the clock, and wait until the server tells that time."""
        self.clock.set(by)
        async with asyncio.timeout(30):
            while abs(await self._time() - datetime.now(UTC) - by) > timedelta(minutes=1):
                pass

    async def _time(self) -> datetime:
        answer = await self.api.get("/health")
        return parsedate_to_datetime(answer.headers["Date"])


@dataclass(frozen=True)
class Place:
    """Two servers, and their backend as it is tomorrow."""

    processes: list[Process]
    later: Runtime


@asynccontextmanager
async def running(directory: Path, settings: Settings, environment: dict[str, str]) -> AsyncIterator[list[Process]]:
    """Run the servers on a backend. Each sweeps every second."""
    async with AsyncExitStack() as stack:
        processes = []
        for n in range(SERVERS):
            clock = Clock(directory / f"clock-{n}")
            clock.set(timedelta())
            own = {**environment, **clock.environment, "PIXDEPOT_SWEEP_INTERVAL": "1"}
            server = await stack.enter_async_context(serving(directory, **own))
            processes.append(Process(server.api, clock))
        yield processes


@asynccontextmanager
async def on_local(directory: Path) -> AsyncIterator[Place]:
    """Run both servers on one data directory."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = Settings(data_dir=directory / "data")
    async with running(directory, settings, {}) as processes, open_service(settings, tomorrow) as later:
        yield Place(processes, later)


@asynccontextmanager
async def on_aws(directory: Path, emulator: Emulator) -> AsyncIterator[Place]:
    """Run both servers on a bucket and tables of their own."""
    directory.mkdir(parents=True, exist_ok=True)
    async with new_account(emulator) as account:
        settings = account.settings
        environment = {
            **replace(emulator, root=account.key).sdk_environment,
            "PIXDEPOT_BACKEND": "aws",
            "PIXDEPOT_BUCKET": settings.bucket,
            "PIXDEPOT_TABLE": settings.table,
            "PIXDEPOT_INDEX_TABLE": settings.index_table,
        }
        operator = sdk_environment(emulator.endpoint_url, emulator.root)
        async with (
            running(directory, settings, environment) as processes,
            opened_in(operator, open_service(settings, tomorrow)) as later,
        ):
            yield Place(processes, later)


@dataclass
class Story:
    """What was acknowledged: the images that are there, by idempotency key, and those that were deleted."""

    there: dict[str, str] = field(default_factory=dict)
    deleted: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    jumps: int = 0

    async def told(self, processes: list[Process], chance: random.Random) -> None:
        """Let anything happen while the clocks jump; in the end they are right."""
        for _ in range(STEPS):
            await self._jump(chance.choice(processes), chance)
            await self._step(chance.choice(processes).api, chance)
        for each in processes:
            await each.jump(timedelta())
        for each in processes:
            await self._check(each.api)

    async def _jump(self, process: Process, chance: random.Random) -> None:
        by = chance.choice([timedelta(), chance.choice([-1, 1]) * chance.uniform(0.1, 20) * HOUR, None])
        if by is None:
            return
        await process.jump(by)
        self.jumps += bool(by)

    async def _step(self, api: ApiClient, chance: random.Random) -> None:
        match chance.choice(["upload", "again", "again", "delete", "direct"]):
            case "again" if keys := [key for key in (*self.there, *self.deleted) if not key.startswith(DIRECT)]:
                await self._again(api, chance.choice(keys))
            case "delete" if self.there:
                await self._delete(api, chance.choice([*self.there]))
            case "direct":
                await self._direct(api)
            case _:
                await self._upload(api)

    async def _upload(self, api: ApiClient) -> None:
        key = secrets.token_hex(8)
        answer = await _keyed(api, key).upload(DATA)
        if answer.status == 201:
            self.there[key] = answer.json["image_id"]
        else:
            self._allow(answer, BUSY)

    async def _again(self, api: ApiClient, key: str) -> None:
        answer = await _keyed(api, key).upload(DATA)
        if answer.status == 201 and key in self.deleted:
            self.wrong.append(f"4: {key} came back")
        elif answer.status == 201 and answer.json["image_id"] != self.there[key]:
            self.wrong.append(f"5: {key} is another image")
        elif answer.status != 201:
            self._allow(answer, BUSY | ({GONE} if key in self.deleted else set()))

    async def _delete(self, api: ApiClient, key: str) -> None:
        answer = await api.delete(f"/images/{self.there[key]}", {"user_id": "ada"})
        if answer.status == 200:
            self.deleted[key] = self.there.pop(key)
        else:
            self._allow(answer, BUSY)

    async def _direct(self, api: ApiClient) -> None:
        begun = await api.begin(DATA)
        if begun.status != 201:
            self._allow(begun, BUSY)
            return
        image_id = begun.json["image_id"]
        sent = await api.transfer(begun.json["upload"], DATA)
        if sent.status >= 300:  # to the storage, whose clock is another's, the link may be too old or not valid yet
            self._allow(await api.get(f"/uploads/{image_id}"), BUSY | {(200, None)})
            return
        completed = await api.complete(image_id)
        if completed.status == 200:
            self.there[DIRECT + image_id] = image_id
        else:
            self._allow(completed, BUSY)

    async def _check(self, api: ApiClient) -> None:
        """Look at everything that was acknowledged."""
        for key, image_id in self.there.items():
            answer = await api.download(image_id)
            if answer.status != 302 and answer.body != DATA:
                self.wrong.append(f"2: {key} is lost: {answer.outcome}")
        for key, image_id in self.deleted.items():
            if (await api.get(f"/images/{image_id}")).status not in {404, 410}:
                self.wrong.append(f"4: {key} is back")

    def _allow(self, answer: Answer, outcomes: set[tuple[int, str | None]]) -> None:
        if answer.outcome not in outcomes:
            self.wrong.append(f"{answer.outcome}: {answer.body[:300]!r}")


def _keyed(api: ApiClient, key: str) -> ApiClient:
    return replace(api, headers={"Idempotency-Key": key})


async def run(place: Place, chance: random.Random, times: int, tally: Tally) -> None:
    """Tell so many stories, and look at what sweep leaves in the end."""
    jumps = 0
    with tally.timed():
        for _ in range(times):
            story = Story()
            await story.told(place.processes, chance)
            tally.violations += story.wrong
            tally.count += 1
            jumps += story.jumps
    tally.figures = f"{jumps} jumps"


async def measure(directory: Path, emulator: Emulator, seed: int, times: int) -> list[Tally]:
    """Tell so many stories on each backend."""
    tallies = []
    for name, opening in {
        "local": on_local(directory / "local"),
        "aws": on_aws(directory / "aws", emulator),
    }.items():
        tally = Tally(f"two processes whose clocks jump by hours, {name}")
        async with opening as place:
            await run(place, random.Random(seed), times, tally)
            tally.violations += await left_over(place.later)
        tallies.append(tally)
    return tallies
