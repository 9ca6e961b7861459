"""Pillow as it comes, in a process of its own: the service tunes Pillow's memory, and rivals beside it would gain.

It reads lines from its standard input, each the name of some work and the path of a JPEG, and answers each with a
line when that is done.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bootstrap.processes import path_variable

DISPLAY, THUMB = 1080, 320  # pixels, as the service has them
_REPOSITORY = Path(__file__).parents[2]


def decode(path: str) -> None:
    """See that it is a picture."""
    with Image.open(path) as picture:
        picture.load()


def draft(path: str) -> None:
    """Decode at the least scale that is large enough for the larger size."""
    with Image.open(path) as picture:
        picture.draft(None, (DISPLAY, DISPLAY * picture.height // picture.width))
        picture.load()


def thumbnails(path: str) -> None:
    """Make both sizes as Pillow's tutorial does."""
    for longest in (DISPLAY, THUMB):
        with Image.open(path) as picture:
            picture.thumbnail((longest, longest))


_WORKS = {"decode": decode, "draft": draft, "thumbnails": thumbnails}


@dataclass(frozen=True, slots=True)
class Pillow:
    """Such a process."""

    process: asyncio.subprocess.Process

    async def do(self, work: str, path: Path) -> None:
        """Have some work done with a picture."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{work} {path}\n".encode())
        said = await self.process.stdout.readline()
        assert said == b"done\n", said


@asynccontextmanager
async def running_pillow() -> AsyncIterator[Pillow]:
    """Run it for the length of the block."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", __name__)
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, env=path_variable(), cwd=_REPOSITORY
    )
    try:
        yield Pillow(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()  # it ends by itself then
        await process.wait()


if __name__ == "__main__":
    for line in sys.stdin:
        name, _, file = line.rstrip("\n").partition(" ")
        _WORKS[name](file)
        print("done", flush=True)
