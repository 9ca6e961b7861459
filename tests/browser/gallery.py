"""The gallery in a real browser, in the words of those who use it."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from PIL import Image
from playwright.async_api import FilePayload, Locator, Page, Request, expect

from tests.api.client import ApiClient

TO_STORAGE = "**/storage/uploads/**"  # what requests to storage fit
_DROP = """async ([files]) => {
    const transfer = new DataTransfer();
    for (const { name, mimeType, data } of files) {
        const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
        transfer.items.add(new File([bytes], name, { type: mimeType }));
    }
    const target = document.querySelector("#grid");
    for (const kind of ["dragenter", "dragover", "drop"]) {
        target.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
    }
}"""


def photo_file(name: str, data: bytes, kind: str = "image/jpeg") -> FilePayload:
    """Return a file as a person would pick it."""
    return FilePayload(name=name, mimeType=kind, buffer=data)


@dataclass
class Gallery:
    """The page at a running service, and a client of the same service to look behind it.

    `origins` are those of all requests of the page, `storage_origin` the one that pictures come from and go to;
    `failures` is what went wrong in it.
    """

    page: Page
    api: ApiClient
    storage_origin: str
    requests: list[Request] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Take notes of everything that happens."""
        self.page.on("request", self._note)
        self.page.on("pageerror", lambda error: self.failures.append(str(error)))
        self.page.on("console", lambda said: self._hear(said.type, said.text))

    def _note(self, request: Request) -> None:
        self.requests.append(request)  # a list's own method would not do for Playwright

    def _hear(self, kind: str, text: str) -> None:
        # Chromium itself tells of every answer that is an error: the page has to cope, and says so to people.
        if kind in {"error", "warning"} and not text.startswith("Failed to load resource"):
            self.failures.append(text)

    @property
    def origins(self) -> set[str]:
        """Return where the page has sent requests to."""
        urls = (urlsplit(each.url) for each in self.requests if not each.url.startswith(("blob:", "data:")))
        return {f"{url.scheme}://{url.netloc}" for url in urls}

    async def visit(self, address: str = "/", *, user: str = "") -> None:
        """Open the page, as this user if one is given, and wait until it shows what it has."""
        if user:
            await self.page.add_init_script(f"localStorage.setItem('pixdepot.user', '{user}')")
        await self.page.goto(self.api.base_url + address)
        await self.settled()

    async def settled(self) -> None:
        """Return once the list is there."""
        await expect(self.page.locator("#grid")).not_to_have_attribute("aria-busy", "true")
        await expect(self.page.locator("#gallery-status")).not_to_have_text("Loading …")

    @property
    def tiles(self) -> Locator:
        """Return the pictures in the list."""
        return self.page.locator("#grid li:visible")

    def tile(self, title: str) -> Locator:
        """Return a picture in the list."""
        return self.page.locator("#grid").get_by_role("button", name=title, exact=True)

    async def titles(self) -> list[str]:
        """Return the titles of the pictures in the list, in their order."""
        return await self.tiles.locator("img").evaluate_all("all => all.map(each => each.alt)")

    @property
    def viewer(self) -> Locator:
        """Return the dialog with one picture."""
        return self.page.locator("#viewer")

    async def look_at(self, title: str) -> None:
        """Open a picture."""
        await self.tile(title).click()
        await expect(self.viewer.get_by_role("heading", name=title)).to_be_visible()

    async def choose(self, *files: FilePayload) -> None:
        """Pick files to upload."""
        await self.page.set_input_files("#files", files)

    async def drop(self, *files: FilePayload) -> None:
        """Drop files onto the page."""
        carried = [{**each, "data": base64.b64encode(each["buffer"]).decode()} for each in files]
        for each in carried:
            del each["buffer"]
        await self.page.evaluate(_DROP, [carried])

    async def answer_who(self, user: str, *, tags: str = "") -> None:
        """Answer the question that the first upload asks."""
        dialog = self.page.get_by_role("dialog", name="Upload settings")
        await dialog.get_by_label("Your user ID").fill(user)
        await dialog.get_by_label("Tags").fill(tags)
        await dialog.get_by_role("button", name="Continue").click()

    def row(self, filename: str) -> Locator:
        """Return the row of an upload."""
        return self.page.locator("#uploads li").filter(has_text=filename)

    @property
    def toast(self) -> Locator:
        """Return the messages that come and go."""
        return self.page.locator("#toasts")

    async def until_loaded(self, pictures: Locator) -> None:
        """Return once all these images are there, decoded."""
        await pictures.first.wait_for(state="attached")
        for each in await pictures.all():
            await each.scroll_into_view_if_needed()
            await expect(each).to_have_class("there")

    async def screenshot(self, what: Locator | None = None) -> Image.Image:
        """Return what is seen, of one element or of the window."""
        return Image.open(io.BytesIO(await (what or self.page).screenshot())).convert("RGB")

    async def evaluate(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page."""
        return await self.page.evaluate(script, *arguments)


def transfers(requests: Sequence[Request]) -> list[Request]:
    """Return the requests that carry pictures to storage."""
    return [each for each in requests if each.method == "PUT"]
