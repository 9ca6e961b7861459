"""Every image arrives as it is, whenever a run is cut off, and whatever happens on both sides meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import Unavailable
from service.domain.model import Details, Image, now
from service.operations.depot import Depot
from service.operations.images import ImageService
from service.runtime import Runtime, open_service
from service.settings import Settings
from service.upkeep.migrator import Migrated, Migrator
from service.upkeep.sweeper import Sweeper
from tests.faults.sites import everything, left_over, tomorrow
from tests.pictures import picture, sha256_of


@dataclass(frozen=True)
class Library:
    """A service on local files."""

    runtime: Runtime

    @property
    def depot(self) -> Depot:
        return self.runtime.api.services.depot

    @property
    def images(self) -> ImageService:
        return self.runtime.api.services.images

    async def add(self, number: int, **details: Any) -> Image:
        data = picture(size=(1200, 900), seed=number)
        return await self.images.upload(Details("ada", f"Photo {number}", "photo.jpg", **details), data)

    async def edit(self, image: Image, **details: Any) -> Image:
        return await self.images.edit(image.image_id, "ada", viewer="ada", **details)

    async def delete(self, image: Image) -> None:
        await self.images.delete(image.image_id, "ada", viewer="ada")

    def file(self, key: str) -> Path:
        return self.depot.settings.data_dir / "objects" / key


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Library]:
    async with open_service(Settings(data_dir=tmp_path / "here")) as runtime:
        yield Library(runtime)


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[Library]:
    async with open_service(Settings(data_dir=tmp_path / "there")) as runtime:
        yield Library(runtime)


async def migrated(here: Library, there: Library, *, dry_run: bool = False) -> Migrated:
    """Migrate, and return the last of the counts."""
    migrator = Migrator(here.depot, there.depot)
    return [each async for each in migrator.migrate(dry_run=dry_run)][-1]


async def content(library: Library) -> dict[str, tuple[Image, list[str]]]:
    """Return every image, with the digests of its objects."""
    return {
        each.image_id: (each, [sha256_of(await library.depot.whole(key)) for key in each.object_keys])
        async for each in everything(library.depot)
    }


async def some_images(library: Library) -> list[Image]:
    """Add images that differ in all that an image can differ in."""
    edited = await library.add(1, tags=("sea", "Sunset"))
    return [
        await library.edit(edited, title="Edited", tags=("lake",), visibility="public"),
        await library.add(2, description="About it", visibility="public"),
        await library.images.upload(Details("grace", "Small", "small.png"), picture("PNG")),
    ]


async def test_every_image_arrives_as_it_is(here: Library, there: Library) -> None:
    images = await some_images(here)
    done = await migrated(here, there)
    assert (done.total, done.looked_at, done.copied, done.failed) == (3, 3, 3, 0)
    assert done.copied_bytes == sum(each.content.file_size for each in images)
    assert await content(there) == await content(here)
    assert len(await content(there)) == 3


async def test_what_is_there_is_not_written_again(here: Library, there: Library) -> None:
    await some_images(here)
    await migrated(here, there)
    written = [each async for each in there.depot.objects.list("images/")]
    assert await migrated(here, there) == Migrated(3, there=3)
    assert [each async for each in there.depot.objects.list("images/")] == written


async def test_a_dry_run_tells_and_writes_nothing(here: Library, there: Library) -> None:
    await some_images(here)
    assert (await migrated(here, there, dry_run=True)).copied == 3
    assert await content(there) == {}
    assert await there.depot.records.due(tomorrow(), 1) == []


async def test_it_tells_how_far_it_is(here: Library, there: Library) -> None:
    for number in range(9):
        await here.add(number)
    counts = [each async for each in Migrator(here.depot, there.depot).migrate()]
    assert [each.total for each in counts] == [9, 9, 9]
    assert [each.looked_at for each in counts] == [0, 8, 9]


async def test_what_was_deleted_at_the_target_stays_deleted_long_after_its_tombstone(
    here: Library, there: Library
) -> None:
    gone, kept = await here.add(1), await here.add(2)
    await migrated(here, there)
    await there.delete(gone)
    later = Sweeper(replace(there.depot, clock=tomorrow))
    assert (await later.sweep()).removed == 1
    assert await there.depot.records.upload(gone.image_id) is None
    assert await migrated(here, there) == Migrated(2, there=1, deleted=1)
    assert await migrated(here, there, dry_run=True) == Migrated(2, there=1, deleted=1)
    assert (await content(there)).keys() == {kept.image_id}


async def test_what_was_copied_away_and_deleted_since_is_not_brought_back(here: Library, there: Library) -> None:
    image = await here.add(1)
    await migrated(here, there)
    await here.delete(image)
    await Sweeper(replace(here.depot, clock=tomorrow)).sweep()
    assert await migrated(there, here) == Migrated(1, deleted=1)
    assert await content(here) == {}


# ---------------------------------------------------------------- cut off


class Killed(Exception):
    """The process has ended."""


class Mortal:
    """A port that lets so many calls be made, and then none; the last one is done, and nobody hears of it."""

    def __init__(self, port: Any, calls: "count[int]", last: int) -> None:
        self._port, self._calls, self._last = port, calls, last

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **options: Any) -> Any:
            number = next(self._calls)
            if number > self._last:
                raise Killed
            answer = await getattr(self._port, name)(*args, **options)
            if number == self._last:
                raise Killed
            return answer

        return call


def mortal(depot: Depot, last: int) -> Depot:
    """Return a depot whose process is killed at its last call."""
    calls = count(1)
    objects, records = (Mortal(each, calls, last) for each in (depot.objects, depot.records))
    return replace(depot, objects=objects, records=records)  # type: ignore[arg-type]


async def cut_off(here: Library, there: Library, last: int) -> bool:
    """Migrate until the last call to the target, and return whether that was before the end."""
    try:
        async for _ in Migrator(here.depot, mortal(there.depot, last)).migrate():
            pass
    except Killed:
        return True
    return False


@pytest.mark.parametrize("meanwhile", ["nothing", "an edit"])
async def test_cut_off_anywhere_the_next_run_goes_on(here: Library, tmp_path: Path, meanwhile: str) -> None:
    image = await here.edit(await here.add(1, tags=("sea",)), tags=("lake",))
    for last in count(1):
        async with open_service(Settings(data_dir=tmp_path / str(last))) as runtime:
            there = Library(runtime)
            if not await cut_off(here, there, last):
                break
            if meanwhile == "an edit":
                image = await here.edit(image, title=f"After call {last}", tags=(f"tag-{last}",))
            assert (await migrated(here, there)).failed == 0
            assert await content(there) == await content(here)
            assert await migrated(here, there) == Migrated(1, there=1)
    assert last > 8


async def test_cut_off_and_never_gone_on_with_it_leaves_nothing_behind(here: Library, tmp_path: Path) -> None:
    await here.add(1)
    for last in count(1):
        settings = Settings(data_dir=tmp_path / str(last))
        async with open_service(settings) as runtime, open_service(settings, tomorrow) as later:
            if not await cut_off(here, Library(runtime), last):
                break
            assert await left_over(later) == []
    assert last > 8


async def test_it_ends_when_a_backend_does_not_answer_and_goes_on_next_time(
    here: Library, there: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some_images(here)

    async def unavailable(*_: object, **__: Any) -> None:
        raise Unavailable("It is down.")

    with monkeypatch.context() as patched:
        patched.setattr(there.depot.objects, "put", unavailable)
        with pytest.raises(Unavailable):
            await migrated(here, there)
    assert (await migrated(here, there)).copied == 3
    assert await content(there) == await content(here)


async def test_two_at_once_copy_the_same(here: Library, there: Library) -> None:
    await some_images(here)
    both = await asyncio.gather(migrated(here, there), migrated(here, there))
    assert [each.failed for each in both] == [0, 0]
    assert await content(there) == await content(here)


# ---------------------------------------------------------------- changed in between


async def test_what_came_and_what_changed_since_is_brought_there(here: Library, there: Library) -> None:
    image, *_ = await some_images(here)
    await migrated(here, there)
    await here.edit(image, title="Edited again")
    await here.add(4)
    done = await migrated(here, there)
    assert (done.copied, done.updated, done.there) == (1, 1, 2)
    assert await content(there) == await content(here)


async def test_what_was_changed_there_later_stays(here: Library, there: Library) -> None:
    image = await here.add(1)
    await migrated(here, there)
    await here.edit(image, title="Edited here")
    edited = await there.edit(image, title="Edited there, and later", tags=("theirs",))
    assert await migrated(here, there) == Migrated(1, there=1)
    assert (await there.images.image(image.image_id, None)).details == edited.details


async def test_what_was_deleted_there_stays_so(here: Library, there: Library) -> None:
    image = await here.add(1)
    await migrated(here, there)
    await there.delete(image)
    assert await migrated(here, there) == Migrated(1, deleted=1)
    assert await content(there) == {}
    assert [each async for each in there.depot.objects.list("images/")] == []


async def test_what_is_deleted_here_while_it_is_copied_is_no_failure(
    here: Library, there: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, open_object = await here.add(1), here.depot.objects.open

    async def deleted_first(key: str) -> Any:
        await here.delete(image)
        return await open_object(key)

    monkeypatch.setattr(here.depot.objects, "open", deleted_first)
    assert await migrated(here, there) == Migrated(1, deleted=1)
    assert await content(there) == {}


async def test_variants_that_were_made_anew_on_one_side_stay(here: Library, tmp_path: Path) -> None:
    await here.add(1)
    async with open_service(Settings(data_dir=tmp_path / "there", variant_format="avif")) as runtime:
        there = Library(runtime)
        await migrated(here, there)
        async for _ in runtime.rebuilder.rebuild():
            pass
        remade = await content(there)
        assert await migrated(here, there) == Migrated(1, there=1)
        assert await content(there) == remade


# ---------------------------------------------------------------- damage


@pytest.mark.parametrize("damage", ["other bytes", "no original", "no thumb"])
async def test_a_damaged_image_is_told_of_and_not_published_there(
    here: Library, there: Library, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    image, *others = await some_images(here)
    file = here.file(image.object_key)
    if damage == "no thumb":
        file = file.with_name("thumb")
    file.unlink()
    if damage == "other bytes":
        file.write_bytes(picture(seed=7))
    done = await migrated(here, there)
    assert (done.copied, done.failed) == (2, 1)
    assert (await content(there)).keys() == {each.image_id for each in others}
    assert image.image_id in caplog.text


@pytest.mark.parametrize("name", ["original", "display", "thumb"])
@pytest.mark.parametrize("damage", [b"other bytes", None])
async def test_what_is_damaged_there_is_copied_again(
    here: Library, there: Library, name: str, damage: bytes | None
) -> None:
    image = await here.add(1)
    await migrated(here, there)
    file = there.file(image.object_key).with_name(name)
    file.unlink()
    if damage:
        file.write_bytes(damage)
    assert (await migrated(here, there, dry_run=True)).copied == 1
    assert (await migrated(here, there)).copied == 1
    assert await content(there) == await content(here)


async def test_what_arrives_as_other_bytes_is_not_published(
    here: Library, there: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.add(1)
    put = there.depot.objects.put

    async def put_less(key: str, data: bytes, content_type: str, sha256: str, **_: Any) -> None:
        await put(key, data[:-1], content_type)

    with monkeypatch.context() as patched:
        patched.setattr(there.depot.objects, "put", put_less)
        assert (await migrated(here, there)).failed == 1
    assert await content(there) == {}
    assert (await migrated(here, there)).copied == 1


async def test_another_picture_under_its_id_is_left_alone(here: Library, there: Library) -> None:
    image = await here.add(1)
    await migrated(here, there)
    here_only = replace(image, content=replace(image.content, sha256="0" * 64))
    assert await Migrator(here.depot, there.depot)._attempt(here_only, dry_run=False) == "failed"
    assert await content(there) == await content(here)


async def test_the_times_of_an_image_are_those_it_had(here: Library, there: Library) -> None:
    before = now()
    image = await here.add(1)
    edited = await here.edit(image, title="Edited")
    await migrated(here, there)
    (arrived,) = [each async for each in everything(there.depot)]
    assert before <= arrived.created_at == image.created_at < arrived.updated_at == edited.updated_at
