"""Disks that are full, read-only, or two: what the server says, and that a full one is no dead end."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pictures import picture, sha256_of
from tests.process.servers import PIXDEPOT, Server, run, serving
from tests.servers.disks import Disk, mounted

MIB = 2**20
RESERVE = {"PIXDEPOT_DISK_RESERVE": str(4 * MIB), "PIXDEPOT_SWEEP_INTERVAL": "1"}
PICTURE = picture(size=(300, 200), noise=True)
ADA = {"user_id": "ada"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "data", 16 * MIB) as made:
        yield made


async def until_ready(server: Server, *, ready: bool) -> None:
    """Return when the server says so; a good outcome counts for 2 seconds."""
    while ((await server.api.get("/health/ready")).status == 200) is not ready:  # noqa: ASYNC110
        await asyncio.sleep(0.1)


async def until_swept(server: Server) -> None:
    """Return after a round of sweep, which is what makes the ballast."""
    ballast = server.data / "ballast"
    while not (ballast.exists() and ballast.stat().st_size):  # noqa: ASYNC110
        await asyncio.sleep(0.1)


async def test_below_the_reserve_uploads_are_refused_and_all_else_goes_on(disk: Disk, tmp_path: Path) -> None:
    async with serving(tmp_path, **RESERVE) as server:
        kept, doomed = [(await server.api.uploaded(PICTURE, **ADA))["image_id"] for _ in range(2)]
        begun = await server.api.begin(PICTURE, **ADA)
        filler = disk.fill(leaving=4 * MIB - 1)
        for refused in (
            await server.api.upload(PICTURE, **ADA),
            await server.api.begin(PICTURE, **ADA),
            await server.api.transfer(begun.json["upload"], PICTURE),
            await server.api.patch(f"/images/{kept}", {"title": "Changed", **ADA}),
        ):
            assert refused.outcome == (507, "insufficient_storage")
            assert refused.headers["Retry-After"] == "60"
        await until_ready(server, ready=False)
        dependencies = (await server.api.get("/health/ready")).json["dependencies"]
        assert dependencies == {"database": "ok", "storage": "unavailable"}
        assert (await server.api.delete(f"/images/{doomed}", ADA)).status == 200
        assert sha256_of((await server.api.download(kept)).body) == sha256_of(PICTURE)
        assert not [*(server.data / "tmp").iterdir()]
        filler.unlink()
        await until_ready(server, ready=True)
        assert (await server.api.upload(PICTURE, **ADA)).status == 201


async def test_a_body_that_fills_the_disk_is_refused_and_leaves_nothing(disk: Disk, tmp_path: Path) -> None:
    large = picture("PNG", size=(1200, 1000), noise=True)
    assert 3 * MIB < len(large) < 6 * MIB
    async with serving(tmp_path, **RESERVE) as server:
        begun = await server.api.begin(large, content_type="image/png", filename="a.png", **ADA)
        disk.fill(leaving=4 * MIB + len(large) // 2)
        answers = [
            await server.api.transfer(begun.json["upload"], large),
            await server.api.upload(large, filename="a.png", **ADA),
        ]
        assert [each.status for each in answers] == [507, 507]
        assert not [*(server.data / "tmp").iterdir()]
        assert '"level":"ERROR"' not in server.log
        assert "Traceback" not in server.log


async def test_where_others_take_the_last_byte_deletes_and_sweeps_still_go_on(disk: Disk, tmp_path: Path) -> None:
    async with serving(tmp_path, **RESERVE) as server:
        images = [(await server.api.uploaded(PICTURE, **ADA))["image_id"] for _ in range(6)]
        await until_swept(server)
    filler = disk.fill()  # the database's log is gone, so that it needs room again
    while disk.free:
        disk.fill()
    async with serving(tmp_path, **RESERVE) as server:
        assert (await server.api.upload(PICTURE, **ADA)).status == 507
        for image_id in images[:5]:
            assert (await server.api.delete(f"/images/{image_id}", ADA)).status == 200
        swept = await run(PIXDEPOT, "sweep", directory=tmp_path, PIXDEPOT_DATA_DIR="data", **RESERVE)
        assert swept.code == 0, swept.error
        filler.unlink()
        await until_ready(server, ready=True)
        assert {each["image_id"] for each in await server.api.walk()} == {images[5]}
        assert (await server.api.upload(PICTURE, **ADA)).status == 201
        assert "Traceback" not in server.log


async def test_where_nothing_was_kept_free_what_fails_says_so_and_works_again_with_room(
    disk: Disk, tmp_path: Path
) -> None:
    async with serving(tmp_path, PIXDEPOT_DISK_RESERVE="0") as server:
        image_id = (await server.api.uploaded(PICTURE, **ADA))["image_id"]
        filler = disk.fill()
        assert (await server.api.upload(PICTURE, **ADA)).status == 507
        await until_ready(server, ready=False)
        filler.unlink()
        await until_ready(server, ready=True)
        assert (await server.api.delete(f"/images/{image_id}", ADA)).status == 200
        assert "Traceback" not in server.log


async def test_a_disk_that_becomes_read_only_is_unavailable_until_it_can_be_written_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        image_id = (await server.api.uploaded(PICTURE, **ADA))["image_id"]
        begun = await server.api.begin(PICTURE, **ADA)
        with mounted(server.data / "tmp", MIB, read_only=True):
            refused = await server.api.transfer(begun.json["upload"], PICTURE)
            assert refused.outcome == (503, "unavailable")
            assert refused.json["detail"] == "The data directory is read-only."
            await until_ready(server, ready=False)
            assert (await server.api.download(image_id)).status == 200
        await until_ready(server, ready=True)
        assert (await server.api.transfer(begun.json["upload"], PICTURE)).status == 200
        assert "Traceback" not in server.log


@pytest.mark.parametrize("other", ["tmp", "objects", "objects/images"])
async def test_objects_on_another_file_system_are_refused_at_the_start(other: str, tmp_path: Path) -> None:
    with mounted(tmp_path / "data" / other, MIB):
        ended = await run(PIXDEPOT, "serve", "--port", "0", "--data", "data", directory=tmp_path)
    assert ended.code == 1
    assert ended.error == (
        f"Error: {tmp_path / 'data'} cannot be used for data: "
        "objects/ and tmp/ in the data directory are on different file systems: put them on one. "
        "Set PIXDEPOT_DATA_DIR (or --data) to a directory that this user can write to.\n"
    )


async def test_a_read_only_data_directory_is_refused_at_the_start(tmp_path: Path) -> None:
    with mounted(tmp_path / "data", MIB, read_only=True) as disk:
        ended = await run(PIXDEPOT, "serve", "--port", "0", "--data", "data", directory=tmp_path)
    assert ended.code == 1
    assert ended.error == (
        f"Error: {disk.place / 'objects'} cannot be used for data: Read-only file system. "
        "Set PIXDEPOT_DATA_DIR (or --data) to a directory that this user can write to.\n"
    )
