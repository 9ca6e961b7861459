"""A relay of TCP connections that cuts them once a client has sent so much: a network that breaks off half-way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bootstrap.processes import LOOPBACK


class Relay:
    """Passes everything on to a port. While `cut_after` is a number of bytes, no connection takes more to there."""

    def __init__(self, port: int) -> None:
        self.cut_after: int | None = None
        self._port = port

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to its end."""
        to_server = await asyncio.open_connection(LOOPBACK, self._port)
        with suppress(ConnectionError):
            async with asyncio.TaskGroup() as both:
                back = both.create_task(_pass(to_server[0], writer))
                await self._forth(reader, to_server[1])
                back.cancel()
        for each in (writer, to_server[1]):
            each.transport.abort()

    async def _forth(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = 0
        while chunk := await reader.read(16 * 1024):
            sent += len(chunk)
            if self.cut_after is not None and sent > self.cut_after:
                return
            writer.write(chunk)
            await writer.drain()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await reader.read(16 * 1024):
            writer.write(chunk)
            await writer.drain()


@asynccontextmanager
async def relayed(port: int) -> AsyncIterator[tuple[Relay, str]]:
    """Run a relay to a port of this machine; yield it and its URL."""
    relay = Relay(port)
    server = await asyncio.start_server(relay.carry, LOOPBACK, 0)
    async with server:
        yield relay, f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
