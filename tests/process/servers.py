"""The real commands, in processes and with an environment of their own."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import platformdirs

from tests.api.client import ApiClient, over_http
from tests.process.memory import resident

COMMANDS = Path(sys.executable).parent
PIXDEPOT = str(COMMANDS / "pixdepot")
PATIENCE = 30  # seconds for anything that is over in a moment on an idle machine


def environment(home: Path, **settings: str) -> dict[str, str]:
    """Return an environment that holds nothing of a developer's, and the project's commands first in its path."""
    path = f"{COMMANDS}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8", **settings}


@dataclass(frozen=True)
class Finished:
    """A command that has run to its end."""

    code: int
    out: str
    error: str


async def run(*command: str, directory: Path, within: float = PATIENCE, **settings: str) -> Finished:
    """Run a command in a directory until it ends by itself, within so many seconds."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=directory,
        env=environment(directory, **settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, error = await asyncio.wait_for(process.communicate(), within)
    finally:
        await _ended(process)
    assert process.returncode is not None
    return Finished(process.returncode, out.decode(), error.decode())


@dataclass(frozen=True)
class Server:
    """A server that runs, and what it said when it was ready."""

    process: asyncio.subprocess.Process
    greeting: str
    api: ApiClient
    directory: Path

    @property
    def url(self) -> str:
        """Return where it listens."""
        return self.api.base_url

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        port = urlsplit(self.url).port
        assert port
        return port

    @property
    def log(self) -> str:
        """Return what it has logged until now."""
        return _log(self.directory).read_text()

    @property
    def data(self) -> Path:
        """Return its data directory."""
        return self.directory / "data"

    def memory(self, line: str = "VmRSS") -> int:
        """Return its resident memory in bytes; see `memory.resident`."""
        return resident(self.process.pid, line)

    def open_files(self) -> int:
        """Return how many files and connections it has open."""
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    async def ended(self) -> int:
        """Return the exit code once the process has ended by itself."""
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


@asynccontextmanager
async def serving(directory: Path, *command: str, lines: int = 2, **settings: str) -> AsyncIterator[Server]:
    """Run `pixdepot serve` (or another command line) on a free port, its data below `directory`.

    It greets with so many lines.
    """
    process = await start(directory, *(command or (PIXDEPOT, "serve")), "--port", "0", "--data", "data", **settings)
    try:
        greeting = await greeted(process, directory, lines)
        url = re.search(r"http://\S+", greeting)
        assert url, greeting
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            yield Server(process, greeting, ApiClient(url[0], over_http(session)), directory)
    finally:
        await _ended(process)


def emulating(directory: Path, **settings: str) -> AbstractAsyncContextManager[Server]:
    """Run `pixdepot emulator` on a free port, its data below `directory`; what was installed once serves again."""
    settings = {"XDG_CACHE_HOME": str(platformdirs.user_cache_path()), **settings}
    return serving(directory, PIXDEPOT, "emulator", lines=5, **settings)


async def start(directory: Path, *command: str, **settings: str) -> asyncio.subprocess.Process:
    """Start a command in a directory; its stderr goes into a file there."""
    with _log(directory).open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=directory,
            env=environment(directory, **settings),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )


async def greeted(process: asyncio.subprocess.Process, directory: Path, number: int = 2) -> str:
    """Return the lines with which a server says that it is ready."""
    assert process.stdout
    lines = [await asyncio.wait_for(process.stdout.readline(), PATIENCE) for _ in range(number)]
    assert all(lines), f"It did not start: {_log(directory).read_text()}"
    return b"".join(lines).decode()


def _log(directory: Path) -> Path:
    return directory / "stderr.log"


async def _ended(process: asyncio.subprocess.Process) -> None:
    """End a process, if need be, and take leave of its pipes."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()
    assert process.stdout
    await process.stdout.read()
