"""The page for everybody: by keyboard, by ear, in the dark, on a phone, over a thin line."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Route, expect

from tests.api.client import ApiClient
from tests.browser.axe import complaints
from tests.browser.conftest import Open
from tests.browser.gallery import Gallery, photo_file
from tests.landscapes import landscape
from tests.pictures import picture

PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"color_scheme": "light", **PHONE},
    "phone-dark": {"color_scheme": "dark", **PHONE},
}
FIRST_LOAD = 60_000  # bytes over the line

PAINTINGS = {
    "Evening at the lake": (1600, 1067),
    "A path in the woods": (1000, 1500),
    "Dunes": (1500, 1000),
    "First snow": (1200, 1200),
    "Harbour": (1800, 900),
    "Tower": (900, 1400),
    "Meadow": (1600, 1100),
    "Cliffs": (1400, 1000),
}


@pytest.fixture
async def filled(depot: ApiClient) -> ApiClient:
    """Return a service with pictures that look like some."""
    for seed, (title, size) in enumerate(PAINTINGS.items()):
        tags = ["landscape", title.split()[-1].lower()]
        await depot.uploaded(landscape(size, seed=seed), title=title, user_id="ada", tags=tags)
    return depot


@pytest.fixture(params=LOOKS)
async def look(
    request: pytest.FixtureRequest, filled: ApiClient, opened: Open
) -> AsyncIterator[tuple[str, Gallery]]:
    """Return each way to look at the page, by its name."""
    async with opened(filled, **LOOKS[request.param]) as gallery:
        await gallery.visit(user="ada")
        await gallery.until_loaded(gallery.tiles.locator("img"))
        await gallery.evaluate("scrollTo(0, 0)")
        yield request.param, gallery


async def test_nothing_is_in_the_way_of_anybody(look: tuple[str, Gallery], kept: Path) -> None:
    name, gallery = look
    await gallery.page.screenshot(path=kept / f"gallery-{name}.png")
    assert await complaints(gallery.page) == []
    await gallery.page.locator("#toggle-filters").click()
    assert await complaints(gallery.page) == []
    await gallery.page.locator("#who").click()
    assert await complaints(gallery.page) == []
    await gallery.page.keyboard.press("Escape")
    await gallery.look_at("Dunes")
    await gallery.until_loaded(gallery.viewer.locator("#frame img"))
    await gallery.page.screenshot(path=kept / f"viewer-{name}.png")
    assert await complaints(gallery.page) == []
    await gallery.viewer.get_by_role("button", name="Edit").click()
    assert await complaints(gallery.page) == []


async def test_nothing_is_in_the_way_while_uploads_run_and_fail(look: tuple[str, Gallery], kept: Path) -> None:
    name, gallery = look

    async def hold(route: Route) -> None:
        pass

    await gallery.page.route("**/storage/uploads/**", hold)
    sent, refused = photo_file("under way.jpg", picture(noise=True)), photo_file("notes.txt", b"x", "text/plain")
    await gallery.choose(sent, refused)
    await expect(gallery.page.get_by_text("0 of 2 uploaded, 1 failed")).to_be_visible()
    await gallery.page.screenshot(path=kept / f"uploading-{name}.png")
    assert await complaints(gallery.page) == []
    await gallery.page.get_by_role("button", name="Cancel under way.jpg").click()


@pytest.mark.parametrize("name", ["phone", "light"])
async def test_nothing_is_wider_than_the_window(filled: ApiClient, opened: Open, name: str) -> None:
    async with opened(filled, **LOOKS[name]) as gallery:
        await gallery.visit(user="ada")
        await gallery.page.locator("#toggle-filters").click()
        width = await gallery.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1]


async def test_the_keyboard_alone_will_do(filled: ApiClient, opened: Open) -> None:
    async with opened(filled) as gallery:
        await gallery.visit(user="ada")
        keys = gallery.page.keyboard
        await keys.press("Tab")
        await expect(gallery.page.get_by_role("link", name="Skip to the images")).to_be_focused()
        await keys.press("Enter")
        await keys.press("Tab")
        newest = list(PAINTINGS)[-1]
        await expect(gallery.tile(newest)).to_be_focused()
        await keys.press("Enter")
        await expect(gallery.viewer.get_by_role("heading", name=newest)).to_be_visible()
        for _ in range(12):  # focus stays inside
            await keys.press("Tab")
            assert await gallery.evaluate(
                "document.activeElement === document.body || Boolean(document.activeElement.closest('#viewer'))"
            )
        await gallery.viewer.get_by_role("button", name="Delete").press("Enter")
        await expect(gallery.tiles).to_have_count(len(PAINTINGS) - 1)
        await gallery.toast.get_by_role("button", name="Undo").press("Enter")
        await expect(gallery.tile(newest)).to_be_focused()


async def test_the_first_load_is_light_and_comes_from_one_place(depot: ApiClient, opened: Open) -> None:
    async with opened(depot) as gallery:
        await gallery.visit()
        sizes = [await each.sizes() for each in gallery.requests]
        transferred = sum(each["responseBodySize"] + each["responseHeadersSize"] for each in sizes)
        assert 10_000 < transferred < FIRST_LOAD
        assert gallery.origins == {depot.base_url}
