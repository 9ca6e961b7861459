"""Variants are made anew when the settings ask for others, and nothing else of an image changes."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from service.domain import model
from service.domain.model import Details, Image
from service.runtime import Runtime, open_service
from service.settings import Settings
from service.upkeep.rebuilder import Rebuilt
from tests.pictures import picture

DETAILS = Details("ada", "A photo", "photo.jpg")
TOMORROW = timedelta(days=1)


async def uploaded(directory: Path, count: int = 1) -> list[Image]:
    """Upload pictures, with variants in WebP."""
    async with open_service(Settings(data_dir=directory)) as runtime:
        images = runtime.api.services.images
        return [await images.upload(DETAILS, picture(size=(1600, 1200), seed=seed)) for seed in range(count)]


async def rebuilt(runtime: Runtime, *, dry_run: bool = False) -> Rebuilt:
    """Rebuild, and return the last of the counts."""
    return [each async for each in runtime.rebuilder.rebuild(dry_run=dry_run)][-1]


async def keys(runtime: Runtime) -> set[str]:
    return {each.key async for each in runtime.api.services.depot.objects.list("images/")}


async def seen(runtime: Runtime, image_id: str) -> Image:
    image = await runtime.api.services.depot.records.image(image_id)
    assert image
    return image


async def test_what_is_as_asked_is_left_alone(tmp_path: Path) -> None:
    [image] = await uploaded(tmp_path)
    async with open_service(Settings(data_dir=tmp_path)) as runtime:
        assert await rebuilt(runtime) == Rebuilt(1, 0, 0)
        assert await seen(runtime, image.image_id) == image


async def test_another_format_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    [image] = await uploaded(tmp_path)
    async with open_service(Settings(data_dir=tmp_path, variant_format="avif")) as runtime:
        assert await rebuilt(runtime, dry_run=True) == Rebuilt(1, 1, 0)
        assert await seen(runtime, image.image_id) == image
        assert await rebuilt(runtime) == Rebuilt(1, 1, 0)
        after = await seen(runtime, image.image_id)
        assert [each.content_type for each in after.variants] == ["image/avif", "image/avif"]
        assert replace(after, variants=image.variants) == image
        assert await keys(runtime) == {*image.object_keys, *after.object_keys}  # old links still lead somewhere
        assert await rebuilt(runtime) == Rebuilt(1, 0, 0)


async def test_the_old_ones_are_swept_when_the_links_to_them_have_expired(tmp_path: Path) -> None:
    [image] = await uploaded(tmp_path)
    settings = Settings(data_dir=tmp_path, variant_format="avif")
    async with open_service(settings) as runtime:
        await rebuilt(runtime)
        await runtime.sweeper.sweep()
        assert set(image.object_keys) <= await keys(runtime)
        after = await seen(runtime, image.image_id)
    async with open_service(settings, lambda: model.now() + TOMORROW) as runtime:
        await runtime.sweeper.sweep()
        assert await keys(runtime) == set(after.object_keys)
        assert (await runtime.sweeper.sweep()).removed == 0


async def test_an_image_from_before_there_were_variants_gets_some(tmp_path: Path) -> None:
    [image] = await uploaded(tmp_path)
    async with open_service(Settings(data_dir=tmp_path)) as runtime:
        depot = runtime.api.services.depot
        bare = replace(image, variants=(), content=replace(image.content, placeholder=""))
        assert await depot.records.exchange_variants(bare, seen=image, deadline=depot.clock())
        assert await rebuilt(runtime) == Rebuilt(1, 1, 0)
        after = await seen(runtime, image.image_id)
        assert (len(after.variants), after.content) == (2, image.content)


async def test_a_size_that_was_measured_otherwise_is_set_right_once(tmp_path: Path) -> None:
    """As of a WebP that was taken to be turned by its EXIF."""
    [image] = await uploaded(tmp_path)
    async with open_service(Settings(data_dir=tmp_path)) as runtime:
        depot = runtime.api.services.depot
        turned = replace(image, content=replace(image.content, width=1200, height=1600))
        assert await depot.records.exchange_variants(turned, seen=image, deadline=depot.clock())
        assert (await seen(runtime, image.image_id)).content == turned.content
        assert await rebuilt(runtime) == Rebuilt(1, 1, 0)
        assert (await seen(runtime, image.image_id)).content == image.content
        assert await rebuilt(runtime) == Rebuilt(1, 0, 0)


async def test_an_image_whose_bytes_are_not_what_they_were_keeps_its_variants(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image, other = await uploaded(tmp_path, 2)
    async with open_service(Settings(data_dir=tmp_path, variant_format="avif")) as runtime:
        await runtime.api.services.depot.objects.put(image.object_key, picture(seed=7), "image/jpeg")
        assert await rebuilt(runtime) == Rebuilt(2, 2, 1)
        assert await seen(runtime, image.image_id) == image
        assert (await seen(runtime, other.image_id)).variants[0].content_type == "image/avif"
    assert image.image_id in caplog.text


async def test_two_at_once_and_a_delete_leave_nothing_behind(tmp_path: Path) -> None:
    uploads = await uploaded(tmp_path, 6)
    async with open_service(Settings(data_dir=tmp_path, variant_format="avif")) as runtime:
        deletes = (runtime.api.services.images.delete(each.image_id, "ada", viewer="ada") for each in uploads[:3])
        one, another, *_ = await asyncio.gather(rebuilt(runtime), rebuilt(runtime), *deletes)
        assert (one.failed, another.failed) == (0, 0)
        kept = [await seen(runtime, each.image_id) for each in uploads[3:]]
        olds = {key for each in uploads[3:] for key in each.object_keys}
        assert await keys(runtime) == olds | {key for each in kept for key in each.object_keys}
        assert (await runtime.reconciler.reconcile(dry_run=True)).missing == 0
