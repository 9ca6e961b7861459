"""Two servers on one backend whose clocks jump by hours, both ways, and are set right again within ten minutes.

Nothing that was acknowledged is lost, nothing that was deleted comes back, and nothing is left over.
"""

import asyncio
import random
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from bootstrap.emulator import Emulator
from service.domain import model
from service.domain.clocks import SteadyClock
from service.domain.errors import ImageGone, NotFound
from service.domain.model import Details, Expected
from service.operations.depot import Depot
from service.operations.images import ImageService
from service.operations.inspection import Inspector
from service.operations.uploads import UploadService
from service.settings import Settings
from service.upkeep.sweeper import Sweeper
from tests.faults.sites import Site, left_over, on_aws, on_local
from tests.faults.tally import Tally
from tests.pictures import picture

DATA = picture()
STEPS = 40
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


class Process:
    """A server whose clock is `wrong` by some time."""

    def __init__(self, site: Site, world: "World") -> None:
        self.wrong = timedelta()
        self._since = timedelta()
        self._world, settings = world, Settings()
        self.depot = Depot(site.depot.objects, site.depot.records, settings, Inspector(settings), self.clock)
        object.__setattr__(self.depot, "times", SteadyClock(self.clock, world.seconds))
        self.images, self.uploads = ImageService(self.depot), UploadService(self.depot)
        self.sweeper = Sweeper(self.depot)
        self.sweeper._now = self.depot.times.earliest

    def clock(self) -> datetime:
        """Return the time as it is told here."""
        return self._world.now + self.wrong

    def jump(self, chance: random.Random) -> None:
        """Let the clock jump; or set it right, at the latest before it is believed."""
        if self.wrong and (chance.random() < 0.5 or self._world.passed - self._since > 6 * MINUTE):
            self.wrong = timedelta()
        elif not self.wrong and chance.random() < 0.4:
            self.wrong, self._since = chance.choice([-1, 1]) * chance.uniform(0.1, 20) * HOUR, self._world.passed
        self.depot.times.earliest()  # as each round of sweep looks at it


@dataclass
class World:
    """The true time, and what was acknowledged: the images that are there, by key, and those that were deleted."""

    began: datetime = field(default_factory=model.now)
    passed: timedelta = timedelta()
    user: str = field(default_factory=lambda: f"user-{secrets.token_hex(8)}")
    there: dict[str, str] = field(default_factory=dict)
    deleted: dict[str, str] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        """Return the true time."""
        return self.began + self.passed

    def seconds(self) -> float:
        """Return the true time since the beginning."""
        return self.passed.total_seconds()

    def details(self) -> Details:
        """Return what every upload says."""
        return Details(self.user, "A photo", "photo.jpg")


async def story(site: Site, chance: random.Random) -> list[str]:
    """Let two processes do anything while time goes on; return what is wrong in the end."""
    world = World()
    processes = [Process(site, world) for _ in range(2)]
    wrong: list[str] = []
    for _ in range(STEPS):
        world.passed += timedelta(minutes=chance.choice([0.1, 1, 3]))
        for each in processes:
            each.jump(chance)
        wrong += await step(world, chance.choice(processes), chance)
        await asyncio.gather(*(each.sweeper.sweep() for each in processes))
    for each in processes:
        each.wrong = timedelta()
    images = {each.image_id async for page in site.depot.everything() for each in page if owned(each, world)}
    wrong += [f"2: {key} is lost" for key, image_id in world.there.items() if image_id not in images]
    wrong += [f"4: {key} is back" for key, image_id in world.deleted.items() if image_id in images]
    wrong += [f"5: {image_id} is one too many" for image_id in images - {*world.there.values()}]
    return wrong


def owned(image: model.Image, world: World) -> bool:
    """Return whether an image is of this world."""
    return image.details.user_id == world.user


async def step(world: World, process: Process, chance: random.Random) -> list[str]:
    """Do one thing, and return what is wrong with its outcome."""
    match chance.choice(["upload", "again", "again", "delete", "direct"]):
        case "upload":
            key = secrets.token_hex(4)
            image = await process.images.upload(world.details(), DATA, idempotency_key=key)
            world.there[key] = image.image_id
        case "again" if world.there or world.deleted:
            return await again(world, process, chance.choice([*world.there, *world.deleted]))
        case "delete" if world.there:
            key = chance.choice([*world.there])
            world.deleted[key] = world.there.pop(key)
            await process.images.delete(world.deleted[key], world.user, viewer=None)
        case "direct":
            return await direct(world, process)
    return []


async def again(world: World, process: Process, key: str) -> list[str]:
    """Send an upload again."""
    try:
        image = await process.images.upload(world.details(), DATA, idempotency_key=key)
    except ImageGone:
        return [f"{key} is told to be gone"] if key in world.there else []
    if key in world.deleted:
        return [f"4: {key} came back"]
    return [] if image.image_id == world.there[key] else [f"5: {key} is another image"]


async def direct(world: World, process: Process) -> list[str]:
    """Begin an upload, and find it pending while its time lasts."""
    begun, _ = await process.uploads.begin(world.details(), Expected("PUT", "image/jpeg", len(DATA)))
    try:
        await process.uploads.status(begun.image_id, world.user)
        await process.sweeper.sweep()
        await process.uploads.sign(begun.image_id, world.user)
    except NotFound:
        return [f"{begun.image_id} was swept"]
    return []


async def run(site: Site, chance: random.Random, times: int, tally: Tally) -> None:
    """Tell so many stories."""
    with tally.timed():
        for _ in range(times):
            tally.violations += await story(site, chance)
            tally.count += 1


async def measure(place: Path, emulator: Emulator, seed: int, times: int) -> list[Tally]:
    """Tell so many stories on each backend, and look at what is left over."""
    tallies = []
    for name, running in {"local": on_local(place), "aws": on_aws(emulator)}.items():
        tally = Tally(f"two servers whose clocks jump by hours, {name}")
        async with running as site:
            await run(site, random.Random(seed), times, tally)
            tally.violations += await left_over(site.later)
        tallies.append(tally)
    return tallies
