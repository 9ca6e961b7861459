"""What becomes of requests when the server is asked to stop. What survives when it is killed: tests/faults."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.api.client import ApiClient, over_http, some_details
from tests.pictures import base64_of, picture
from tests.process.servers import Server, serving
from tests.process.wire import connected


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
