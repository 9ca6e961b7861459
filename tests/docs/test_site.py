"""The documentation as a site: every link leads somewhere, and it asks nobody else for anything."""

import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.docs.pages import PAGES, ROOT
from tests.docs.sites import serving_files
from tests.process.servers import run

IN_A_LIST = re.compile(r"docs/decisions/\d")  # pages that one page of the menu lists


@dataclass(frozen=True)
class Site:
    """The built site, and where it is served."""

    directory: Path
    url: str


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Build the site, and serve it as it is."""
    directory = tmp_path_factory.mktemp("site")
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(directory))
    built = await run(*command, directory=ROOT, NO_MKDOCS_2_WARNING="1")
    assert built.code == 0, built.error
    async with serving_files(directory) as url:
        yield Site(directory, url)


@pytest.fixture
async def reader(site: Site, chromium: Browser) -> AsyncIterator[Page]:
    """Return a browser's page that may ask the site and nobody else, where everything must be found."""
    context = await chromium.new_context(viewport={"width": 1280, "height": 800})
    page, wrong = await context.new_page(), list[str]()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: said.type in {"error", "warning"} and wrong.append(said.text))
    page.on("request", lambda asked: asked.url.startswith((site.url, "blob:", "data:")) or wrong.append(asked.url))
    yield page
    await context.close()
    assert wrong == []


def test_every_page_of_the_repository_is_on_the_site(site: Site) -> None:
    there = {each.relative_to(site.directory).with_suffix("").name for each in site.directory.rglob("*.html")}
    assert {Path(each).stem for each in PAGES} - {"README"} <= there


async def test_every_page_shows_all_it_has_and_asks_nobody_else(site: Site, reader: Page) -> None:
    pages = sorted(each.relative_to(site.directory) for each in site.directory.rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for each in pages:
        await reader.goto(f"{site.url}/{each}", wait_until="load")
        pictures = await reader.evaluate("[...document.images].map(each => each.naturalWidth)")
        assert all(pictures), each


async def test_a_reader_finds_a_page_by_what_it_says(site: Site, reader: Page) -> None:
    await reader.goto(f"{site.url}/index.html")
    await expect(reader.locator(".md-search-result__meta")).to_have_text("Type to start searching")
    await reader.get_by_role("textbox", name="Search").press_sequentially("tombstone")  # it listens to keys
    found = reader.get_by_role("link").filter(has_text="tombstone").first
    await found.click()
    await expect(reader).to_have_url(re.compile(r"\.html"))


async def test_the_way_through_the_site_is_the_one_of_the_menu(site: Site, reader: Page) -> None:
    await reader.goto(f"{site.url}/index.html")
    seen = {reader.url}
    while await (onward := reader.get_by_role("link", name="Next:")).count():
        await onward.click()
        await reader.wait_for_load_state()
        assert reader.url not in seen
        seen.add(reader.url)
    assert len(seen) == len([each for each in PAGES if not IN_A_LIST.match(each)])
