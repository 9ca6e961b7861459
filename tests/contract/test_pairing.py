"""A database and a storage that do not belong together are refused before anything is lost."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bootstrap.emulator import Emulator
from service.api.http import ApiRequest
from service.domain.errors import DepotMismatch, TooManyOrphans
from service.domain.model import Details, Page
from service.operations.pairing import MARK
from service.runtime import Runtime
from service.settings import SettingsError
from service.upkeep.quarantine import Quarantine
from tests.faults.depots import Place, on_aws, on_local, tomorrow
from tests.pictures import picture

DETAILS = Details("ada", "A photo", "photo.jpg", tags=("lake",))


@pytest.fixture(params=["local", "aws"])
async def place(request: pytest.FixtureRequest, tmp_path: Path, emulator: Emulator) -> AsyncIterator[Place]:
    if request.param == "local":
        yield on_local(tmp_path)
        return
    async with on_aws(emulator) as made:
        yield made


async def fill(place: Place, images: int = 3) -> set[str]:
    async with place.opened() as runtime:
        service = runtime.api.services.images
        await runtime.api.services.depot.pairing.check()
        return {(await service.upload(DETAILS, picture(seed=seed))).image_id for seed in range(images)}


async def keys(runtime: Runtime, prefix: str = "images/") -> list[str]:
    return sorted([each.key async for each in runtime.api.services.depot.objects.list(prefix)])


async def all_upkeep(runtime: Runtime) -> None:
    """Run everything that cleans up or repairs; each must refuse."""
    works = [runtime.sweeper.sweep(), runtime.reconciler.reconcile(), runtime.reconciler.reconcile(force=True)]
    for work in works:
        with pytest.raises(DepotMismatch):
            await work
    for walk in (runtime.reindexer.reindex(), runtime.rebuilder.rebuild()):
        with pytest.raises(DepotMismatch):
            await anext(aiter(walk))


@pytest.mark.parametrize("lost", ["database", "storage"])
async def test_what_is_lost_is_refused_by_all_upkeep_and_nothing_is_removed(place: Place, lost: str) -> None:
    await fill(place)
    async with place.opened() as runtime:
        before = await keys(runtime)
    (place.swap_database if lost == "database" else place.swap_storage)()
    if place.refuses_at_start:
        with pytest.raises(SettingsError):
            await place.opened().__aenter__()
    async with place.opened(paired=False) as runtime:
        await all_upkeep(runtime)
        assert await keys(runtime) == (before if lost == "database" else [])
    async with place.opened(paired=False) as runtime:
        told = await asked(runtime, "GET", "/health/ready")
        assert told["dependencies"] == {"database": "ok", "storage": "unavailable"}
        assert "do not belong together" in told["detail"]
        told = await asked(runtime, "POST", "/images")
        assert (told["status"], told["code"]) == (503, "unavailable")
        assert "do not belong together" in told["detail"]
        assert (await asked(runtime, "GET", "/images"))["count"] >= 0


async def asked(runtime: Runtime, method: str, path: str) -> dict[str, Any]:
    """Return what the API answers to a request without a body."""
    (route,) = [each for each in runtime.api.routes if (each.method, each.path) == (method, path)]
    answer = await runtime.api.dispatch(route, ApiRequest(method, path, nothing()))
    assert isinstance(answer.body, bytes)
    document: dict[str, Any] = json.loads(answer.body)
    return document


async def nothing() -> AsyncIterator[bytes]:
    for each in ():
        yield each


async def test_a_depot_from_before_there_were_ids_gets_one(place: Place) -> None:
    ids = await fill(place)
    async with place.opened(paired=False) as runtime:
        depot = runtime.api.services.depot
        await depot.objects.delete(MARK)
    async with place.opened() as runtime:
        await runtime.sweeper.sweep()
        depot = runtime.api.services.depot
        marked = json.loads(await depot.objects.read(MARK, 1000))["depot_id"]
        assert marked == await depot.records.identity()
        assert {key.split("/")[1] for key in await keys(runtime)} == ids


async def test_images_that_are_deleted_while_ids_are_compared_are_not_lost(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.opened(paired=False) as runtime:
        depot, images = runtime.api.services.depot, runtime.api.services.images
        image = await images.upload(DETAILS, picture())
        find = depot.records.find

        async def find_and_delete(*arguments: Any) -> Page:
            page = await find(*arguments)
            await images.delete(image.image_id, "ada", viewer=None)
            return page

        monkeypatch.setattr(depot.records, "find", find_and_delete)
        await depot.pairing.check()


async def test_the_databases_of_two_depots_are_told_apart(place: Place) -> None:
    await fill(place)
    async with place.opened() as runtime:
        depot = runtime.api.services.depot
        await depot.objects.put(MARK, b'{"depot_id": "another"}', "application/json")
        with pytest.raises(DepotMismatch, match="another"):
            await depot.pairing.check(fresh=True)
        with pytest.raises(DepotMismatch):
            await runtime.reconciler.reconcile()


async def test_orphans_go_to_quarantine_come_back_from_it_and_are_purged(place: Place) -> None:
    await fill(place, 1)
    async with place.opened() as runtime:
        depot = runtime.api.services.depot
        before = await keys(runtime)
        orphan = "images/nobodys/nonce/original"
        await depot.objects.put(orphan, b"bytes", "image/png")
        assert (await runtime.reconciler.reconcile(dry_run=True)).orphans == 1
        assert orphan in await keys(runtime)
        assert (await runtime.reconciler.reconcile()).orphans == 1
        assert await keys(runtime) == before
        quarantine = Quarantine(depot)
        (kept,) = [each async for each in quarantine.everything()]
        assert kept.original_key == orphan
        await quarantine.restore(kept)
        assert await depot.objects.read(orphan, 10) == b"bytes"
        await quarantine.add([orphan], tomorrow() - timedelta(days=31))
        assert (await runtime.reconciler.reconcile()).purged == 1
        assert [each async for each in quarantine.everything()] == []
        assert await keys(runtime) == before


async def test_too_many_orphans_are_left_alone_unless_forced(place: Place) -> None:
    await fill(place, 1)
    async with place.opened() as runtime:
        depot = runtime.api.services.depot
        before = await keys(runtime)
        for n in range(11):
            await depot.objects.put(f"images/nobodys/{n}/original", b"bytes", "image/png")
        with pytest.raises(TooManyOrphans, match="--force"):
            await runtime.reconciler.reconcile()
        assert len(await keys(runtime)) == len(before) + 11
        assert (await runtime.reconciler.reconcile(force=True)).orphans == 11
        assert await keys(runtime) == before
