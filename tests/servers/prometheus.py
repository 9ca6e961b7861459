"""Prometheus itself, which scrapes a server as it does in production."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bootstrap.processes import LOOPBACK, free_port, path_variable, running_child

_LOOK_AGAIN = 0.3  # seconds


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that runs, and a session to ask it with."""

    url: str
    http: aiohttp.ClientSession

    async def ask(self, what: str, **parameters: str) -> Any:
        """Return the data of an answer of its API. Raises AssertionError with what it says to a bad expression."""
        async with self.http.get(f"{self.url}/api/v1/{what}", params=parameters) as answer:
            told = await answer.json()
        assert told["status"] == "success", told
        return told["data"]

    async def value(self, expression: str) -> list[Any]:
        """Return what an expression has now: one entry for each of its series."""
        found: list[Any] = (await self.ask("query", query=expression))["result"]
        return found

    async def until(self, expression: str, within: float = 60) -> None:
        """Return once an expression has something."""
        async with asyncio.timeout(within):
            while not await self.value(expression):  # noqa: ASYNC110 - another process changes it
                await asyncio.sleep(_LOOK_AGAIN)


@asynccontextmanager
async def running_prometheus(directory: Path, config: Path) -> AsyncIterator[Prometheus]:
    """Run Prometheus for the length of the block, its data and its log in `directory`."""
    port = free_port()
    command = (
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address={LOOPBACK}:{port}",
    )
    environment = path_variable() | {"HOME": str(directory)}
    async with (
        running_child(command, env=environment, log=directory / "prometheus.log") as child,
        aiohttp.ClientSession() as http,
    ):
        await child.until_answers(f"http://{LOOPBACK}:{port}/-/ready")
        yield Prometheus(f"http://{LOOPBACK}:{port}", http)
