"""A line between a household and a data centre: all that is sent shares its width, and takes a while to arrive."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from yarl import URL

from bootstrap.processes import LOOPBACK, free_port, path_variable, running_child

_CHUNK = 32 * 1024  # bytes
_QUEUE = 0.05  # seconds that may wait for the line


@asynccontextmanager
async def behind_uplink(health: str, megabits: float, latency: float, log: Path) -> AsyncIterator[str]:
    """Yield the URL at which a server of this machine is reached over a line of so many megabits a second.

    `health` is a URL that the server answers with 200. `latency` is in seconds, each way; the way back is as wide
    as it can be. The line is in a process of its own.
    """
    server, door = URL(health), URL(health).with_port(free_port())
    arguments = (f"{megabits}", f"{latency}", f"{door.port}", f"{server.port}")
    command = (sys.executable, "-m", "benchmarks.uplink", *arguments)
    async with running_child(command, env=path_variable(), log=log) as child:
        await child.until_answers(str(door))
        yield str(door.origin())


@dataclass
class Line:
    """A line of so many bytes a second, on which everybody queues."""

    bytes_per_second: float
    free_at: float = 0.0  # the loop's time

    async def pass_on(self, size: int) -> float:
        """Take so many bytes, when it is not too long until their turn; return when they have left."""
        now = asyncio.get_running_loop().time()
        self.free_at = max(self.free_at, now) + size / self.bytes_per_second
        await asyncio.sleep(self.free_at - now - _QUEUE)
        return self.free_at


async def carry(
    line: Line, latency: float, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Carry one connection to its end."""
    from_server, to_server = await asyncio.open_connection(LOOPBACK, port)
    endless = Line(float("inf"))
    forth, back = _carried(line, latency, reader, to_server), _carried(endless, latency, from_server, writer)
    await asyncio.gather(forth, back)


async def _carried(line: Line, latency: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    underway: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def arrive() -> None:
        while True:
            at, chunk = await underway.get()
            await asyncio.sleep(at - loop.time())
            if not chunk:
                return
            writer.write(chunk)
            await writer.drain()

    arriving = asyncio.create_task(arrive())
    with suppress(ConnectionError):
        while chunk := await reader.read(_CHUNK):
            underway.put_nowait((await line.pass_on(len(chunk)) + latency, chunk))
    underway.put_nowait((loop.time() + latency, b""))
    with suppress(ConnectionError):
        await arriving
    writer.close()


async def _serve(megabits: float, latency: float, here: int, there: int) -> None:
    line = Line(megabits * 1e6 / 8)
    server = await asyncio.start_server(partial(carry, line, latency, there), LOOPBACK, here)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
