"""A backup of a server that is busy, and a restore from it, as docs/operations.md says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.api.client import ApiClient
from tests.docs.installing import program
from tests.docs.pages import runs, typed
from tests.pictures import picture, sha256_of
from tests.process.servers import serving


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
    assert " orphans removed, " in restored.out

    (tmp_path / "data").rename(tmp_path / "lost")
    (tmp_path / "restored").rename(tmp_path / "data")
    async with serving(tmp_path) as server:
        assert {each["image_id"] for each in await server.api.walk()} >= kept.keys()
        for image_id, data in kept.items():
            assert sha256_of((await server.api.download(image_id)).body) == sha256_of(data)
        assert (await server.api.fetch(server.url + link)).body == pictures[0]  # given out before
        assert (await server.api.upload()).status == 201
