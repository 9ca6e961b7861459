"""Sweepers and reconcilers beside live traffic, and beside each other: nothing that was acknowledged is lost."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from bootstrap.emulator import Emulator
from bootstrap.policy import upkeep_policy
from service.domain import model
from service.domain.errors import PixdepotError, Unavailable
from service.domain.model import Details, Expected, Image, ImageQuery
from service.domain.ports import ImageRepository
from service.operations.depot import Depot
from service.operations.inspection import Inspector
from service.runtime import Runtime, open_service
from service.settings import Settings
from service.upkeep.rebuilder import Rebuilder
from service.upkeep.reconciler import Reconciled
from tests.aws.stand_in import new_account, opened_in
from tests.pictures import picture

DATA = picture(size=(40, 30))
DETAILS = Details("ada", "A photo", "photo.jpg", tags=("lake",))
CLIENTS, PICTURES = 4, 8  # of each
ROUNDS, BETWEEN = 6, 4  # of upkeep, and the attempts at an upload from one to the next


@dataclass(frozen=True)
class Site:
    """One depot, as those see it who live today, and those to whom all that is under way is long overdue."""

    today: Runtime
    tomorrow: Runtime

    @property
    def depot(self) -> Depot:
        return self.today.api.services.depot


def a_day_later() -> datetime:
    return model.now() + timedelta(days=1)


@pytest.fixture(params=["local", "aws"])
async def site(request: pytest.FixtureRequest, tmp_path: Path, emulator: Emulator) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        if request.param == "local":
            settings = Settings(data_dir=tmp_path)
            opened = [open_service(settings), open_service(settings, a_day_later)]
        else:
            account = await stack.enter_async_context(new_account(emulator))
            account = replace(account, key=await emulator.create_user(upkeep_policy(account.settings)))
            opening = (open_service(account.settings), open_service(account.settings, a_day_later))
            opened = [opened_in(account.environment(), each) for each in opening]
        yield Site(*[await stack.enter_async_context(each) for each in opened])


async def directly(site: Site) -> Image:
    """Publish a picture as a client does that sends its bytes straight into storage."""
    uploads = site.today.api.services.uploads
    upload, _ = await uploads.begin(DETAILS, Expected("PUT", "image/jpeg", len(DATA)))
    await site.depot.objects.put(site.depot.upload_key(upload.image_id), DATA, "image/jpeg")
    return await uploads.complete(upload.image_id, None)


async def in_a_request(site: Site) -> Image:
    """Publish a picture whose bytes come in the request."""
    return await site.today.api.services.images.upload(DETAILS, DATA)


@dataclass
class Traffic:
    """What clients do, and what they were told."""

    kept: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)

    async def run(self, site: Site, publish: Callable[[Site], Awaitable[Image]], over: Callable[[], None]) -> None:
        """Publish pictures, delete every third, and call `over` after each attempt."""
        published = 0
        while published < PICTURES:
            try:
                image = await publish(site)
            except Unavailable:
                raise
            except PixdepotError:
                pass  # it was overdue, and swept
            else:
                published += 1
                await self._perhaps_deleted(site, image.image_id, published)
            over()

    async def _perhaps_deleted(self, site: Site, image_id: str, number: int) -> None:
        self.kept.add(image_id)
        if number % 3 == 0:
            await site.today.api.services.images.delete(image_id, "ada", viewer=None)
            self.kept.remove(image_id)
            self.deleted.add(image_id)


async def repeated(work: Callable[[], Awaitable[object]], turns: asyncio.Semaphore) -> None:
    """Do a round of upkeep after every few uploads, while others are under way."""
    for _ in range(ROUNDS):
        for _ in range(BETWEEN):
            await turns.acquire()
        await work()


@pytest.mark.parametrize("publish", [directly, in_a_request])
async def test_nothing_acknowledged_is_lost_and_nothing_deleted_comes_back(
    site: Site, publish: Callable[[Site], Awaitable[Image]]
) -> None:
    sweeper, reconciler, traffic = site.tomorrow.sweeper, site.tomorrow.reconciler, Traffic()
    upkeep = [sweeper.sweep, sweeper.sweep, reconciler.reconcile, reconciler.reconcile]
    turns = [asyncio.Semaphore(0) for _ in upkeep]

    def over() -> None:
        for each in turns:
            each.release()

    async with asyncio.TaskGroup() as tasks:
        for work, turn in zip(upkeep, turns, strict=True):
            tasks.create_task(repeated(work, turn))
        for _ in range(CLIENTS):
            tasks.create_task(traffic.run(site, publish, over))
    assert (len(traffic.kept), len(traffic.deleted)) == (CLIENTS * 6, CLIENTS * 2)

    await assert_kept(site, traffic)
    await site.tomorrow.sweeper.sweep()
    await site.tomorrow.reconciler.reconcile()
    assert await site.tomorrow.reconciler.reconcile() == Reconciled(0, 0)
    await assert_kept(site, traffic)
    objects = {each.key.split("/")[1] async for each in site.depot.objects.list("")}
    assert objects == traffic.kept


async def assert_kept(site: Site, traffic: Traffic) -> None:
    """Fail unless there is what the clients were told that there is: in lists, by id, and its bytes."""
    for query in (ImageQuery(), ImageQuery(user_id="ada"), ImageQuery(tags=("lake",)), ImageQuery(title="photo")):
        page = await site.depot.records.find(query, None, 100)
        assert {each.image_id for each in page.images} == traffic.kept, query
    for image_id in traffic.kept:
        image = await site.depot.records.image(image_id)
        assert image
        data = b"".join([chunk async for chunk in await site.depot.objects.open(image.object_key)])
        assert hashlib.sha256(data).hexdigest() == image.content.sha256
    for image_id in traffic.deleted:
        assert await site.depot.records.image(image_id) is None


async def keys(site: Site) -> set[str]:
    return {each.key async for each in site.depot.objects.list("")}


async def test_bytes_that_arrive_after_their_upload_was_forgotten_are_swept(site: Site) -> None:
    """S3 takes a PUT that began before its link expired, however long it lasts."""
    upload, _ = await site.today.api.services.uploads.begin(DETAILS, Expected("PUT", "image/jpeg", len(DATA)))
    await site.tomorrow.sweeper.sweep()
    assert await site.depot.records.upload(upload.image_id) is None
    await site.depot.objects.put(site.depot.upload_key(upload.image_id), DATA, "image/jpeg")
    assert (await site.tomorrow.sweeper.sweep()).removed == 1
    assert await keys(site) == set()


async def test_bytes_that_arrive_long_after_their_image_was_published_are_swept(site: Site) -> None:
    image = await directly(site)
    await site.tomorrow.sweeper.sweep()
    await site.depot.objects.put(site.depot.upload_key(image.image_id), DATA, "image/jpeg")
    assert (await site.tomorrow.sweeper.sweep()).removed == 1
    assert await keys(site) == set(image.object_keys)


async def test_bytes_of_others_below_uploads_and_of_an_upload_that_waits_are_left_alone(site: Site) -> None:
    # Its links have been made to last until after tomorrow.
    upload, _ = await site.today.api.services.uploads.begin(DETAILS, Expected("PUT", "image/jpeg", len(DATA)))
    await site.depot.records.extend(upload.image_id, model.now() + timedelta(days=2))
    others = {site.depot.upload_key(upload.image_id), "uploads/photo.jpg", "uploads/ada/photo.jpg"}
    for key in others:
        await site.depot.objects.put(key, DATA, "image/jpeg")
    assert (await site.tomorrow.sweeper.sweep()).removed == 0
    assert await keys(site) == others


class CutOff:
    """A repository that is cut off from its caller when this one of its methods is called."""

    def __init__(self, records: ImageRepository, method: str) -> None:
        self._records, self._method = records, method

    def __getattr__(self, name: str) -> object:
        if name == self._method:
            raise asyncio.CancelledError
        return getattr(self._records, name)


@pytest.mark.parametrize("method", ["exchange_variants", "schedule_sweep"])
async def test_variants_of_a_rebuild_that_was_cut_off_are_swept(site: Site, method: str) -> None:
    image = await in_a_request(site)
    settings = replace(site.depot.settings, variant_format="avif")
    depot = replace(site.depot, settings=settings, inspector=Inspector(settings))
    cut = replace(depot, records=cast("ImageRepository", CutOff(depot.records, method)))
    with suppress(asyncio.CancelledError):
        [each async for each in Rebuilder(cut).rebuild()]
    await site.tomorrow.sweeper.sweep()
    assert await keys(site) == set(image.object_keys)


async def test_a_copy_that_was_made_beside_a_keyed_upload_is_swept_though_its_maker_died(site: Site) -> None:
    """Two processes work on one key at once; the second is killed before it takes its own copy away."""
    image = await site.today.api.services.images.upload(DETAILS, DATA, idempotency_key="once")
    copy = site.depot.sealed_key(image.image_id)
    await site.depot.objects.put(copy, DATA, "image/jpeg")
    await site.tomorrow.sweeper.sweep()
    assert await keys(site) == set(image.object_keys)
