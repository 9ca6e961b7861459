"""Databases and storages that are lost, older or another depot's, and every maintenance command on what is left.

Whatever an operator runs in whatever order, nothing acknowledged may be lost once the remedy has been applied, and
nothing deleted may be back.
"""

import random
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap.emulator import Emulator
from service.domain import model
from service.domain.errors import ObjectMissing, PixdepotError
from service.domain.model import Details, Expected, Upload
from service.runtime import Runtime
from service.settings import SettingsError
from service.upkeep.migrator import Migrator
from tests.faults.depots import Place, on_aws, on_local
from tests.faults.tally import Tally
from tests.pictures import picture, sha256_of

_PICTURES = [picture(size=(48, 36), seed=seed) for seed in range(6)]


@dataclass
class Story:
    """What clients of one depot were told: the images that are there, and those that are deleted."""

    chance: random.Random
    kept: dict[str, tuple[Details, str]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    begun: list[tuple[Upload, bytes]] = field(default_factory=list)

    async def go_on(self, runtime: Runtime) -> None:
        """Finish what was begun, publish some pictures, delete one now and then, and begin another upload."""
        services = runtime.api.services
        for upload, data in self.begun:
            await services.depot.objects.put(services.depot.upload_key(upload.image_id), data, "image/jpeg")
            await services.uploads.complete(upload.image_id, None)
            self.kept[upload.image_id] = upload.details, sha256_of(data)
        for number in range(self.chance.randint(1, 5)):
            data = self.chance.choice(_PICTURES)
            details = Details(
                self.chance.choice(["ada", "bob"]), f"Photo {number}", "写真.jpg", "About it", ("sea",)
            )
            image = await services.images.upload(details, data)
            self.kept[image.image_id] = details, sha256_of(data)
        if self.chance.random() < 0.7:
            gone = self.chance.choice(sorted(self.kept))
            await services.images.delete(gone, self.kept.pop(gone)[0].user_id, viewer=None)
            self.deleted.add(gone)
        data = self.chance.choice(_PICTURES)
        upload, _ = await services.uploads.begin(
            Details("ada", "Direct", "a.jpg"), Expected("PUT", "image/jpeg", len(data))
        )
        self.begun = [(upload, data)]

    async def audit(self, runtime: Runtime) -> list[str]:
        """Return what was acknowledged, and is not so."""
        depot = runtime.api.services.depot
        wrong = []
        for image_id, (details, sha256) in self.kept.items():
            image = await depot.records.image(image_id)
            if image is None or image.details != details:
                wrong.append(f"2: {image_id} is {image and image.details}")
            elif sha256_of(await depot.whole(image.object_key)) != sha256:
                wrong.append(f"1: {image_id} has other bytes")
        for image_id in self.deleted:
            # A database from before the delete knows the image, but its bytes are gone for good.
            if (image := await depot.records.image(image_id)) is not None:
                try:
                    await depot.whole(image.object_key)
                except ObjectMissing:
                    continue
                wrong.append(f"4: {image_id} is back")
        return wrong


async def _sweep(runtime: Runtime, _: Runtime) -> None:
    await runtime.sweeper.sweep()


async def _reconcile(runtime: Runtime, _: Runtime) -> None:
    await runtime.reconciler.reconcile()


async def _reconcile_by_force(runtime: Runtime, _: Runtime) -> None:
    await runtime.reconciler.reconcile(force=True)


async def _reconcile_dry(runtime: Runtime, _: Runtime) -> None:
    await runtime.reconciler.reconcile(dry_run=True)


async def _reindex(runtime: Runtime, _: Runtime) -> None:
    async for _each in runtime.reindexer.reindex():
        pass


async def _variants(runtime: Runtime, _: Runtime) -> None:
    async for _each in runtime.rebuilder.rebuild():
        pass


async def _migrate(runtime: Runtime, other: Runtime) -> None:
    async for _each in Migrator(other.api.services.depot, runtime.api.services.depot).migrate(dry_run=True):
        pass


async def _readiness(runtime: Runtime, _: Runtime) -> None:
    await runtime.api.services.depot.states()


COMMANDS: tuple[Callable[[Runtime, Runtime], Awaitable[None]], ...] = (
    _sweep, _reconcile, _reconcile_by_force, _reconcile_dry, _reindex, _variants, _migrate, _readiness,
)  # fmt: skip


async def maintain(place: Place, chance: random.Random) -> list[str]:
    """Run every command, in any order, as a server or an operator does; return those that were refused."""
    refused = []
    for command in chance.sample(COMMANDS, len(COMMANDS)):
        # Now and then as where nothing is checked when the service is opened: on AWS nothing ever is.
        paired = chance.random() < 0.5
        try:
            async with place.opened(paired=paired) as runtime, place.opened(paired=False) as other:
                await command(runtime, other)
        except (SettingsError, PixdepotError):
            refused.append(command.__name__)
    return refused


async def recover(place: Place) -> None:
    """Apply the remedy for a database that is lost, or older than the storage."""
    async with place.opened(model.now, paired=False) as runtime:
        async for _ in runtime.recoverer.recover():
            pass
        await runtime.recoverer.restore()


async def lived(place: Place, kind: str, chance: random.Random, older: Path | None = None) -> list[str]:
    """Let a depot live, lose a part of it, maintain what is left, apply the remedy; return what is wrong then."""
    story = Story(chance)
    async with place.opened(model.now) as runtime:
        await runtime.api.services.depot.pairing.check()
        await story.go_on(runtime)
    if older:
        shutil.copy(older, older.with_suffix(".older"))
    async with place.opened(model.now) as runtime:
        await story.go_on(runtime)
    if kind in {"another", "storage"}:
        async with place.other() as other:
            await other.api.services.depot.pairing.check()
            await Story(chance).go_on(other)
    if older and kind == "older":
        older.with_suffix(".older").replace(older)
    elif kind == "storage":
        place.swap_storage()
    else:
        place.swap_database()
    refused = await maintain(place, chance)
    wrong = [] if kind == "older" or "_reconcile_by_force" in refused else [f"{kind}: reconcile was not refused"]
    if kind in {"another", "storage"}:
        (place.swap_database if kind == "another" else place.swap_storage)()
    else:
        await recover(place)
    async with place.opened() as runtime:
        wrong += await story.audit(runtime)
        await runtime.sweeper.sweep()
        if found := (await runtime.reconciler.reconcile(dry_run=True)).orphans:
            wrong.append(f"3: {found} orphans are left")
        wrong += await story.audit(runtime)
    return [f"{kind}: {each}" for each in wrong]


KINDS_LOCAL, KINDS_AWS = ("lost", "older", "another", "storage"), ("lost", "another", "storage")


async def on_files(directory: Path, kind: str, chance: random.Random) -> list[str]:
    """Do it in a directory."""
    older = directory / "here" / "pixdepot.db" if kind == "older" else None
    return await lived(on_local(directory), kind, chance, older)


async def on_an_emulator(emulator: Emulator, kind: str, chance: random.Random) -> list[str]:
    """Do it on AWS, where the tables or the bucket are another's."""
    async with on_aws(emulator) as place:
        return await lived(place, kind, chance)


async def measure(place: Path, emulator: Emulator, seed: int, times: int) -> list[Tally]:
    """Do it so many times on files, and a tenth of that on the emulator."""
    tallies = [Tally("lost, older and other databases and storages, local"), Tally("the same, aws")]
    with tallies[0].timed():
        for number in range(times):
            kind = KINDS_LOCAL[number % len(KINDS_LOCAL)]
            chance = random.Random(f"{seed} {number}")
            tallies[0].violations += await on_files(place / str(number), kind, chance)
            tallies[0].count += 1
    with tallies[1].timed():
        for number in range(-(-times // 10)):
            kind = KINDS_AWS[number % len(KINDS_AWS)]
            tallies[1].violations += await on_an_emulator(emulator, kind, random.Random(f"{seed} {number}"))
            tallies[1].count += 1
    return tallies
