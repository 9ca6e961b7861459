"""Servers to compare, each in a process of its own, whose CPU time, memory and event loop are looked at from here.

`python -m benchmarks.watched NAME PORT PORT` is such a process.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from bootstrap.processes import LOOPBACK, free_port, path_variable, running_child
from service.runtime import open_service
from service.server import answering, listen
from service.settings import Settings
from tests.process.memory import forget_peak, resident

from .rivals import discard, whole_body

OURS, WHOLE_BODY, DISCARD = "ours", "whole_body", "discard"
_RIVALS: Mapping[str, Callable[[], AbstractAsyncContextManager[web.Application]]] = {
    WHOLE_BODY: whole_body.application,
    DISCARD: discard.application,
}
_TICK = 0.001  # seconds


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that all threads of a process have used (Linux: clock_getcpuclockid)."""
    return time.clock_gettime(~pid << 3 | 2)


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs. What is told of it includes all of its threads."""

    url: str
    pid: int
    watch_url: str

    def memory(self, line: str = "VmRSS") -> int:
        """Return its resident memory in bytes; see `tests.process.memory.resident`."""
        return resident(self.pid, line)

    def forget_peak(self) -> None:
        """Let VmHWM begin again."""
        forget_peak(self.pid)

    async def watch(self, http: aiohttp.ClientSession) -> None:
        """Begin to look how long its event loop stands still."""
        async with http.post(self.watch_url) as answer:
            assert answer.ok

    async def worst_lag(self, http: aiohttp.ClientSession) -> float:
        """Stop looking; return for how many seconds it stood still at most."""
        async with http.delete(self.watch_url) as answer:
            return float(await answer.text())


@asynccontextmanager
async def serving(name: str, place: Path, **environment: str) -> AsyncIterator[Served]:
    """Run ours or a rival for the length of the block, with its log in a directory."""
    port, watch_port = free_port(), free_port()
    command = (sys.executable, "-m", __name__, name, str(port), str(watch_port))
    env = {**path_variable(), **environment}
    async with running_child(command, env=env, log=place / f"{name}.log") as child:
        served = Served(f"http://{LOOPBACK}:{port}", child.process.pid, f"http://{LOOPBACK}:{watch_port}/")
        await child.until_answers(served.watch_url)
        yield served


async def _serve(name: str, port: int, watch_port: int) -> None:
    async with _ours(port) if name == OURS else _theirs(name, port), _running(_watch(), watch_port):
        await asyncio.Event().wait()


@asynccontextmanager
async def _ours(port: int) -> AsyncIterator[None]:
    async with (
        open_service(Settings.from_env(os.environ)) as runtime,
        answering(runtime.api, listen(LOOPBACK, port)),
    ):
        yield


@asynccontextmanager
async def _theirs(name: str, port: int) -> AsyncIterator[None]:
    async with _RIVALS[name]() as app, _running(app, port):
        yield


@asynccontextmanager
async def _running(app: web.Application, port: int) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
        yield
    finally:
        await runner.cleanup()


def _watch() -> web.Application:
    """Return what tells of the event loop it runs on: POST begins to look, DELETE tells the worst that was seen."""
    watching: list[asyncio.Task[float]] = []

    async def tick() -> float:
        clock, worst = asyncio.get_running_loop().time, 0.0
        try:
            while True:
                before = clock()
                await asyncio.sleep(_TICK)
                worst = max(worst, clock() - before - _TICK)
        except asyncio.CancelledError:
            return worst

    async def alive(_: web.Request) -> web.Response:
        return web.Response()

    async def begin(_: web.Request) -> web.Response:
        watching.append(asyncio.create_task(tick()))
        await asyncio.sleep(0)  # a task that has not begun is cancelled without a word
        return web.Response()

    async def end(_: web.Request) -> web.Response:
        task = watching.pop()
        task.cancel()
        return web.Response(text=str(await task))

    app = web.Application()
    app.router.add_get("/", alive)
    app.router.add_post("/", begin)
    app.router.add_delete("/", end)
    return app


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
