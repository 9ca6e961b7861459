"""A machine that is short of memory: the server says so, and lives; the picture is not called bad."""

import asyncio
import re
import sys
from pathlib import Path

from tests.photographs import Photograph
from tests.process.caps import capped
from tests.process.crowds import clients, upload
from tests.process.servers import PIXDEPOT, Server, run, serving

MIB = 2**20
LARGE = Photograph("48.webp", 48, 1, 0, options={"method": 0})
SMALL = Photograph("1.jpg", 1, 1)


NARROW = ("sh", "-c", 'ulimit -v 786432 && exec "$@"', "sh", PIXDEPOT, "serve")  # KiB of addresses


async def refused(server: Server, limit: str) -> None:
    """Upload both: the large one is told what it takes, and the small one is published."""
    answer = await server.api.upload(LARGE.data, filename=LARGE.filename)
    assert answer.outcome == (503, "unavailable"), answer.body
    assert answer.headers["Retry-After"]
    told = rf"Decoding this image takes [0-9,]+ MiB of memory: the server has [0-9]+ MiB available .*{limit}"
    assert re.match(told, answer.json["detail"])
    assert "too little memory for a picture" in server.log
    async with clients() as session:
        assert await upload(session, server.url, SMALL.filename, SMALL.data) == 201


async def test_a_picture_too_large_for_its_cgroup_does_not_kill_a_server(tmp_path: Path) -> None:
    with capped(512 * MIB, PIXDEPOT, "serve") as command:
        async with serving(tmp_path, *command) as server:
            await refused(server, "of its cgroup")
            peak = server.memory("VmHWM")
    assert peak < 200 * MIB, peak


async def test_a_picture_too_large_for_the_address_space_does_not_kill_a_server(tmp_path: Path) -> None:
    async with serving(tmp_path, *NARROW) as server:
        await refused(server, "RLIMIT_AS")


async def test_pictures_that_fit_one_by_one_are_all_taken_within_a_narrow_address_space(tmp_path: Path) -> None:
    photo = Photograph("15.webp", 15, 1, options={"method": 0})
    async with serving(tmp_path, *NARROW) as server, clients() as session:
        statuses = await asyncio.gather(
            *(upload(session, server.url, photo.filename, photo.data) for _ in range(4))
        )
    assert set(statuses) == {201}, statuses


_RESIZE = """
import resource
from pathlib import Path
from PIL import Image
from service.media.resizing import resized

picture = Image.new("RGBA", (4000, 4000))
resized(picture.crop((0, 0, 900, 900)), (90, 90))
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 30_000_000,) * 2)
try:
    resized(picture, (500, 500))
except MemoryError:
    print("short of memory")
"""


async def test_a_resize_that_memory_is_too_short_for_is_an_error_and_not_the_end_of_the_process(
    tmp_path: Path,
) -> None:
    here = str(Path(__file__).parents[2])
    ended = await run(sys.executable, "-c", _RESIZE, directory=tmp_path, PYTHONPATH=here)
    assert (ended.code, ended.out) == (0, "short of memory\n"), ended.error
