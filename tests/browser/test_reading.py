"""The description of the API at /docs, read and tried out in a browser."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from bootstrap.emulator import Emulator
from service.api.openapi import document
from tests.api.client import ApiClient
from tests.browser.conftest import Clock, aws_service, local_service
from tests.issuer import running_issuer
from tests.pictures import picture

FILES = ["/docs", "/docs/start.js", "/docs/swagger-ui-bundle.min.js", "/docs/swagger-ui.min.css"]


@dataclass
class Reader:
    """The page in a browser of its own: the origins it has asked, and what Chromium complained of."""

    page: Page
    api: ApiClient
    origins: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    async def open(self) -> None:
        """Open the page, and wait until it shows operations. Take notes of all that it does."""
        self.page.on("request", lambda request: self._note(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self._hear(said.type, said.text))
        await self.page.goto(f"{self.api.base_url}/docs")
        await expect(self.page.locator(".opblock").first).to_be_visible()

    def _note(self, url: str) -> None:
        if not url.startswith(("blob:", "data:")):  # these are in the page itself
            self.origins.add("://".join(urlsplit(url)[:2]))

    def _hear(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def operation(self, name: str) -> Locator:
        """Return the block of an operation."""
        return self.page.locator(f"[id$='-{name}'].opblock")

    async def execute(self, name: str) -> Locator:
        """Try an operation out as it stands, and return what the page shows of the answer."""
        block = self.operation(name)
        await block.get_by_role("button", name="Execute", exact=True).click()
        answer = block.locator(".live-responses-table .response")
        await expect(answer).to_be_visible()
        return answer

    async def begin(self, name: str) -> Locator:
        """Open an operation to be tried out."""
        block = self.operation(name)
        await block.locator(".opblock-summary-control").click()
        await block.get_by_role("button", name="Try it out").click()
        return block


@asynccontextmanager
async def reading(chromium: Browser, api: ApiClient) -> AsyncIterator[Reader]:
    """Open the page of a service. It asks no other origin, and breaks no policy."""
    context = await chromium.new_context()
    reader = Reader(await context.new_page(), api)
    await reader.open()
    yield reader
    await context.close()
    assert reader.complaints == []
    assert reader.origins == {api.base_url}


@pytest.fixture
async def reader(chromium: Browser, depot: ApiClient) -> AsyncIterator[Reader]:
    """Return the page of a service with nothing in it, open."""
    async with reading(chromium, depot) as opened:
        yield opened


async def test_every_operation_is_there_to_read(reader: Reader) -> None:
    described = [each for path in document()["paths"].values() for each in path.values()]
    await expect(reader.page.locator(".opblock")).to_have_count(len(described))
    for each in described:
        await expect(reader.operation(each["operationId"])).to_contain_text(each["summary"])
    await expect(reader.page.get_by_role("button", name="Authorize").first).to_be_visible()


async def test_a_list_is_asked_for_as_it_stands(reader: Reader) -> None:
    image = await reader.api.uploaded(picture())
    await reader.begin("list_images")
    answer = await reader.execute("list_images")
    await expect(answer.locator(".response-col_status")).to_contain_text("200")
    await expect(answer).to_contain_text(image["image_id"])


async def test_a_picture_is_uploaded_as_the_example_shows(reader: Reader) -> None:
    await reader.begin("upload_image")
    answer = await reader.execute("upload_image")
    await expect(answer.locator(".response-col_status")).to_contain_text("201")
    (listed,) = (await reader.api.get("/images")).json["images"]
    await expect(answer).to_contain_text(listed["image_id"])


async def test_a_picture_is_shown(reader: Reader) -> None:
    image = await reader.api.uploaded(picture())
    block = await reader.begin("get_content")
    await block.get_by_placeholder("image_id").fill(image["image_id"])
    answer = await reader.execute("get_content")
    shown = answer.locator("img")
    await expect(shown).to_be_visible()
    assert await shown.evaluate("each => each.decode().then(() => each.naturalWidth)") == 64


async def test_with_tokens_it_signs_in(chromium: Browser, clock: Clock, tmp_path: Path) -> None:
    async with running_issuer() as issuer, local_service(tmp_path, clock, **issuer.settings) as api:
        token = issuer.token("ada")
        image = await replace(api, headers={"Authorization": f"Bearer {token}"}).uploaded(picture())
        async with reading(chromium, api) as reader:
            await reader.begin("list_images")
            # Chromium tells of the 401 as an error.
            refused = await reader.execute("list_images")
            await expect(refused.locator(".response-col_status")).to_contain_text("401")
            assert [each for each in reader.complaints if "401 (Unauthorized)" not in each] == []
            reader.complaints.clear()
            await reader.page.get_by_role("button", name="Authorize").first.click()
            dialog = reader.page.locator(".dialog-ux")
            await dialog.get_by_role("textbox").fill(token)
            await dialog.get_by_role("button", name="Apply credentials").click()
            await dialog.get_by_role("button", name="Close").last.click()
            answer = await reader.execute("list_images")
            await expect(answer).to_contain_text(image["image_id"])


# ---------------------------------------------------------------- its files


async def fetched(api: ApiClient, path: str, **headers: str) -> Any:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.fetch(api.base_url + path, headers=sent)


@pytest.mark.parametrize("path", FILES)
async def test_each_file_is_sent_once_and_then_only_when_it_is_another(depot: ApiClient, path: str) -> None:
    for coding in ("identity", "gzip"):
        first = await fetched(depot, path, accept_encoding=coding)
        assert (first.status, first.headers["Cache-Control"]) == (200, "no-cache")
        again = await fetched(depot, path, accept_encoding=coding, if_none_match=first.headers["ETag"])
        assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("path", FILES)
async def test_the_policy_is_that_of_every_page(depot: ApiClient, path: str) -> None:
    gallery, answer = await fetched(depot, "/"), await fetched(depot, path)
    for name in ("Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy"):
        assert answer.headers[name] == gallery.headers[name]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]


async def test_the_policy_lets_it_follow_links_into_another_storage(emulator: Emulator) -> None:
    async with aws_service(emulator) as depot:
        policy = (await fetched(depot, "/docs")).headers["Content-Security-Policy"]
    assert f"connect-src 'self' {emulator.endpoint_url};" in policy


@pytest.mark.parametrize("path", ["/docs/", "/docs/__init__.py", "/docs/index.html", "/docs/html.py"])
async def test_nothing_else_is_served(depot: ApiClient, path: str) -> None:
    assert (await depot.get(path)).outcome == (404, "not_found")


def test_swagger_ui_is_one_that_reads_openapi_31() -> None:
    import aws_lambda_powertools

    folder = Path(aws_lambda_powertools.__file__).parent / "event_handler/openapi/swagger_ui"
    bundle = (folder / "swagger-ui-bundle.min.js").read_text()
    assert 'PACKAGE_VERSION:"5.' in bundle
