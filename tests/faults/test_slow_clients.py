"""Clients that keep a connection waiting: each is cut off in its time, and nobody else notices."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from service.connections import Deadlines
from service.runtime import open_service
from service.server import answering, listen
from service.settings import Settings
from tests.api.client import some_details
from tests.pictures import base64_of, picture
from tests.process.wire import Wire, answered, connected, head, upload

MIB = 2**20
PATIENT = Deadlines(head=60, idle=60, stall=60, slack=60, rate=1, linger=60)
BODY = json.dumps({**some_details(), "image_data": base64_of(picture())}).encode()
LARGE = picture("PNG", size=(1500, 1500), noise=True)  # more than sockets buffer


@dataclass(frozen=True)
class Service:
    """A service in this process."""

    port: int


@asynccontextmanager
async def served(directory: Path, deadlines: Deadlines) -> AsyncIterator[Service]:
    """Serve with these deadlines, and check at the end that everybody else was served."""
    with closing(listen("127.0.0.1", 0)) as listening:
        service = Service(listening.getsockname()[1])
        async with (
            open_service(Settings(data_dir=directory)) as runtime,
            answering(runtime.api, listening, deadlines),
        ):
            yield service
            assert (await answered(service, upload(f"Content-Length: {len(BODY)}"), BODY)).status == 201


@asynccontextmanager
async def trickling(wire: Wire, data: bytes, seconds: float) -> AsyncIterator[None]:
    """Send byte by byte meanwhile."""

    async def trickle() -> None:
        for byte in data:
            wire.send(bytes([byte]))
            await asyncio.sleep(seconds)

    sending = asyncio.create_task(trickle())
    try:
        yield
    finally:
        sending.cancel()


@pytest.mark.parametrize("sent", [b"G", b"GET /health HTTP/1.1\r\nHost: he"])
@pytest.mark.parametrize("before", [0, 2])
async def test_half_a_head_is_cut_off(tmp_path: Path, sent: bytes, before: int) -> None:
    async with served(tmp_path, replace(PATIENT, head=0.2)) as service, connected(service) as wire:
        for _ in range(before):
            wire.send(head("GET", "/health"))
            assert (await wire.response()).status == 200
        wire.send(sent)
        assert await wire.rest() == b""


async def test_a_head_that_trickles_in_is_cut_off(tmp_path: Path) -> None:
    slow = head("GET", "/health", "X-Name: " + "a" * 5000)
    deadlines = replace(PATIENT, head=0.3)
    async with served(tmp_path, deadlines) as service, connected(service) as wire, trickling(wire, slow, 0.02):
        with suppress(ConnectionResetError):  # what it sent last was read by nobody
            assert await wire.rest() == b""


async def test_two_hundred_of_them_keep_nobody_from_being_served(tmp_path: Path) -> None:
    async with served(tmp_path, replace(PATIENT, head=1)) as service:
        connections = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(200)]
        for _, writer in connections:
            writer.write(b"GET /health HTTP/1.1\r\nX-")
        assert (await answered(service, head("GET", "/health"))).status == 200
        async with asyncio.timeout(10):
            assert {await reader.read() for reader, _ in connections} == {b""}
        for _, writer in connections:
            writer.transport.abort()


@pytest.mark.parametrize("sent", [b"", head("GET", "/health")], ids=["new", "used"])
async def test_an_idle_connection_is_closed(tmp_path: Path, sent: bytes) -> None:
    async with served(tmp_path, replace(PATIENT, idle=0.2)) as service, connected(service) as wire:
        wire.send(sent)
        await wire.rest()


HELD_UP = {
    "with a length": upload(f"Content-Length: {len(BODY)}") + BODY[:-1],
    "in chunks": upload("Transfer-Encoding: chunked") + b"%x\r\n" % len(BODY) + BODY[:-1],
    "a form": upload("Content-Length: 1000", kind="multipart/form-data; boundary=b") + b"--b\r\n",
    "a document": head("POST", "/uploads", "Content-Type: application/json", "Content-Length: 9") + b"{",
}


@pytest.mark.parametrize("sent", HELD_UP.values(), ids=HELD_UP.keys())
async def test_a_body_that_stops_is_answered_408(tmp_path: Path, sent: bytes) -> None:
    deadlines = replace(PATIENT, stall=0.2, linger=0.1)
    async with served(tmp_path, deadlines) as service, connected(service) as wire:
        wire.send(sent)
        answer = await wire.response()
        assert answer.outcome == (408, "request_timeout")
        assert answer.headers["connection"] == "close"
        assert await wire.rest() == b""


async def test_a_body_that_trickles_in_is_answered_408(tmp_path: Path) -> None:
    deadlines = replace(PATIENT, slack=0.3, rate=1000, linger=0.1)
    async with served(tmp_path, deadlines) as service, connected(service) as wire:
        wire.send(upload(f"Content-Length: {len(BODY)}"))
        async with trickling(wire, BODY, 0.01):
            assert (await wire.response()).outcome == (408, "request_timeout")


async def test_a_slow_body_that_keeps_to_the_rate_is_taken(tmp_path: Path) -> None:
    deadlines = replace(PATIENT, slack=0.5, rate=len(BODY) / 2)
    async with served(tmp_path, deadlines) as service, connected(service) as wire:
        wire.send(upload(f"Content-Length: {len(BODY)}"))
        for at in range(0, len(BODY), len(BODY) // 10):
            wire.send(BODY[at : at + len(BODY) // 10])
            await asyncio.sleep(0.1)
        assert (await wire.response()).status == 201


async def test_bodies_that_drip_deny_nobody_an_upload(tmp_path: Path) -> None:
    body = json.dumps({**some_details(filename="photo.png"), "image_data": base64_of(LARGE)}).encode()
    async with served(tmp_path, PATIENT) as service, AsyncExitStack() as dripping:
        for _ in range(7):  # as large as may be: together more than there is memory for
            wire = await dripping.enter_async_context(connected(service))
            wire.send(upload(f"Content-Length: {13 * MIB}"), BODY[:20])
            await dripping.enter_async_context(trickling(wire, b" " * 600, 0.1))
        for _ in range(5):
            assert (await answered(service, upload(f"Content-Length: {len(body)}"), body)).status == 201


async def test_a_refused_body_without_end_is_not_read_for_long(tmp_path: Path) -> None:
    async with served(tmp_path, replace(PATIENT, linger=0.2)) as service, connected(service) as wire:
        wire.send(upload("Content-Length: 99000000000"))
        assert (await wire.response()).outcome == (413, "too_large")
        async with trickling(wire, b"x" * 10_000, 0.01):
            with suppress(ConnectionResetError):  # what it sent last was read by nobody
                await wire.rest()


@pytest.mark.parametrize("query", ["download=true", "metadata_only=false"])
async def test_a_client_that_does_not_read_its_answer_is_cut_off(tmp_path: Path, query: str) -> None:
    form = {**some_details(filename="photo.png"), "image_data": base64_of(LARGE)}
    body = json.dumps(form).encode()
    async with served(tmp_path, replace(PATIENT, stall=0.5)) as service:
        image_id = (await answered(service, upload(f"Content-Length: {len(body)}"), body)).json["image_id"]
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, ("127.0.0.1", service.port))
            await loop.sock_sendall(deaf, head("GET", f"/images/{image_id}?{query}"))
            await asyncio.sleep(1.5)  # it does not read, so there is nothing that it could wait for
            received = 0
            while chunk := await loop.sock_recv(deaf, MIB):
                received += len(chunk)
            assert received < len(LARGE)
