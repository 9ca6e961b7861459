"""What survives when the server is killed or asked to stop, at any moment."""

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

from service import model
from service.model import GRACE, ImageQuery
from service.runtime import open_service
from service.settings import Settings
from service.sweeper import Swept
from tests.api.client import Answer, ApiClient, over_http, some_details
from tests.pictures import base64_of, picture, sha256_of
from tests.process.servers import Server, serving
from tests.process.wire import connected

ROUNDS = 20
AT_ONCE = 6  # uploads
STEPS = range(5, 120)  # of all uploads together, until the server is killed

PICTURES = [picture(size=(60 * n, 50 * n), noise=True, seed=n) for n in range(1, 9)]


@dataclass
class Ledger:
    """What the clients know: the digests of what they asked to publish, by title, and of what was acknowledged."""

    asked: dict[str, str] = field(default_factory=dict)
    acknowledged: dict[str, str] = field(default_factory=dict)


# ---------------------------------------------------------------- SIGKILL


async def test_killed_again_and_again_it_keeps_what_it_acknowledged_and_nothing_else(
    tmp_path: Path,
) -> None:
    chance, ledger = random.Random(7), Ledger()
    for number in range(ROUNDS):
        async with serving(tmp_path) as server:
            await audit(server.api, ledger)
            await upload_until_killed(server, ledger, chance, f"round {number}")
    async with serving(tmp_path) as server:
        await audit(server.api, ledger)
        settings = Settings(data_dir=server.data)

    # A link lives to the end of its last second.
    links_dead = model.now() + timedelta(seconds=settings.upload_ttl + 1) + GRACE
    swept, published = await sweep_at(links_dead, settings)
    assert swept.failed == 0
    assert swept.removed > 0
    assert files_below(settings.data_dir / "objects") == published
    for left in (settings.data_dir / "tmp").iterdir():  # a day later, the next start clears what writes left
        os.utime(left, times=(0, 0))
    async with serving(tmp_path) as server:
        assert files_below(settings.data_dir / "tmp") == set()
        await audit(server.api, ledger)


async def audit(api: ApiClient, ledger: Ledger) -> None:
    """Check that all that was acknowledged is there, and only what was asked for; every byte of it."""
    shown = {}
    async for image in listed(api):
        assert ledger.asked[image["title"]] == image["sha256"]
        downloaded = await api.get(f"/images/{image['image_id']}", params={"download": "true"})
        assert sha256_of(downloaded.body) == image["sha256"]
        shown[image["image_id"]] = image
    assert {image_id: shown[image_id]["sha256"] for image_id in ledger.acknowledged} == ledger.acknowledged
    assert len({image["title"] for image in shown.values()}) == len(shown)


async def listed(api: ApiClient) -> AsyncIterator[dict[str, Any]]:
    """Yield everything that is listed."""
    query = {"limit": "100"}
    while True:
        page = (await api.get("/images", params=query)).json
        for each in page["images"]:
            yield each
        if page["next_cursor"] is None:
            return
        query["cursor"] = page["next_cursor"]


async def upload_until_killed(server: Server, ledger: Ledger, chance: random.Random, name: str) -> None:
    """Upload in many ways at once, and kill the server somewhere in the middle of it."""
    last, steps = chance.choice(STEPS), count(1)

    def step() -> None:
        if next(steps) == last:
            server.process.kill()

    async def halves(body: bytes) -> AsyncIterator[bytes]:
        yield body[: len(body) // 2]
        step()
        yield body[len(body) // 2 :]

    async with aiohttp.ClientSession() as session:

        async def send(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
            step()
            sent = {**headers, "Content-Length": str(len(body))}
            async with session.request(method, url, headers=sent, data=halves(body) if body else None) as response:
                answer = Answer(response.status, response.headers, await response.read())
            step()
            return answer

        api = ApiClient(server.url, send)
        async with asyncio.TaskGroup() as clients:
            for number in range(AT_ONCE):
                client = f"{name}, client {number}"
                clients.create_task(upload_until_unanswered(api, ledger, random.Random(client), client))
    assert await server.ended() == -signal.SIGKILL


async def upload_until_unanswered(api: ApiClient, ledger: Ledger, chance: random.Random, name: str) -> None:
    """Upload one picture after another, until the server is gone."""
    for number in count():
        data = chance.choice(PICTURES)
        upload = chance.choice([upload_as_base64, upload_directly])
        try:
            image_id = await upload(api, ledger, data, f"{name}, number {number}")
        except aiohttp.ClientError:
            return
        ledger.acknowledged[image_id] = sha256_of(data)


async def upload_as_base64(api: ApiClient, ledger: Ledger, data: bytes, title: str) -> str:
    """Upload in one request, and return the id."""
    ledger.asked[title] = sha256_of(data)
    return str((await api.uploaded(data, title=title))["image_id"])


async def upload_directly(api: ApiClient, ledger: Ledger, data: bytes, title: str) -> str:
    """Upload in three requests, and return the id."""
    begun = (await api.begin(data, title=title)).json
    assert (await api.put(begun["upload"], data)).status == 200
    ledger.asked[title] = sha256_of(data)
    completed = await api.post(f"/uploads/{begun['image_id']}/complete")
    assert completed.status == 200
    return str(completed.json["image_id"])


async def sweep_at(instant: datetime, settings: Settings) -> tuple[Swept, set[str]]:
    """Sweep and reconcile as if it were that time; return what was swept, and the keys of all published images."""
    async with open_service(settings, clock=lambda: instant) as runtime:
        swept = await runtime.sweeper.sweep()
        assert (await runtime.reconciler.reconcile()).missing == 0
        records = runtime.api.services.depot.records
        assert await records.due(instant, 1) == []
        return swept, {image.object_key for image in (await records.find(ImageQuery(), None, 10_000)).images}


def files_below(directory: Path) -> set[str]:
    """Return the paths of all files below a directory."""
    return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- SIGTERM


async def test_asked_to_stop_it_finishes_the_upload_it_is_reading_and_takes_no_other(tmp_path: Path) -> None:
    upload = SlowUpload.of(picture())
    async with serving(tmp_path) as server, connected(server) as slow, aiohttp.ClientSession() as session:
        idle = ApiClient(server.url, over_http(session))
        assert (await idle.get("/health")).status == 200  # and its connection stays open
        slow.send(upload.head("Expect: 100-continue"), upload.first_half)
        assert (await slow.response()).status == 100  # the body is being read
        server.process.terminate()
        await refused(server)
        slow.send(upload.second_half)
        answer = await slow.response()
        assert answer.status == 201
        assert answer.headers["connection"] == "close"
        assert await asyncio.wait_for(server.process.wait(), 5) == 0
        assert "Traceback" not in server.log
    async with serving(tmp_path) as server:
        image = await server.api.get(f"/images/{answer.json['image_id']}", params={"download": "true"})
        assert image.body == picture()


async def test_asked_to_stop_it_finishes_the_download_it_is_sending(tmp_path: Path) -> None:
    data = picture("PNG", size=(1500, 1500), noise=True)  # more than sockets buffer
    async with serving(tmp_path) as server:
        image_id = (await server.api.uploaded(data, filename="photo.png"))["image_id"]
        async with connected(server) as slow:
            slow.send(f"GET /images/{image_id}?download=true HTTP/1.1\r\nHost: {server.port}\r\n\r\n".encode())
            head = await slow.head()
            assert head.status == 200
            server.process.terminate()
            await refused(server)
            assert await slow.body(head) == data
        assert await asyncio.wait_for(server.process.wait(), 5) == 0


async def test_asked_to_stop_when_idle_it_stops_at_once_even_with_connections_open(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, connected(server) as silent, connected(server) as kept:
        kept.send(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n")
        assert (await kept.response()).status == 200
        silent.send(b"GET /health HTT")
        server.process.terminate()
        assert await asyncio.wait_for(server.process.wait(), 5) == 0


@dataclass(frozen=True)
class SlowUpload:
    """A base64 upload, to be sent in two halves."""

    first_half: bytes
    second_half: bytes

    @classmethod
    def of(cls, data: bytes) -> "SlowUpload":
        """Return the upload of a picture."""
        body = json.dumps({**some_details(), "image_data": base64_of(data)}).encode()
        return cls(body[: len(body) // 2], body[len(body) // 2 :])

    def head(self, *headers: str) -> bytes:
        """Return the request's head."""
        length = len(self.first_half) + len(self.second_half)
        lines = [
            "POST /images HTTP/1.1",
            "Host: here",
            "Content-Type: application/json",
            f"Content-Length: {length}",
        ]
        return "\r\n".join([*lines, *headers, "", ""]).encode()


async def refused(server: Server) -> None:
    """Return once the server takes no more connections."""
    while True:
        try:
            async with connected(server):
                await asyncio.sleep(0.01)
        except ConnectionRefusedError:
            return
        except ConnectionResetError:  # it was still in the queue
            continue
