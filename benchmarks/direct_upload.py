"""A direct upload of a photograph of 5 MiB on the local backend: from asking for its link until it is published.

Against nginx taking the same PUT to disk, and one decode of what it stored, by Pillow. Ours is three requests; the
bytes are verified, sealed, hashed and made into two variants and a placeholder, and all of it is on the disk,
fsynced, when it is acknowledged. nginx leaves that to the kernel.
"""

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from service.settings import Settings

from .figures import Figure, medians
from .publishing import photograph
from .rivals.nginx import Nginx, running_nginx
from .rivals.pillow import Pillow, running_pillow
from .watched import OURS, cpu_seconds, serving

GOAL = 1.3
_QUALITY = 94  # makes 5 MiB of it


async def measure(rounds: int = 15, quality: int = _QUALITY) -> list[Figure]:
    """Return a figure for the time that passes, and one for CPU."""
    data = photograph(quality=quality)
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(TemporaryDirectory()))
        (place / "nginx").mkdir()
        nginx = await stack.enter_async_context(running_nginx(place / "nginx"))
        pillow = await stack.enter_async_context(running_pillow())
        settings = Settings(data_dir=place / "data").environment()
        server = await stack.enter_async_context(serving(OURS, place, **settings))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        numbers = count()
        ways = {
            "ours": lambda: publish(http, server.url, data),
            "rival": lambda: put_and_decode(http, nginx, pillow, f"{next(numbers)}.jpg", data),
        }
        wall = await medians(ways, rounds)
        cpu = await medians(ways, rounds, _cpu(server.pid, *nginx.pids, pillow.process.pid))
    name = f"a direct upload of {len(data) / 2**20:.1f} MiB, nginx and a decode"
    return [
        Figure(name, wall["ours"], wall["rival"], GOAL),
        Figure(f"{name}, CPU", cpu["ours"], cpu["rival"], GOAL),
    ]


async def publish(http: aiohttp.ClientSession, url: str, data: bytes) -> None:
    """Upload a picture as a client would."""
    asked = {"user_id": "ada", "title": "A photo", "filename": "photo.jpg"}
    expected = {"content_type": "image/jpeg", "file_size": len(data)}
    async with http.post(f"{url}/uploads", json=asked | expected) as answer:
        begun = await answer.json()
        assert answer.status == 201, begun
    upload = begun["upload"]
    async with http.put(upload["url"], data=data, headers=upload["headers"]) as answer:
        assert answer.status == 200, await answer.text()
    async with http.post(begun["complete_url"]) as answer:
        assert answer.status == 200, await answer.text()


async def put_and_decode(http: aiohttp.ClientSession, nginx: Nginx, pillow: Pillow, name: str, data: bytes) -> None:
    """Have nginx store a picture, and see that it is one."""
    async with http.put(f"{nginx.url}/{name}", data=data) as answer:
        assert answer.status == 201, await answer.text()
    await pillow.do("decode", nginx.files / name)


def _cpu(*pids: int) -> Callable[[], float]:
    """Return a clock of these processes and of this thread: three requests of a client to ours, one to theirs."""
    return lambda: time.thread_time() + sum(map(cpu_seconds, pids))
