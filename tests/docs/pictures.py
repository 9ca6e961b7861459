"""`python -m tests.docs.pictures` takes the pictures of the page that README and docs show."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.async_api import Page, Route, async_playwright, expect

from tests.browser.conftest import CHROMIUM, Clock, local_service
from tests.browser.gallery import TO_STORAGE, Gallery, photo_file
from tests.docs.generated import DOCS
from tests.landscapes import landscape

# By title: a size, and what makes it another place.
LANDSCAPES = {
    "Fjord": ((1500, 1000), 1),
    "First light": ((1600, 1000), 3),
    "Low clouds": ((1300, 1300), 2),
    "The valley": ((1000, 1400), 0),
    "Late summer": ((1500, 1000), 5),
    "Fog": ((1200, 1200), 8),
    "Evening at the lake": ((1600, 1067), 7),
    "Before sunrise": ((1500, 1000), 9),
    "Moonrise": ((1500, 1100), 10),
    "The pass": ((1000, 1400), 6),
}
ARRIVING = {"harvest.jpg": 11, "ridge.jpg": 18, "sunrise.jpg": 15}


async def main() -> None:
    """Take them, and keep them in docs/images."""
    async with _gallery() as gallery:
        for title, (size, seed) in LANDSCAPES.items():
            about = {"tags": ["landscape", title.split()[-1].lower()], "description": "From the northern shore."}
            await gallery.api.uploaded(landscape(size, seed=seed), title=title, user_id="ada", **about)
        await gallery.visit(user="ada")
        await gallery.look_at("Evening at the lake")
        await gallery.until_loaded(gallery.viewer.locator("#frame img"))
        await _keep(gallery.page, "picture")

        await gallery.visit()
        await gallery.page.route(TO_STORAGE, _all_but_the_last())
        await gallery.choose(*(photo_file(name, landscape((900, 600), seed=n)) for name, n in ARRIVING.items()))
        await expect(gallery.page.get_by_text("2 of 3 uploaded")).to_be_visible()
        await gallery.until_loaded(gallery.tiles.locator("img"))
        await gallery.evaluate("scrollTo(0, 0)")
        await _keep(gallery.page, "gallery")


@asynccontextmanager
async def _gallery() -> AsyncIterator[Gallery]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM)
        with TemporaryDirectory() as place:
            async with local_service(Path(place), Clock()) as api:
                options = {"reduced_motion": "reduce", "locale": "en-GB", "color_scheme": "light"}
                context = await browser.new_context(viewport={"width": 1280, "height": 800}, **options)
                yield Gallery(await context.new_page(), api, "")
        await browser.close()


def _all_but_the_last() -> Callable[[Route], Awaitable[None]]:
    """Return what lets uploads through to storage, and holds the last."""
    sent = 0

    async def pass_on(route: Route) -> None:
        nonlocal sent
        sent += 1
        if sent < len(ARRIVING):
            await route.continue_()

    return pass_on


async def _keep(page: Page, name: str) -> None:
    shot = Image.open(io.BytesIO(await page.screenshot())).convert("RGB")
    shot.save(DOCS / "images" / f"{name}.webp", quality=82, method=6)


if __name__ == "__main__":
    asyncio.run(main())
