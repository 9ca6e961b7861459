"""The `pixdepot` command, typed at a shell by somebody: its output in pipes, or on a terminal."""

import asyncio
import fcntl
import json
import os
import pty
import shlex
import struct
import termios
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

    async def on_terminal(self, line: str, answer: str = "") -> tuple[int, str]:
        """Run a line on a terminal, typing an answer when it asks; return its exit code and all that was shown."""
        code, shown = await self._on_terminal(line, answer, columns=100)
        return code, shown.decode()

    async def on_screen(self, line: str) -> tuple[int, list[str]]:
        """Run a line on a terminal of 80 x 24; return its exit code and the lines that it leaves, all of them."""
        code, shown = await self._on_terminal(line, within=4 * PATIENCE)
        screen = pyte.HistoryScreen(COLUMNS, ROWS, history=10_000)
        pyte.ByteStream(screen).feed(shown)
        passed = ["".join(row[column].data for column in range(COLUMNS)) for row in screen.history.top]
        return code, [each.rstrip() for each in (*passed, *screen.display) if each.strip()]

    async def _on_terminal(
        self, line: str, answer: str = "", columns: int = COLUMNS, within: float = PATIENCE
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
        try:
            shown = await asyncio.wait_for(asyncio.to_thread(_shown, ours, answer), within)
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


def _shown(terminal: int, answer: str) -> bytes:
    shown = b""
    with suppress(OSError):  # EIO: the other side is closed
        while piece := os.read(terminal, 65536):
            shown += piece
            if answer and b"[y/N]" in shown:
                os.write(terminal, f"{answer}\n".encode())
                answer = ""
    return shown
