"""The `pixdepot` command, typed at a shell by somebody: its output in pipes, or on a terminal."""

import asyncio
import fcntl
import json
import os
import pty
import shlex
import signal
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyte

from tests.process.servers import PATIENCE, PIXDEPOT, Finished, environment, run

COLUMNS, ROWS = 80, 24  # of a terminal


@dataclass(frozen=True)
class Typist:
    """Types commands in a directory, for a service, as a user."""

    directory: Path
    url: str
    user: str
    settings: dict[str, str] = field(default_factory=dict)

    async def __call__(self, line: str, **settings: str) -> Finished:
        """Run a line to its end, with pipes for its input and output."""
        return await run(PIXDEPOT, *self._words(line), directory=self.directory, **{**self._settings, **settings})

    async def told(self, line: str) -> list[dict[str, Any]]:
        """Run a line with --json that has to work, and return what it prints."""
        finished = await self(f"{line} --json")
        assert finished.code == 0, finished
        return documents(finished)

    async def on_terminal(self, line: str, answer: str = "", stop_at: str = "") -> tuple[int, str]:
        """Run a line on a terminal; return its exit code and all that was shown.

        Types an answer when it asks, or stops it as Ctrl-C does once it shows `stop_at`.
        """
        code, shown = await self._on_terminal(line, answer, stop_at, columns=100)
        return code, shown.decode()

    async def on_screen(self, line: str) -> tuple[int, list[str]]:
        """Run a line on a terminal of 80 x 24; return its exit code and the lines that it leaves, all of them."""
        code, shown = await self._on_terminal(line, within=4 * PATIENCE)
        return code, left_on_screen(shown)

    async def _on_terminal(
        self, line: str, answer: str = "", stop_at: str = "", columns: int = COLUMNS, within: float = PATIENCE
    ) -> tuple[int, bytes]:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        process = await asyncio.create_subprocess_exec(
            *(PIXDEPOT, *self._words(line)),
            cwd=self.directory,
            env=environment(self.directory, TERM="xterm-256color", **self._settings),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

        def react() -> None:
            if stop_at:
                process.send_signal(signal.SIGINT)
            elif answer:
                os.write(ours, f"{answer}\n".encode())

        try:
            reading = asyncio.to_thread(_shown, ours, stop_at or "[y/N]", react)
            shown = await asyncio.wait_for(reading, within)
            return await asyncio.wait_for(process.wait(), PATIENCE), shown
        finally:
            os.close(ours)

    @property
    def _settings(self) -> dict[str, str]:
        return {"PIXDEPOT_URL": self.url, **self.settings}

    def _words(self, line: str) -> list[str]:
        return [self.user if word == "ME" else word for word in shlex.split(line)]


def documents(finished: Finished) -> list[dict[str, Any]]:
    """Return the JSON that was printed, an object a line."""
    return [json.loads(line) for line in finished.out.splitlines()]


def left_on_screen(shown: bytes, columns: int = COLUMNS) -> list[str]:
    """Return the lines that are left of all that was shown on a terminal."""
    screen = pyte.HistoryScreen(columns, ROWS, history=10_000)
    pyte.ByteStream(screen).feed(shown)
    passed = ["".join(row[column].data for column in range(columns)) for row in screen.history.top]
    return [each.rstrip() for each in (*passed, *screen.display) if each.strip()]


def _shown(terminal: int, awaited: str, react: Callable[[], None]) -> bytes:
    """Return all that is shown, to its end; react once to what is awaited."""
    shown, waiting = b"", True
    with suppress(OSError):  # EIO: the other side is closed
        while piece := os.read(terminal, 65536):
            shown += piece
            if waiting and awaited.encode() in shown:
                waiting = False
                react()
    return shown
