"""Servers run as children of this process: a free port, a child stopped at its block's end, an install made once.

Product code (the emulator) and the test servers stand on the same few functions.
"""

import asyncio
import fcntl
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import aiohttp
import platformdirs

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
_LOOK_AGAIN = 0.05  # seconds between two looks at a child that is starting
_STOP_WITHIN = 60.0  # seconds a child has to end by itself: the emulator writes down what it keeps
_RUN_WITHIN = 600.0  # seconds: an install over a slow network


class ServerFailed(RuntimeError):
    """A command failed, or a server did not start, ended by itself or would not stop. Ends with its last words."""


@dataclass(frozen=True, slots=True)
class Child:
    """A running child process and the file its output goes to, whose name is the child's name in messages."""

    process: asyncio.subprocess.Process
    log: Path

    async def until_answers(self, url: str, within: float = 30.0) -> None:
        """Return once a GET of `url` answers 200. Raises ServerFailed when the child ends, or after `within` s."""
        answered = False
        async with aiohttp.ClientSession() as session:
            with suppress(TimeoutError):
                async with asyncio.timeout(within):
                    while not (answered := await _answers(session, url)) and not await self._ended(_LOOK_AGAIN):
                        pass
        if self.process.returncode is not None:
            raise ServerFailed(f"{self.log.stem} ended with status {self.process.returncode}.\n{self.last_words()}")
        if not answered:
            raise ServerFailed(f"{self.log.stem} did not respond within {within:g} s.\n{self.last_words()}")

    async def stop(self, with_signal: signal.Signals, within: float) -> None:
        """End the process and wait for it. Raises ServerFailed when it has to be killed after `within` seconds."""
        with suppress(ProcessLookupError):
            self.process.send_signal(with_signal)
        if not await self._ended(within):
            self.process.kill()
            await self.process.wait()
            raise ServerFailed(
                f"{self.log.stem} did not stop within {within:g} s and was killed.\n{self.last_words()}"
            )

    def last_words(self) -> str:
        """Return the end of the log."""
        return _end(self.log.read_text(errors="replace"))

    async def _ended(self, within: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), within)
        return self.process.returncode is not None


@asynccontextmanager
async def running_child(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    log: Path,
    stop_signal: signal.Signals = signal.SIGTERM,
    stop_within: float = _STOP_WITHIN,
) -> AsyncIterator[Child]:
    """Run `command` for the length of the block, with `env` as its whole environment and its output in `log`.

    It gets `stop_signal` at the block's end and `stop_within` seconds to end; it never outlives this process.
    """
    with _opened(log) as output:
        process = await asyncio.create_subprocess_exec(
            *_ending_with_this_process(),
            *command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches every process of the terminal's group; stopping the child is ours alone.
            start_new_session=True,
        )
    child = Child(process, log)
    try:
        yield child
    finally:
        await child.stop(stop_signal, stop_within)


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """Set the event on SIGINT or SIGTERM in the block, in place of what they do by themselves. Main thread only."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def run(command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    """Run a command to its end, in this process's environment unless `env` is given. Raises ServerFailed."""
    try:
        subprocess.run(  # noqa: S603 - the commands are this project's own
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=True,
            timeout=_RUN_WITHIN,
        )
    except subprocess.CalledProcessError as error:
        raise ServerFailed(f"{command[0]} ended with status {error.returncode}.\n{_end(error.stdout)}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerFailed(f"{command[0]} could not be run: {error}") from error


def path_variable() -> dict[str, str]:
    """Return the one variable of this process's environment that every child may see: PATH."""
    return {"PATH": os.environ.get("PATH", os.defpath)}


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def port_is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def installed_python(*requirements: str, adapt: Callable[[Path], None] | None = None) -> Path:
    """Return the Python of an environment of its own, with packages (such as "name==version") and what they need.

    The first call on a machine installs it, and calls `adapt` with the directory. Raises ServerFailed.
    """
    plain = "-".join(re.sub(r"\[.*?\]", "", each) for each in requirements)
    name = f"{re.sub('[^A-Za-z0-9._-]+', '-', plain)}-{sys.implementation.cache_tag}"

    def install(directory: Path) -> None:
        python = str(directory / "bin" / "python")
        run([sys.executable, "-m", "venv", str(directory)])
        run([python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *requirements])
        if adapt:
            adapt(directory)

    return installed_once(name, "bin/python", install) / "bin" / "python"


def installed_once(name: str, proof: str, install: Callable[[Path], None]) -> Path:
    """Return the directory `name` of the user's cache, made by `install(directory)` unless it is there already.

    Safe when many processes ask at once (one installs, the others wait for it) and when one dies half-way (what
    it left is thrown away). The file `proof` below the directory tells an installation that still works; what is
    installed must work after its directory is renamed.
    """
    cache = platformdirs.user_cache_path("pixdepot")
    directory = cache / name
    if (directory / proof).exists():
        return directory
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it when its holder dies
        if not (directory / proof).exists():
            _install(directory, install)
    return directory


def _install(directory: Path, install: Callable[[Path], None]) -> None:
    logger.info("installing %s; this happens once", directory.name)
    for left in (directory, *directory.parent.glob(f"{directory.name}.partial-*")):
        shutil.rmtree(left, ignore_errors=True)
    # A child of a process that died may still be writing into its own partial directory.
    partial = Path(tempfile.mkdtemp(prefix=f"{directory.name}.partial-", dir=directory.parent))
    try:
        install(partial)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _ending_with_this_process() -> tuple[str, ...]:
    # A server must not outlive a test run that was killed. Linux can promise that; elsewhere it may.
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM", "--") if setpriv else ()


def _opened(log: Path) -> BinaryIO:
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("ab")


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    with suppress(aiohttp.ClientError, TimeoutError, OSError):
        async with session.get(url) as response:
            return response.status == 200
    return False


def _end(text: str, lines: int = 20) -> str:
    return "\n".join(text.splitlines()[-lines:])
