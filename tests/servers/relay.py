"""A relay of TCP connections that cuts them once so much has passed: a network that breaks off half-way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from bootstrap.processes import LOOPBACK


class Relay:
    """Passes everything on to a port.

    While `cut_after` is a number of bytes, no connection takes more to there; `cut_answers_after` the other way.
    """

    def __init__(self, port: int) -> None:
        self.cut_after: int | None = None
        self.cut_answers_after: int | None = None
        self._port = port

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection to its end."""
        from_server, to_server = await asyncio.open_connection(LOOPBACK, self._port)
        forth = asyncio.create_task(_carried(reader, to_server, lambda: self.cut_after))
        back = asyncio.create_task(_carried(from_server, writer, lambda: self.cut_answers_after))
        await asyncio.wait([forth, back], return_when=asyncio.FIRST_COMPLETED)
        cut = any(way.done() and way.result() for way in (forth, back))
        for way in (forth, back):
            way.cancel()
        for each in (writer, to_server):
            if cut:
                each.transport.abort()
            else:
                each.close()  # what is on its way arrives


async def _carried(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: Callable[[], int | None]
) -> bool:
    """Pass on what comes, to the end. Return whether it was cut before that."""
    passed = 0
    with suppress(ConnectionError):
        while chunk := await reader.read(16 * 1024):
            passed += len(chunk)
            most = limit()
            if most is not None and passed > most:
                return True
            writer.write(chunk)
            await writer.drain()
    return False


@asynccontextmanager
async def relayed(port: int) -> AsyncIterator[tuple[Relay, str]]:
    """Run a relay to a port of this machine; yield it and its URL."""
    relay = Relay(port)
    server = await asyncio.start_server(relay.carry, LOOPBACK, 0)
    async with server:
        yield relay, f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
