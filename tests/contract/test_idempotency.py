"""One idempotency key, one image, whatever a request leaves behind: each `Depot` here is a process of its own."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from service.backends import Backend
from service.domain import model
from service.domain.errors import IdempotencyMismatch, ImageGone, InFlight
from service.domain.model import Details, Expected, Image, ImageQuery, State
from service.operations.depot import Claimed, Depot
from service.operations.images import ImageService
from service.operations.inspection import Inspector
from service.operations.uploads import UploadService
from service.settings import Settings
from service.upkeep.sweeper import Sweeper
from tests.pictures import picture, sha256_of

DATA = picture()
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


class Site:
    """A backend that several processes share, and a key and a user that nobody else has."""

    def __init__(self, backend: Backend) -> None:
        self.objects, self.records = backend.objects, backend.records
        self.key = secrets.token_hex(8)
        self.details = Details(secrets.token_hex(8), "A photo", "photo.jpg", tags=("sea",))
        self.began = model.now()

    def process(self, after: timedelta = timedelta()) -> Depot:
        """Return a new process, whose clock stands still when this much time has passed."""
        settings = Settings()

        def clock() -> datetime:
            return self.began + after

        return Depot(self.objects, self.records, settings, Inspector(settings), clock)

    async def upload(self, process: Depot) -> Image:
        """Ask for the upload."""
        return await ImageService(process).upload(self.details, DATA, idempotency_key=self.key)

    async def claim(self, process: Depot) -> Claimed:
        """Do no more of an upload than to claim its key."""
        made = await process.inspector.inspected(DATA)
        expected = Expected("PUT", made.content.content_type, made.content.file_size, made.content.sha256)
        return await process.claimed("upload_image", self.key, process.new_upload(self.details, expected))

    async def stored(self, image_id: str) -> list[str]:
        """Return the keys of an image's objects."""
        return sorted([each.key async for each in self.objects.list(f"images/{image_id}/")])

    async def listed(self) -> list[Image]:
        """Return the user's images."""
        return list((await self.records.find(ImageQuery(user_id=self.details.user_id), None, 10)).images)


class Halted:
    """A port whose calls of one name wait until `go`; `reached` tells that one does."""

    def __init__(self, port: Any, name: str) -> None:
        self._port, self._name = port, name
        self.reached, self.go = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def halted(*arguments: Any, **options: Any) -> Any:
            self.reached.set()
            await self.go.wait()
            return await method(*arguments, **options)

        return halted if name == self._name else method


class Watched:
    """A port that tells when a method of one name is called."""

    def __init__(self, port: Any, name: str) -> None:
        self._port, self._name = port, name
        self.calls = asyncio.Queue[None]()

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            self.calls.put_nowait(None)
        return getattr(self._port, name)


@pytest.fixture
def site(backend: Backend) -> Site:
    return Site(backend)


async def claimed_only(site: Site, claimed: Claimed) -> None:
    pass


async def begun(site: Site, claimed: Claimed) -> None:
    await site.records.begin(claimed.upload)


async def stored_only(site: Site, claimed: Claimed) -> None:
    await site.objects.put(f"images/{claimed.upload.image_id}/first/original", DATA, "image/jpeg")


async def all_but_published(site: Site, claimed: Claimed) -> None:
    await stored_only(site, claimed)
    await begun(site, claimed)
    await site.records.prepare(claimed.upload)


BROKEN_OFF = pytest.mark.parametrize("broken_off", [claimed_only, begun, stored_only, all_but_published])


@BROKEN_OFF
async def test_what_broke_off_anywhere_is_gone_on_with_and_makes_one_image(
    site: Site, broken_off: Callable[[Site, Claimed], Awaitable[None]]
) -> None:
    claimed = await site.claim(site.process())
    await broken_off(site, claimed)
    with pytest.raises(InFlight):
        await site.upload(site.process())
    image = await site.upload(site.process(after=3 * SECOND))
    assert (image.image_id, image.created_at) == (claimed.upload.image_id, claimed.upload.created_at)
    assert await site.listed() == [image]
    assert image.content.sha256 == sha256_of(DATA)

    await Sweeper(site.process(after=HOUR)).sweep()
    assert await site.stored(image.image_id) == sorted(image.object_keys)
    assert await site.upload(site.process(after=HOUR)) == image


async def test_what_this_very_process_began_and_failed_at_is_gone_on_with_at_once(site: Site) -> None:
    process = site.process()
    claimed = await site.claim(process)
    assert (await site.upload(process)).image_id == claimed.upload.image_id


async def test_processes_that_go_on_at_once_publish_one_image_with_one_object(site: Site) -> None:
    claimed = await site.claim(site.process())
    late = 3 * SECOND
    images = await asyncio.gather(*(site.upload(site.process(after=late)) for _ in range(10)))
    assert {image.image_id for image in images} == {claimed.upload.image_id}
    assert len(set(images)) == 1
    assert await site.stored(images[0].image_id) == sorted(images[0].object_keys)
    assert await site.listed() == [images[0]]


async def test_processes_that_begin_at_once_publish_one_image_with_one_object(site: Site) -> None:
    uploads = (site.upload(site.process()) for _ in range(10))
    outcomes = await asyncio.gather(*uploads, return_exceptions=True)
    images = {each for each in outcomes if isinstance(each, Image)}
    assert all(isinstance(each, Image | InFlight) for each in outcomes)
    assert len(images) == 1
    assert await site.listed() == [*images]
    for image in images:
        assert await site.stored(image.image_id) == sorted(image.object_keys)


async def test_a_process_answers_all_that_ask_at_once(site: Site) -> None:
    process = ImageService(site.process())
    uploads = (process.upload(site.details, DATA, idempotency_key=site.key) for _ in range(50))
    assert len(set(await asyncio.gather(*uploads))) == 1
    assert len(await site.listed()) == 1


async def test_a_deleted_image_does_not_come_back_while_its_key_lives_swept_or_not(site: Site) -> None:
    image = await site.upload(site.process())
    await ImageService(site.process()).delete(image.image_id, site.details.user_id, viewer=None)
    for after in (timedelta(), 5 * SECOND, MINUTE, 24 * MINUTE, 30 * MINUTE, 23 * HOUR):
        await Sweeper(site.process(after)).sweep()
        with pytest.raises(ImageGone):
            await site.upload(site.process(after))
    assert await site.records.upload(image.image_id) is None
    assert await site.listed() == []
    assert await site.stored(image.image_id) == []


async def test_what_is_deleted_and_swept_while_another_request_goes_on_with_it_stays_deleted(site: Site) -> None:
    await begun(site, await site.claim(site.process()))
    objects: Any = Halted(site.objects, "put")
    records: Any = Halted(site.records, "begin")
    late = site.process(after=3 * SECOND)
    slow = asyncio.create_task(site.upload(replace(late, objects=objects, records=records)))
    await asyncio.wait_for(objects.reached.wait(), 30)
    image = await site.upload(late)
    await ImageService(late).delete(image.image_id, site.details.user_id, viewer=None)
    await Sweeper(site.process(after=HOUR)).sweep()
    assert await site.records.upload(image.image_id) is None
    objects.go.set()
    records.go.set()
    with pytest.raises(ImageGone):
        await slow
    assert await site.listed() == []
    assert await site.stored(image.image_id) == []


async def test_after_a_day_the_key_is_new_again(site: Site) -> None:
    image = await site.upload(site.process())
    assert (await site.upload(site.process(after=23 * HOUR))).image_id == image.image_id
    again = await site.upload(site.process(after=25 * HOUR))
    assert {each.image_id for each in await site.listed()} == {image.image_id, again.image_id}
    assert again.image_id != image.image_id


async def test_what_was_never_finished_is_given_up_when_it_is_swept(site: Site) -> None:
    claimed = await site.claim(site.process())
    await all_but_published(site, claimed)
    late = site.process(after=30 * MINUTE)
    await Sweeper(late).sweep()
    with pytest.raises(ImageGone):
        await site.upload(late)
    assert await site.stored(claimed.upload.image_id) == []


async def test_a_direct_upload_is_begun_once_by_many_processes(site: Site) -> None:
    expected = Expected("PUT", "image/jpeg", len(DATA))
    services = [UploadService(site.process(after=n * SECOND)) for n in range(10)]
    answers = await asyncio.gather(
        *(each.begin(site.details, expected, idempotency_key=site.key) for each in services)
    )
    upload, link = answers[0]
    assert all(each == (upload, link) for each in answers)
    assert await site.records.upload(upload.image_id) == upload


async def test_a_direct_upload_that_was_claimed_and_not_begun_is_begun_by_the_next(site: Site) -> None:
    expected = Expected("PUT", "image/jpeg", len(DATA))
    process = site.process()
    claimed = await process.claimed("begin_upload", site.key, process.new_upload(site.details, expected))
    upload, _ = await UploadService(site.process()).begin(site.details, expected, idempotency_key=site.key)
    assert upload == claimed.upload
    found = await site.records.upload(upload.image_id)
    assert found is not None
    assert found.state is State.PENDING


async def test_a_cancelled_upload_does_not_come_back_swept_or_not(site: Site) -> None:
    expected = Expected("PUT", "image/jpeg", len(DATA))
    upload, _ = await UploadService(site.process()).begin(site.details, expected, idempotency_key=site.key)
    await UploadService(site.process()).cancel(upload.image_id, None)
    for after in (timedelta(), 24 * MINUTE, 30 * MINUTE):
        process = site.process(after)
        await Sweeper(process).sweep()
        with pytest.raises(ImageGone):
            await UploadService(process).begin(site.details, expected, idempotency_key=site.key)


async def test_another_request_with_the_key_changes_nothing(site: Site) -> None:
    image = await site.upload(site.process())
    expected = Expected("PUT", "image/jpeg", len(DATA), sha256_of(DATA))
    with pytest.raises(IdempotencyMismatch):
        await UploadService(site.process()).begin(site.details, expected, idempotency_key=site.key)
    with pytest.raises(IdempotencyMismatch):
        await ImageService(site.process()).upload(site.details, picture(seed=2), idempotency_key=site.key)
    assert await site.listed() == [image]


async def test_a_request_that_comes_when_sweep_is_about_to_does_not_go_on(site: Site) -> None:
    claimed = await site.claim(site.process())
    await site.records.begin(claimed.upload)
    with pytest.raises(ImageGone):
        await site.upload(site.process(25 * MINUTE - SECOND))
    assert await site.stored(claimed.upload.image_id) == []


@pytest.mark.parametrize("ahead", [10 * MINUTE, 3 * HOUR])
async def test_a_claim_by_a_process_whose_clock_is_ahead_keeps_nobody_waiting(site: Site, ahead: timedelta) -> None:
    claimed = await site.claim(site.process(ahead))
    image = await site.upload(site.process())
    assert image.image_id == claimed.upload.image_id
    assert await site.listed() == [image]


async def test_a_server_whose_clock_is_ahead_for_a_moment_brings_nothing_back(site: Site) -> None:
    ahead = timedelta()
    watched = Watched(site.records, "due")
    process = replace(site.process(), records=watched, clock=lambda: site.began + ahead)
    image = await site.upload(process)
    await ImageService(process).delete(image.image_id, site.details.user_id, viewer=None)
    begun, _ = await UploadService(process).begin(site.details, Expected("PUT", "image/jpeg", len(DATA)))
    sweeping = asyncio.create_task(Sweeper(process).run(0.05))
    await asyncio.sleep(0)
    for hours in (1, 0, 5, 0):
        ahead = hours * HOUR
        for _ in range(3):  # the last one begins after the second has ended
            await asyncio.wait_for(watched.calls.get(), 30)
    sweeping.cancel()
    with pytest.raises(ImageGone):
        await site.upload(process)
    assert await site.listed() == []
    assert await site.records.upload(begun.image_id) == begun


async def test_a_server_whose_clock_is_behind_for_a_moment_brings_nothing_back(site: Site) -> None:
    wrong = timedelta()
    image = await site.upload(site.process())
    await ImageService(site.process()).delete(image.image_id, site.details.user_id, viewer=None)
    await Sweeper(site.process(HOUR)).sweep()
    assert await site.records.upload(image.image_id) is None
    process = replace(site.process(HOUR), clock=lambda: site.began + HOUR + wrong)
    wrong = -HOUR
    with pytest.raises(ImageGone):
        await site.upload(process)
    assert await site.listed() == []
