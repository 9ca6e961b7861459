"""Two hundred pictures of 10 MiB at once, at a server that has 512 MB."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Coroutine
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import aiohttp

from tests.api.client import form, some_details
from tests.pictures import base64_of, picture
from tests.process.caps import capped
from tests.process.crowds import Pulse, clients, sent
from tests.process.servers import PIXDEPOT, Server, serving

UPLOADS = 200
LIMIT = 512 * 10**6  # bytes
ANSWERS = {201, 413, 429, 503}


async def test_two_hundred_uploads_of_10_mib_at_once_fit_into_512_mb(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    photo = picture("PNG", size=(1860, 1870), noise=True)
    assert 9.9 < len(photo) / 2**20 <= 10
    with capped(LIMIT, PIXDEPOT, "serve") as command:
        async with serving(tmp_path, *command) as server, clients() as session:
            heavy = picture(size=(4000, 3000), noise=True, quality=70, progressive=True)  # 96 MB to decode
            ways = [
                as_json(session, server, photo, "photo.png"),
                as_form(session, server, heavy, "photo.jpg"),
                directly(session, server, photo),
                as_json(session, server, b"\0" * (11 * 2**20), "too-large.png"),
            ]
            with Pulse(server.port) as pulse:
                statuses = Counter(await asyncio.gather(*(way() for way in islice(cycle(ways), UPLOADS))))
            peak = server.memory("VmHWM")
            record_property("measured", f"{statuses[201]} of 150 uploads accepted in {peak / 10**6:.0f} MB")
            assert statuses.keys() <= ANSWERS, statuses
            assert statuses[201] >= 10, statuses
            assert statuses[413] == UPLOADS // 4, statuses
            assert peak < LIMIT, peak
            assert server.process.returncode is None
            assert pulse.failures == []
            assert pulse.slowest < 1, pulse.seconds
            assert (await server.api.get("/health/ready")).status == 200
            # What was acknowledged is there, and nothing else.
            listed = (await server.api.get("/images", params={"limit": "100", "user_id": "ada"})).json
            assert listed["count"] == min(statuses[201], 100)
            assert "Traceback" not in server.log


Upload = Callable[[], Coroutine[Any, Any, int]]


def as_json(session: aiohttp.ClientSession, server: Server, data: bytes, filename: str) -> Upload:
    body = json.dumps({**some_details(filename=filename), "image_data": base64_of(data)}).encode()
    return lambda: sent(session, "POST", f"{server.url}/images", {"Content-Type": "application/json"}, body)


def as_form(session: aiohttp.ClientSession, server: Server, data: bytes, filename: str) -> Upload:
    kind, body = form(some_details(filename=filename), data, filename=filename, kind="image/jpeg")
    headers = {"Content-Type": kind, "Expect": "100-continue"}
    return lambda: sent(session, "POST", f"{server.url}/images", headers, body)


def directly(session: aiohttp.ClientSession, server: Server, data: bytes) -> Upload:
    async def upload() -> int:
        details = some_details(filename="photo.png", content_type="image/png", file_size=len(data))
        async with session.post(f"{server.url}/uploads", json=details) as response:
            assert response.status == 201
            begun = await response.json()
        assert await sent(session, "PUT", begun["upload"]["url"], begun["upload"]["headers"], data) == 200
        async with session.post(begun["complete_url"]) as response:
            return 201 if response.status == 200 else response.status

    return upload
