"""The way of somebody new, as the README says it: clone, type one command, open the page, upload, see it."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, expect

from tests.browser.gallery import Gallery, photo_file
from tests.docs.installing import index
from tests.docs.pages import ROOT, about
from tests.landscapes import landscape
from tests.process.servers import Server, run, serving

FIRST, *_ = about("README.md", "pip install")
PATIENCE = 900  # seconds for an install over a slow network, on a machine that is busy


@asynccontextmanager
async def started(directory: Path) -> AsyncIterator[Server]:
    """Clone into a folder, and type the README's first command there; any port does."""
    clone = directory / "pixdepot"
    cloned = await run("git", "clone", "--quiet", str(ROOT), str(clone), directory=directory)
    assert cloned.code == 0, cloned.error
    install, serve = FIRST.text.strip().rsplit(" && ", 1)
    installed = await run("bash", "-c", install, directory=clone, within=PATIENCE, **index())
    assert installed.code == 0, installed.error[-1000:]
    async with serving(clone, *serve.split()) as server:
        yield server


async def test_a_newcomer_sees_a_picture(
    tmp_path: Path, chromium: Browser, record_property: Callable[[str, object], None]
) -> None:
    begun = time.monotonic()
    async with started(tmp_path) as server:
        running = time.monotonic()
        context = await chromium.new_context()
        gallery = Gallery(await context.new_page(), server.api, "")
        await gallery.visit()
        await expect(gallery.page.get_by_text("Drop files anywhere on this page")).to_be_visible()
        await gallery.drop(photo_file("At the lake.jpg", landscape((1200, 800), seed=7)))
        await gallery.answer_who("ada")
        await expect(gallery.tile("At the lake")).to_be_visible()
        await gallery.until_loaded(gallery.tiles.locator("img"))
        seen = time.monotonic()
        await context.close()
        assert gallery.failures == []
    installing = running - begun
    record_property(
        "measured", f"A newcomer sees a picture after {seen - begun:.0f} s, {installing:.0f} to install"
    )
