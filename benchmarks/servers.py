"""Servers as processes of their own, and what each request costs them: their CPU, read from outside.

Wall time on one machine is the client's as well; a process's CPU is its own.
"""

import sys
from asyncio import gather
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientSession, TCPConnector

from bootstrap.processes import LOOPBACK, ServerFailed, free_port, path_variable, running_child

from .figures import Clock, medians
from .rivals.missing import by_pip
from .watched import cpu_seconds

_CLIENTS = 8

OURS = ("-m", "service", "--port")


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    url: str
    pid: int
    client: ClientSession

    def cpu(self) -> float:
        """Return the seconds of CPU that its process has taken, all threads together."""
        return cpu_seconds(self.pid)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """Return the body of an answer that must be good."""
        async with self.client.get(self.url + path, headers=headers) as answer:
            body = await answer.read()
            assert answer.status == 200, body
        return body

    async def post(self, path: str, document: Mapping[str, str]) -> bytes:
        """Return the body of the answer to a JSON document: something must have come of it."""
        async with self.client.post(self.url + path, json=document) as answer:
            body = await answer.read()
            assert answer.status == 201, body
        return body


@asynccontextmanager
async def running(
    directory: Path, commands: Mapping[str, tuple[str, ...]], environment: Mapping[str, str]
) -> AsyncIterator[dict[str, Server]]:
    """Run Python with each of the commands and a port at its end; yield the servers once they answer /health.

    Raises Missing when a command cannot import a package, and ServerFailed when it ends for another reason.
    """
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ClientSession(connector=TCPConnector(limit=0)))
        servers = {}
        for name, command in commands.items():
            port = free_port()
            child = await stack.enter_async_context(
                running_child(
                    (sys.executable, *command, str(port)),
                    env={**path_variable(), **environment},
                    log=directory / f"{name}.log",
                )
            )
            url = f"http://{LOOPBACK}:{port}"
            try:
                await child.until_answers(f"{url}/health")
            except ServerFailed as failed:
                raise by_pip(failed) or failed from failed
            servers[name] = Server(url, child.process.pid, client)
        yield servers


async def cpu_of(
    ways: Mapping[str, tuple[Clock, Callable[[], Awaitable[object]]]], rounds: int, times: int
) -> dict[str, float]:
    """Return the median milliseconds that each piece of work takes by its clock; see `medians`.

    It is done so many times before it is another's turn, by clients enough to keep a server busy: of one that wakes
    up for a single request and sleeps again, half is what waking up costs on the machine of the day.
    """

    def repeated(work: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[object]]:
        async def client() -> None:
            for _ in range(times // _CLIENTS):
                await work()

        async def do() -> None:
            await gather(*(client() for _ in range(_CLIENTS)))

        return do

    works = {name: repeated(work) for name, (_, work) in ways.items()}
    taken = await medians(works, rounds, {name: clock for name, (clock, _) in ways.items()})
    return {name: each / (times // _CLIENTS * _CLIENTS) for name, each in taken.items()}
