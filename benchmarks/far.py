"""A server as if it were far away: behind a proxy, in a process of its own, that takes its time with each call."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from bootstrap.emulator import Emulator
from bootstrap.processes import LOOPBACK, free_port, path_variable, running_child
from tests.servers.proxy import proxied


@asynccontextmanager
async def far_away(emulator: Emulator, delay: timedelta, log: Path) -> AsyncIterator[str]:
    """Yield the URL at which each call to the emulator takes so much longer."""
    port = free_port()
    arguments = (emulator.endpoint_url, str(port), str(delay.total_seconds()))
    command = (sys.executable, "-m", "benchmarks.far", *arguments)
    async with running_child(command, env=path_variable(), log=log) as child:
        await child.until_answers(f"http://{LOOPBACK}:{port}/_ministack/health")
        yield f"http://{LOOPBACK}:{port}"


async def _serve(upstream: str, port: int, delay: float) -> None:
    async with proxied(upstream, port) as proxy:
        proxy.delay = delay
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
