"""A browser, services for its pages to be on, and a clock that a test can move."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, async_playwright, expect

from bootstrap.emulator import Emulator
from service.runtime import open_service
from service.server import answering, listen
from service.settings import Settings
from tests.api.client import ApiClient, over_http
from tests.aws.stand_in import new_account, opened_in
from tests.browser.gallery import Gallery

SCREENSHOTS = Path(__file__).parents[2] / "screenshots"
CHROMIUM = "/usr/bin/chromium"  # Debian's; .ci/install-servers installs it
expect.set_options(timeout=30_000)  # ms: what holds is seen at once, also on a machine that is busy for a while


class Clock:
    """The time, and what a test adds to it."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        """Return the time as the service sees it."""
        now = datetime.now(UTC) + self._ahead
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def advance(self, **by: float) -> None:
        """Let time pass."""
        self._ahead += timedelta(**by)


@asynccontextmanager
async def local_service(directory: Path, clock: Clock, **settings: Any) -> AsyncIterator[ApiClient]:
    """Run a server on the local backend, on a free port."""
    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    async with (
        open_service(Settings(data_dir=directory, **settings), clock) as runtime,
        answering(runtime.api, listening),
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):
        yield ApiClient(f"http://127.0.0.1:{port}", over_http(session))


@asynccontextmanager
async def aws_service(emulator: Emulator, **settings: Any) -> AsyncIterator[ApiClient]:
    """Run a server on the aws backend, on a free port; the bucket knows the page's origin."""
    listening = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with (
        new_account(emulator, public_url=url, **settings) as account,
        opened_in(account.environment(), open_service(account.settings)) as runtime,
        answering(runtime.api, listening),
        aiohttp.ClientSession(auto_decompress=False) as session,
    ):
        yield ApiClient(url, over_http(session))


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """Return a browser; every test has a profile of its own in it."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        await browser.close()


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the service."""
    return Clock()


@pytest.fixture
async def depot(tmp_path: Path, clock: Clock) -> AsyncIterator[ApiClient]:
    """Return a running service with nothing in it."""
    async with local_service(tmp_path, clock) as client:
        yield client


Open = Callable[..., AbstractAsyncContextManager[Gallery]]


@pytest.fixture
def opened(chromium: Browser) -> Open:
    """Return a way to open the page of a service in a browser of one's own, with Playwright's context options."""

    @asynccontextmanager
    async def open_page(api: ApiClient, storage_origin: str = "", **options: Any) -> AsyncIterator[Gallery]:
        usual = {"reduced_motion": "reduce", "viewport": {"width": 1280, "height": 800}, "locale": "en-GB"}
        context = await chromium.new_context(**{**usual, **options})
        gallery = Gallery(await context.new_page(), api, storage_origin)
        try:
            yield gallery
        finally:
            await context.close()
        assert gallery.failures == []
        assert gallery.origins <= {api.base_url, storage_origin}

    return open_page


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Return the folder for what is worth a look afterwards; where CI is set it stays, in screenshots/."""
    directory = SCREENSHOTS if "CI" in os.environ else tmp_path
    directory.mkdir(exist_ok=True)
    return directory


@pytest.fixture
async def gallery(depot: ApiClient, opened: Open) -> AsyncIterator[Gallery]:
    """Return the page of a service that has nothing in it; not yet visited."""
    async with opened(depot) as page:
        yield page
