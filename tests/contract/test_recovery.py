"""Records are made again from the storage, on both backends: all that was acknowledged, and nothing else."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from service.domain import model
from service.domain.errors import DepotMismatch
from service.domain.model import Expected, Image, State, Upload
from service.operations.depot import Depot
from service.runtime import Runtime
from service.upkeep.recoverer import Recovered
from tests.contract.test_pairing import DETAILS, fill, keys, place
from tests.faults.depots import Place, tomorrow
from tests.faults.sites import everything
from tests.pictures import picture, sha256_of

__all__ = ["place"]  # the fixture


async def images_of(runtime: Runtime) -> dict[str, Image]:
    return {each.image_id: each async for each in everything(depot_of(runtime))}


def depot_of(runtime: Runtime) -> Depot:
    return runtime.api.services.depot


async def last(counts: AsyncIterator[Recovered]) -> Recovered:
    return [each async for each in counts][-1]


async def some_images(runtime: Runtime) -> None:
    """Publish pictures in every way: in a request, and through a link; one is deleted again, another edited."""
    images, uploads = runtime.api.services.images, runtime.api.services.uploads
    said = replace(DETAILS, title="Zürich", description="写真 " * 20, tags=("sea", "Sunset"), visibility="public")
    await images.upload(said, picture(seed=1))
    gone = await images.upload(DETAILS, picture(seed=2))
    await images.delete(gone.image_id, "ada", viewer=None)
    data = picture(seed=3)
    upload, _ = await uploads.begin(replace(DETAILS, user_id="bob"), Expected("PUT", "image/jpeg", len(data)))
    await runtime.api.services.depot.objects.put(f"uploads/{upload.image_id}", data, "image/jpeg")
    await uploads.complete(upload.image_id, None)


async def test_a_lost_database_is_rebuilt_from_the_storage(place: Place) -> None:
    async with place.opened() as runtime:
        await depot_of(runtime).pairing.check()
        await some_images(runtime)
        before, objects = await images_of(runtime), await keys(runtime)
    place.swap_database()
    async with place.opened(paired=False) as runtime:
        depot = depot_of(runtime)
        tried = await last(runtime.recoverer.recover(dry_run=True))
        assert (tried.recovered, await images_of(runtime)) == (2, {})
        assert await last(runtime.recoverer.recover()) == Recovered(2, recovered=2)
        assert await images_of(runtime) == before
        assert await keys(runtime) == objects
        assert await last(runtime.recoverer.recover()) == Recovered(2, there=2)
        for each in before.values():
            assert sha256_of(await depot.whole(each.object_key)) == each.content.sha256
    async with place.opened() as runtime:
        assert (await runtime.reconciler.reconcile()).orphans == 0
        assert await runtime.sweeper.sweep()
        assert await images_of(runtime) == before


async def test_an_older_database_gets_what_it_lacks_and_what_upkeep_took_away(place: Place) -> None:
    """One image was not begun yet when the database was backed up, the other not published."""
    await fill(place, 2)
    async with place.opened() as runtime:
        before = await images_of(runtime)
    place.swap_database()
    async with place.opened(paired=False) as runtime:
        begun, expired = min(before.values(), key=lambda image: image.image_id), model.now() - timedelta(days=1)
        expected = Expected("PUT", "image/jpeg", begun.content.file_size)
        pending = Upload(begun.image_id, begun.details, expected, begun.created_at, expired)
        await depot_of(runtime).records.begin(pending)
        assert (await runtime.sweeper.sweep()).removed == 1
        assert (await runtime.reconciler.reconcile(force=True)).orphans == 3
        assert await keys(runtime) == []
        assert await runtime.recoverer.restore() == (6, Recovered(2, recovered=2))
        assert await images_of(runtime) == before


async def test_what_was_deleted_stays_deleted(place: Place) -> None:
    await fill(place, 1)
    async with place.opened() as runtime:
        depot = depot_of(runtime)
        ((image_id, image),) = (await images_of(runtime)).items()
        copy = f"images/{image_id}/copy/original"
        await depot.objects.copy(image.object_key, copy, "image/jpeg", note=depot.note(image))
        assert (await runtime.reconciler.reconcile()).orphans == 1
        await runtime.api.services.images.delete(image_id, "ada", viewer=None)
        await depot.records.forget(image_id, tomorrow() + timedelta(days=9))
        assert await runtime.recoverer.restore() == (0, Recovered())
        await depot.objects.put(copy, picture(), "image/jpeg", note=depot.note(image))
        assert await last(runtime.recoverer.recover()) == Recovered(1, deleted=1)
        assert await images_of(runtime) == {}


async def test_originals_without_a_note_or_with_other_bytes_are_told_of_and_kept(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with place.opened() as runtime:
        depot = depot_of(runtime)
        await depot.pairing.check()
        image = await runtime.api.services.images.upload(DETAILS, picture())
        upload = await depot.records.upload(image.image_id)
        assert upload
        assert upload.state is State.READY
        other = replace(image, image_id="0190f3c2-0000-7000-8000-000000000000")
        names = [f"images/{other.image_id}/{n}/original" for n in "ab"]
        await depot.objects.put(names[0], picture(seed=9), "image/jpeg", note=depot.note(other))
        await depot.objects.put(names[1], picture(seed=9), "image/jpeg")
        assert await last(runtime.recoverer.recover()) == Recovered(3, there=1, unknown=1, failed=1)
        assert all(name in caplog.text for name in names)
        assert set(names) <= set(await keys(runtime))


async def test_reconcile_keeps_notes_as_images_are(place: Place) -> None:
    await fill(place, 1)
    async with place.opened() as runtime:
        depot = depot_of(runtime)
        (image,) = (await images_of(runtime)).values()
        await runtime.api.services.images.edit(image.image_id, "ada", viewer=None, title="Edited since")
        assert [(await runtime.reconciler.reconcile()).noted for _ in range(2)] == [1, 0]
        assert b"Edited since" in await depot.objects.note(image.object_key)


async def test_another_depots_storage_is_joined_only_by_force(place: Place) -> None:
    await fill(place, 1)
    async with place.opened() as runtime:
        depot = depot_of(runtime)
        await depot.objects.put("images/.depot", b'{"depot_id": "another"}', "application/json")
        with pytest.raises(DepotMismatch):
            await last(runtime.recoverer.recover())
        assert await last(runtime.recoverer.recover(force=True)) == Recovered(1, there=1)
        assert await depot.records.identity() == "another"
        await runtime.sweeper.sweep()
