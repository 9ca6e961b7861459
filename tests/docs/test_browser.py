"""What docs/browser.md and the README give to browsers, in one, on pages of another origin than the service's."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.api.client import ApiClient
from tests.browser.conftest import Clock, aws_service, local_service
from tests.browser.gallery import photo_file
from tests.docs.pages import runs
from tests.docs.sites import serving_files
from tests.pictures import picture, sha256_of

PAGE = "docs/browser.md"
PHOTO = picture(size=(640, 480), noise=True)


@dataclass(frozen=True)
class Elsewhere:
    """A page of another site, open in a browser, and a service that lets it in."""

    page: Page
    api: ApiClient
    folder: Path
    url: str

    async def show(self, document: str) -> None:
        """Put a document on the site, with the service where it says localhost:8080, and open it."""
        (self.folder / "page.html").write_text(document.replace("http://localhost:8080", self.api.base_url))
        await self.page.goto(f"{self.url}/page.html")


Service = Callable[..., AbstractAsyncContextManager[ApiClient]]


@pytest.fixture(params=["local", "aws"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Service:
    """Return a way to run a service on each backend, with settings."""
    if request.param == "local":
        return partial(local_service, tmp_path / "data", Clock())
    return partial(aws_service, request.getfixturevalue("emulator"))


@pytest.fixture
async def elsewhere(service: Service, tmp_path: Path, chromium: Browser) -> AsyncIterator[Elsewhere]:
    """Return a page of another site, which the service lets in."""
    folder = tmp_path / "site"
    folder.mkdir()
    context = await chromium.new_context()
    page, wrong = await context.new_page(), list[str]()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    async with serving_files(folder) as url, service(cors_origins=(url,)) as api:
        yield Elsewhere(page, api, folder, url)
        await context.close()
    assert wrong == []


@runs(PAGE, "async function upload(file, details)", language="js")
async def test_ten_lines_upload_a_picture(script: str, elsewhere: Elsewhere) -> None:
    assert len(script.splitlines()) <= 11
    await elsewhere.show(f"<!doctype html><input type=file><script>{script}</script>")
    await elsewhere.page.set_input_files("input", photo_file("lake.jpg", PHOTO))
    metadata = await elsewhere.page.evaluate(
        "upload(document.querySelector('input').files[0], {user_id: 'ada', title: 'At the lake'})"
    )
    (image,) = await elsewhere.api.walk()
    assert (image["title"], image["sha256"]) == ("At the lake", sha256_of(PHOTO))
    assert metadata["image_id"] == image["image_id"]


@runs(PAGE, "<!doctype html>", language="html")
async def test_a_whole_page_uploads_and_shows_a_picture(script: str, elsewhere: Elsewhere) -> None:
    page = elsewhere.page
    await elsewhere.show(script)
    await page.get_by_label("Image:").set_input_files(photo_file("lake.jpg", PHOTO))
    await expect(page.get_by_role("status")).to_have_text("Uploaded.")
    assert await page.locator("progress").evaluate("bar => bar.value") == 1
    shown = (
        "image => new Promise(done => image.complete ? done() : image.onload = done).then(() => image.naturalWidth)"
    )
    assert await page.locator("img").evaluate(shown) == 640

    await page.get_by_label("Image:").set_input_files(photo_file("notes.jpg", b"some notes"))
    await expect(page.get_by_role("status")).to_contain_text("not")
    assert len(await elsewhere.api.walk()) == 1


@runs(PAGE, "srcset", language="html")
async def test_a_picture_is_shown_in_the_size_that_fits(script: str, elsewhere: Elsewhere) -> None:
    image_id = (await elsewhere.api.uploaded(PHOTO))["image_id"]
    await elsewhere.show(f"<!doctype html>{script.replace('{id}', image_id)}")
    await expect(elsewhere.page.get_by_alt_text("At the lake")).to_have_js_property("complete", value=True)
    taken = await elsewhere.page.locator("img").evaluate("image => image.currentSrc")
    assert taken.endswith("variant=display")
