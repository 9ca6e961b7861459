"""The `pixdepot` command, typed at a shell by somebody: its output in pipes, or on a terminal."""

import asyncio
import json
import os
import pty
import shlex
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.process.servers import PATIENCE, PIXDEPOT, Finished, environment, run


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
        ours, theirs = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *(PIXDEPOT, *self._words(line)),
            cwd=self.directory,
            env=environment(self.directory, TERM="xterm-256color", COLUMNS="100", **self._settings),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        try:
            shown = await asyncio.wait_for(asyncio.to_thread(_shown, ours, answer), PATIENCE)
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


def _shown(terminal: int, answer: str) -> str:
    shown = b""
    with suppress(OSError):  # EIO: the other side is closed
        while piece := os.read(terminal, 65536):
            shown += piece
            if answer and b"[y/N]" in shown:
                os.write(terminal, f"{answer}\n".encode())
                answer = ""
    return shown.decode()
