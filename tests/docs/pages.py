"""The pages there are to read, what they let a reader type, and which test types it.

A block in the language `sh` needs no test of its own: what no test has claimed is run at a server by
test_at_a_server.py. Anything else in a language that can be run has to be claimed by a test (`runs`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any, TypeVar

import pytest

from tests.process.servers import Finished, run

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGES = [str(each.relative_to(ROOT)) for each in (*ROOT.glob("*.md"), *sorted(ROOT.glob("docs/**/*.md")))]
_FENCED = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)

# These run until they are stopped, so a script leaves them out. Others type them:
UNTIL_STOPPED = {
    "pixdepot serve": "tests/process/test_commands.py",
    "pixdepot emulator": "tests/process/test_emulator.py",
    "docker compose up": "tests/unit/test_compose.py",
    "docker build": "tests/process/test_image.py",
    "docker run": "tests/process/test_image.py",
}

Test = TypeVar("Test", bound=Callable[..., Any])


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and what language its fence says."""

    page: str
    language: str
    text: str

    @property
    def lines(self) -> list[str]:
        """Return its lines."""
        return self.text.splitlines()


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page."""
    return [Block(page, found[2], dedent(found[3])) for found in _FENCED.finditer((ROOT / page).read_text())]


def about(page: str, *words: str, language: str = "sh") -> list[Block]:
    """Return the blocks of a page in a language that have all these words; there has to be one."""
    spoken = [each for each in blocks(page) if each.language == language]
    found = [each for each in spoken if all(word in each.text for word in words)]
    assert found, f"{page} has nothing in {language} about {words}"
    return found


def runs(page: str, *words: str, language: str = "sh") -> Callable[[Test], Test]:
    """Have a test claim the blocks that `about` returns. It gets them one after the other, as `script`."""
    found = about(page, *words, language=language)

    def claimed(test: Test) -> Test:
        test.blocks = found  # type: ignore[attr-defined]
        return pytest.mark.parametrize("script", [_typed(found)], ids=[Path(page).stem])(test)

    return claimed


@cache
def claimed() -> frozenset[Block]:
    """Return the blocks that tests have claimed."""
    tests = [import_module(f"{__package__}.{each.stem}") for each in HERE.glob("test_*.py")]
    return frozenset(block for module in tests for test in vars(module).values() for block in _blocks_of(test))


def _blocks_of(test: object) -> list[Block]:
    return getattr(test, "blocks", []) if callable(test) else []


def unclaimed(page: str) -> str:
    """Return what a page lets a reader type and no test has claimed."""
    return _typed([each for each in blocks(page) if each.language == "sh" and each not in claimed()])


def _typed(found: list[Block]) -> str:
    lines = [line for block in found for line in block.lines]
    return "\n".join(line for line in lines if not line.startswith(tuple(UNTIL_STOPPED)))


async def typed(script: str, directory: Path, **settings: str) -> Finished:
    """Type a script in a directory; every line of it has to work."""
    finished = await run("bash", "-euxo", "pipefail", "-c", script, directory=directory, within=240, **settings)
    assert finished.code == 0, f"ended with {finished.code}: {finished.error[-1000:]}"
    return finished
