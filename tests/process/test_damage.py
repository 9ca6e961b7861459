"""Pages of the database that somebody writes over under a real server, and what its commands say of them."""

from pathlib import Path

import pytest

from tests.process.servers import PIXDEPOT, run, serving
from tests.unit.local.test_damage import write_over, written_over

UNAVAILABLE = (503, "unavailable")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("images", "/images/{id}"),
        ("listed_of_user", "/images?user_id=ada"),
        ("listed_tags", "/images?tags=a"),
        ("title_parts_data", "/images?title=photo"),
    ],
)
async def test_a_server_tells_of_damage_and_heals_when_it_is_gone(tmp_path: Path, name: str, path: str) -> None:
    async with serving(tmp_path) as server:
        image_id = (await server.api.uploaded(tags=["a"]))["image_id"]
        path = path.format(id=image_id)
    async with serving(tmp_path) as server:  # which has read none of it
        with written_over(server.data / "pixdepot.db", name):
            assert (await server.api.get(path)).outcome == UNAVAILABLE
            assert (await server.api.get("/health")).status == 200
            for _ in range(2):
                ready = await server.api.get("/health/ready")
                assert ready.outcome == UNAVAILABLE
                assert ready.json["dependencies"] == {"database": "unavailable", "storage": "ok"}
            assert "Traceback" not in server.log
            assert "is damaged" in server.log
        assert (await server.api.get("/health/ready")).status == 200
        assert (await server.api.get(path)).status == 200


@pytest.mark.parametrize("name", ["images_due", "listed", "title_parts_data"])
async def test_commands_tell_of_damage_in_a_line(tmp_path: Path, name: str) -> None:
    async with serving(tmp_path) as server:
        await server.api.uploaded(tags=["a"])
    write_over(tmp_path / "data" / "pixdepot.db", name)
    for command in ("doctor", "reconcile --dry-run", "sweep"):
        done = await run(PIXDEPOT, *command.split(), directory=tmp_path, PIXDEPOT_DATA_DIR="data")
        assert (done.code, done.out, done.error.count("\n")) == (1, "", 1)
        assert "docs/operations.md" in done.error
