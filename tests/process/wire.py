"""HTTP/1.1 by hand, for what no well-behaved client would send."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

SOON = 30  # seconds; most of it is patience with a busy machine


@dataclass(frozen=True)
class Response:
    """What came over the wire; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def json(self) -> Any:
        """Return the body as a document."""
        return json.loads(self.body)

    @property
    def outcome(self) -> tuple[int, str]:
        """Return the status, and the code of the problem."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.json["request_id"] == self.headers["x-request-id"]
        return self.status, self.json["code"]


@dataclass(frozen=True)
class Wire:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *pieces: bytes) -> None:
        """Send these bytes."""
        self.writer.writelines(pieces)

    async def head(self) -> Response:
        """Return the next response, without its body."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), SOON)
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        return Response(int(first.split()[1]), {name.lower(): value for name, value in headers.items()})

    async def body(self, head: Response) -> bytes:
        """Return the body that follows a head."""
        return await asyncio.wait_for(self.reader.readexactly(int(head.headers.get("content-length", 0))), SOON)

    async def response(self) -> Response:
        """Return the next response."""
        head = await self.head()
        return Response(head.status, head.headers, await self.body(head))

    async def rest(self) -> bytes:
        """Return what comes until the server closes the connection."""
        return await asyncio.wait_for(self.reader.read(), SOON)


class Listening(Protocol):
    """Whatever listens on 127.0.0.1."""

    @property
    def port(self) -> int:
        """Return its port."""


@asynccontextmanager
async def connected(server: Listening) -> AsyncIterator[Wire]:
    """Connect to a server."""
    wire = Wire(*await asyncio.open_connection("127.0.0.1", server.port))
    try:
        yield wire
    finally:
        wire.writer.transport.abort()


async def answered(server: Listening, *pieces: bytes) -> Response:
    """Send bytes, and return the answer to them."""
    async with connected(server) as wire:
        wire.send(*pieces)
        return await wire.response()


def head(method: str, target: str, *headers: str) -> bytes:
    """Return the head of a request."""
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: here", *headers, "", ""]).encode("latin-1")


def upload(*headers: str, kind: str = "application/json") -> bytes:
    """Return the head of an upload."""
    return head("POST", "/images", f"Content-Type: {kind}", *headers)
