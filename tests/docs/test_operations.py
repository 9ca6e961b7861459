"""A backup of a server that is busy, a restore from it, and the way out of a full disk: docs/operations.md."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from tests.api.client import ApiClient
from tests.docs.installing import program
from tests.docs.pages import runs, typed
from tests.pictures import picture, sha256_of
from tests.process.servers import serving
from tests.servers.disks import mounted
from tests.unit.local.test_damage import write_over

_MIB = 2**20


@asynccontextmanager
async def busy(api: ApiClient) -> AsyncIterator[None]:
    """Upload and delete for the length of the block, all the time."""
    going = True

    async def upload_and_delete(user: str) -> None:
        while going:
            image_id = (await api.uploaded(picture(noise=True), user_id=user))["image_id"]
            assert (await api.delete(f"/images/{image_id}", params={"user_id": user})).status == 200

    async with asyncio.TaskGroup() as users:
        for user in ("ada", "bob", "cyd"):
            users.create_task(upload_and_delete(user))
        yield
        going = False


@runs("docs/operations.md", "backup")
async def test_a_backup_made_while_others_upload_and_delete_has_every_picture_from_before(
    script: str, tmp_path: Path
) -> None:
    program("rsync"), program("sqlite3")
    backup, restore = script[: script.index("mkdir restored")], script[script.index("mkdir restored") :]
    pictures = [picture(size=(200, 150), noise=True, seed=seed) for seed in range(20)]
    async with serving(tmp_path) as server:
        kept = {(await server.api.uploaded(data))["image_id"]: data for data in pictures}
        linked = (await server.api.get(f"/images/{next(iter(kept))}")).json["url"]
        async with busy(server.api):
            for _ in range(2):  # the second time there is a backup already
                await typed(backup.replace("pixdepot-data", "data"), tmp_path)
        link = linked.removeprefix(server.url)
    restored = await typed(restore.removesuffix("pixdepot reconcile") + "pixdepot reconcile || true", tmp_path)
    assert " orphans quarantined, " in restored.out

    (tmp_path / "data").rename(tmp_path / "lost")
    (tmp_path / "restored").rename(tmp_path / "data")
    async with serving(tmp_path) as server:
        assert {each["image_id"] for each in await server.api.walk()} >= kept.keys()
        for image_id, data in kept.items():
            assert sha256_of((await server.api.download(image_id)).body) == sha256_of(data)
        assert (await server.api.fetch(server.url + link)).body == pictures[0]  # given out before
        assert (await server.api.upload()).status == 201


@runs("docs/operations.md", "df -h")
async def test_a_full_disk_takes_uploads_again_once_what_broken_uploads_left_is_removed(
    script: str, tmp_path: Path
) -> None:
    data, reserve = picture(noise=True), {"PIXDEPOT_DISK_RESERVE": str(4 * _MIB)}
    with mounted(tmp_path / "data", 16 * _MIB) as disk:
        async with serving(tmp_path, **reserve) as server:
            kept = (await server.api.uploaded(data))["image_id"]
            left = disk.place / "tmp" / "of-a-server-that-was-killed"
            left.write_bytes(bytes(6 * _MIB))
            os.utime(left, times=(0, 0))
            disk.fill()
            assert (await server.api.upload(data)).outcome == (507, "insufficient_storage")
            await typed(script.replace("pixdepot-data", "data"), tmp_path, **reserve)
            assert (await server.api.upload(data)).status == 201
            assert sha256_of((await server.api.download(kept)).body) == sha256_of(data)
            while (await server.api.get("/health/ready")).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("lost", ["images_due", "listed", "listed_tags", "title_parts_data", "images"])
@runs("docs/operations.md", "damaged/pixdepot.db")
async def test_a_damaged_database_is_recovered_as_far_as_it_can_be_read(
    script: str, tmp_path: Path, lost: str
) -> None:
    program("sqlite3")
    about = {"title": "Ein Überblick", "tags": ["Straße", "b"], "description": "x" * 1000}
    async with serving(tmp_path) as server:
        kept = [(await server.api.uploaded(**about))["image_id"] for _ in range(12)]
        linked = (await server.api.get(f"/images/{kept[0]}")).json["url"].removeprefix(server.url)
    (tmp_path / "data").rename(tmp_path / "pixdepot-data")
    write_over(tmp_path / "pixdepot-data" / "pixdepot.db", lost, whole=lost != "images")
    told = await typed(script, tmp_path)
    await typed("pixdepot reconcile", tmp_path)
    (tmp_path / "pixdepot-data").rename(tmp_path / "data")
    async with serving(tmp_path) as server:
        listed = {each["image_id"] for each in await server.api.walk()}
        for filters in ({"tags": "STRASSE"}, {"title": "überblick"}):
            assert {each["image_id"] for each in await server.api.walk(**filters)} == listed
        assert listed <= set(kept)
        if lost == "images":
            assert set() < listed < set(kept)  # those on other pages
        else:
            assert listed == set(kept)
            assert "0 orphans found" in told.out
            assert (await server.api.fetch(server.url + linked)).status == 200
        assert (await server.api.upload()).status == 201


@runs("docs/operations.md", "pixdepot recover")
async def test_a_lost_database_is_rebuilt_as_the_page_says(script: str, tmp_path: Path) -> None:
    pictures = [picture(seed=seed) for seed in range(3)]
    async with serving(tmp_path) as server:
        kept = {(await server.api.uploaded(data, tags=["sea"]))["image_id"]: data for data in pictures}
        before = await server.api.walk()
    (tmp_path / "data" / "pixdepot.db").unlink()
    recovered = await typed(script.replace("pixdepot-data", "data"), tmp_path)
    assert recovered.out.splitlines() == [
        "3 images to be recovered, 0 already in the database, 0 deleted, 0 without an owner, 0 damaged",
        "3 images recovered, 0 already in the database, 0 deleted, 0 without an owner, 0 damaged",
    ]
    async with serving(tmp_path) as server:
        assert [said(each) for each in await server.api.walk()] == [said(each) for each in before]
        for image_id, data in kept.items():
            assert sha256_of((await server.api.download(image_id)).body) == sha256_of(data)


def said(image: dict[str, object]) -> dict[str, object]:
    """Return what a list says of an image, but for its links."""
    return {name: value for name, value in image.items() if "url" not in name and name != "variants"}


@runs("docs/operations.md", "pixdepot reconcile --restore")
async def test_what_reconcile_took_away_is_restored_as_the_page_says(script: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        image_id = (await server.api.uploaded(picture()))["image_id"]
        whole = server.data / "objects" / "images" / image_id
        (quarantine := whole.parent / ".quarantine" / "20260101T000000Z" / "images").mkdir(parents=True)
        whole.rename(quarantine / image_id)
        with closing(sqlite3.connect(server.data / "pixdepot.db")) as records, records:  # as an older one
            records.execute("PRAGMA foreign_keys = ON")
            records.execute("DELETE FROM images")
        restored = await typed(script.replace("pixdepot-data", "data"), tmp_path)
        assert restored.out.startswith("3 objects restored, 1 images recovered")
        assert (await server.api.download(image_id)).body == picture()
