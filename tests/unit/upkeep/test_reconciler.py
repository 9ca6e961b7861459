"""Reconciling finds what no deadline leads to, and nothing else."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from service.domain import model
from service.domain.model import Details
from service.runtime import Runtime, open_service
from service.settings import Settings
from service.upkeep.reconciler import Reconciled
from tests.pictures import picture

DETAILS = Details("ada", "A photo", "photo.jpg")


@pytest.fixture
async def tomorrow(tmp_path: Path) -> AsyncIterator[Runtime]:
    """Return a service on a directory with one image in it, a day after it was uploaded."""
    async with open_service(Settings(data_dir=tmp_path)) as today:
        await today.api.services.images.upload(DETAILS, picture())
    async with open_service(Settings(data_dir=tmp_path), lambda: model.now() + timedelta(days=1)) as runtime:
        yield runtime


async def keys(runtime: Runtime) -> list[str]:
    objects = runtime.api.services.depot.objects
    return [each.key for prefix in ("uploads/", "images/") async for each in objects.list(prefix)]


async def test_a_depot_that_is_whole_stays_as_it_is(tomorrow: Runtime) -> None:
    before = await keys(tomorrow)
    assert await tomorrow.reconciler.reconcile() == Reconciled(0, 0)
    assert await keys(tomorrow) == before


@pytest.mark.parametrize("orphan", ["uploads/nobodys", "images/nobodys/nonce/original"])
async def test_an_object_of_nothing_is_removed_but_not_by_a_dry_run(tomorrow: Runtime, orphan: str) -> None:
    await tomorrow.api.services.depot.objects.put(orphan, b"bytes", "image/png")
    assert await tomorrow.reconciler.reconcile(dry_run=True) == Reconciled(1, 0)
    assert orphan in await keys(tomorrow)
    assert await tomorrow.reconciler.reconcile() == Reconciled(1, 0)
    assert orphan not in await keys(tomorrow)


async def test_a_second_copy_of_a_published_image_is_an_orphan(tomorrow: Runtime) -> None:
    before = sorted(await keys(tomorrow))
    for key in before:
        _, image_id, _, name = key.split("/")
        await tomorrow.api.services.depot.objects.copy(key, f"images/{image_id}/another/{name}", "image/jpeg")
    assert await tomorrow.reconciler.reconcile() == Reconciled(3, 0)
    assert sorted(await keys(tomorrow)) == before


async def test_what_is_young_may_belong_to_an_upload_under_way(tmp_path: Path) -> None:
    async with open_service(Settings(data_dir=tmp_path)) as today:
        await today.api.services.depot.objects.put("images/soon/nonce/original", b"bytes", "image/png")
        assert await today.reconciler.reconcile() == Reconciled(0, 0)


@pytest.mark.parametrize("name", ["original", "thumb", "display"])
async def test_an_image_without_one_of_its_objects_is_told_of_and_kept(
    tomorrow: Runtime, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    (sealed,) = [key for key in await keys(tomorrow) if key.endswith(name)]
    await tomorrow.api.services.depot.objects.delete(sealed)
    assert await tomorrow.reconciler.reconcile() == Reconciled(0, 1)
    image_id = sealed.split("/")[1]
    assert image_id in caplog.text
    assert await tomorrow.api.services.images.image(image_id, None)
