"""A backend that is gone, silent or busy: what needs it is refused in time, all else works, and it heals alone."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bootstrap.emulator import running_emulator
from tests.api.client import Answer, ApiClient
from tests.api.conftest import served
from tests.aws.stand_in import Account, new_account, opened_in
from tests.pictures import picture
from tests.servers.proxy import Proxy, proxied

DATA = picture()
LARGE = DATA.ljust(8 * 2**20, b"\0")  # more than the sockets between us and a backend that does not read will hold
CROWD = 150  # requests at once: more than there are connections to a backend
IN_TIME, AT_ONCE, HEALED = 15, 5, 5  # seconds; the first is promised, the second is for a crowd on a busy machine


@dataclass(frozen=True)
class Site:
    """A service whose backends are behind a proxy each, with images and pending uploads (one with its bytes)."""

    api: ApiClient
    proxies: dict[str, Proxy]
    images: list[str]
    uploads: list[str]


@asynccontextmanager
async def running_site(account: Account) -> AsyncIterator[Site]:
    upstream = account.emulator.endpoint_url
    async with proxied(upstream) as database, proxied(upstream) as storage:
        environment = account.environment(dynamodb=database.url, s3=storage.url)
        async with opened_in(environment, served(account.settings)) as api:
            images = [(await api.uploaded(DATA))["image_id"] for _ in range(3)]
            begun = [await api.begun(DATA) for _ in range(4)]
            await api.transfer(begun[0]["upload"], DATA)
            uploads = [each["image_id"] for each in begun]
            yield Site(api, {"database": database, "storage": storage}, images, uploads)


FORM = {"user_id": "ada", "title": "A photo"}
BOTH = {"database", "storage"}

# Every operation: how it is asked for, what it answers when all is well, and what it cannot do without. (Where the
# storage is down, the objects of what is deleted are left to sweep.)
OPERATIONS: dict[str, tuple[Callable[[Site], Awaitable[Answer]], int, set[str]]] = {
    "upload": (lambda site: site.api.upload(DATA), 201, BOTH),
    "upload much": (lambda site: site.api.upload(LARGE), 201, BOTH),
    "upload a form": (lambda site: site.api.upload_form(FORM, DATA), 201, BOTH),
    "view": (lambda site: site.api.get(f"/images/{site.images[0]}"), 200, BOTH),
    "download": (lambda site: site.api.download(site.images[0]), 200, BOTH),
    "complete": (lambda site: site.api.complete(site.uploads[0]), 200, BOTH),
    "metadata": (lambda site: site.api.get(f"/images/{site.images[0]}?metadata_only=1"), 200, {"database"}),
    "list": (lambda site: site.api.get("/images"), 200, {"database"}),
    "search": (lambda site: site.api.get("/images?title=photo&user_id=ada"), 200, {"database"}),
    "edit": (lambda site: site.api.patch(f"/images/{site.images[1]}", FORM), 200, {"database"}),
    "delete": (lambda site: site.api.delete(f"/images/{site.images[2]}?user_id=ada"), 200, {"database"}),
    "begin": (lambda site: site.api.begin(DATA), 201, {"database"}),
    "state": (lambda site: site.api.get(f"/uploads/{site.uploads[1]}"), 200, {"database"}),
    "sign": (lambda site: site.api.post(f"/uploads/{site.uploads[2]}/sign"), 200, {"database"}),
    "cancel": (lambda site: site.api.delete(f"/uploads/{site.uploads[3]}"), 200, {"database"}),
    "health": (lambda site: site.api.get("/health"), 200, set()),
    "description": (lambda site: site.api.get("/openapi.json"), 200, set()),
}


async def hang(proxy: Proxy) -> None:
    proxy.hang()


async def refuse(proxy: Proxy) -> None:
    await proxy.refuse()


def throttle(code: str) -> Callable[[Proxy], Awaitable[None]]:
    async def throttle(proxy: Proxy) -> None:
        proxy.throttling = code

    return throttle


@pytest.mark.parametrize(
    ("broken", "break_it"),
    [
        pytest.param("database", hang, id="database hangs"),
        pytest.param("storage", hang, id="storage hangs"),
        pytest.param("database", refuse, id="database refuses"),
        pytest.param("storage", refuse, id="storage refuses"),
        pytest.param("database", throttle("ThrottlingException"), id="database throttles"),
        pytest.param("database", throttle("ProvisionedThroughputExceededException"), id="database exceeded"),
        pytest.param("storage", throttle("SlowDown"), id="storage throttles"),
    ],
)
async def test_while_one_is_broken_what_needs_it_is_unavailable_all_else_works_and_it_heals(
    account: Account, broken: str, break_it: Callable[[Proxy], Awaitable[None]]
) -> None:
    async with running_site(account) as site:
        proxy = site.proxies[broken]
        await break_it(proxy)
        asked = [ask(site) for ask, _, _ in OPERATIONS.values()]
        crowd = [site.api.download(site.images[0]) for _ in range(CROWD)]
        ready, *answers = await asyncio.gather(*map(timed, [site.api.get("/health/ready"), *asked, *crowd]))

        assert_not_ready(ready, broken)
        for answer, (name, (_, status, needs)) in zip(answers, OPERATIONS.items(), strict=False):
            if broken in needs:
                assert_unavailable(answer, name)
            else:
                assert answer[0].status == status, (name, answer[0].body)
                assert answer[1] < (IN_TIME if needs else AT_ONCE), name
        for answer in answers[len(OPERATIONS) :]:
            assert_unavailable(answer, "one of many")

        proxy.throttling = ""
        await proxy.resume()
        await assert_heals(site.api)


Timed = tuple[Answer, float]


async def timed(asked: Awaitable[Answer]) -> Timed:
    """Return the answer, and the seconds that it took."""
    clock = asyncio.get_running_loop().time
    began = clock()
    return await asked, clock() - began


def assert_unavailable(timed: Timed, name: str) -> None:
    answer, seconds = timed
    assert answer.outcome == (503, "unavailable"), name
    assert int(answer.headers["Retry-After"]) > 0
    assert seconds < IN_TIME, name


def assert_not_ready(timed: Timed, *broken: str) -> None:
    assert_unavailable(timed, "ready")
    states = {name: "unavailable" if name in broken else "ok" for name in ("database", "storage")}
    assert timed[0].json["dependencies"] == states


async def assert_heals(api: ApiClient) -> None:
    """Fail unless everything works within some seconds."""
    async with asyncio.timeout(HEALED):
        while not await works(api):
            pass


async def works(api: ApiClient) -> bool:
    """Tell whether a picture makes its whole way, uploaded in both ways."""
    begun, uploaded = await asyncio.gather(api.begin(DATA), api.upload(DATA))
    if (begun.status, uploaded.status) != (201, 201):
        return False
    sent, image_id = begun.json["image_id"], uploaded.json["image_id"]
    answers = [
        await api.transfer(begun.json["upload"], DATA),
        await api.complete(sent),
        await api.download(sent),
        await api.get("/images"),
        await api.delete(f"/images/{image_id}", {"user_id": "ada"}),
        await api.get("/health/ready"),
    ]
    return {each.status for each in answers} == {200}


async def test_backends_that_are_slow_at_every_call_keep_nobody_waiting_longer(account: Account) -> None:
    async with running_site(account) as site:
        for proxy in site.proxies.values():
            proxy.delay = 4
        answers = await asyncio.gather(*(timed(ask(site)) for ask, _, _ in OPERATIONS.values()))
        for answer, (name, (_, status, needs)) in zip(answers, OPERATIONS.items(), strict=True):
            if answer[0].status != status:
                assert_unavailable(answer, name)
            assert answer[1] < (IN_TIME if needs else AT_ONCE), name
        assert {answer.status for answer, _ in answers} == {200, 201, 503}  # some need more calls than others
        for proxy in site.proxies.values():
            proxy.delay = 0
        await assert_heals(site.api)


async def test_a_stopped_process_is_waited_for_no_longer_than_a_silent_network(tmp_path: Path) -> None:
    async with (
        running_emulator(tmp_path, port=0) as emulator,
        new_account(emulator) as account,
        opened_in(account.environment(), served(account.settings)) as api,
    ):
        kept = await api.uploaded(DATA)
        asked = [api.upload(DATA), api.upload(LARGE), api.begin(DATA), api.download(kept["image_id"])]
        asked += [api.get("/images"), api.get(f"/uploads/{kept['image_id']}")]
        os.kill(emulator.pid, signal.SIGSTOP)
        try:
            both = [api.get("/health"), api.get("/health/ready")]
            health, ready, *answers = await asyncio.gather(*map(timed, [*both, *asked]))
        finally:
            os.kill(emulator.pid, signal.SIGCONT)
        assert (health[0].status, health[1] < AT_ONCE) == (200, True)
        assert_not_ready(ready, "database", "storage")
        for answer in answers:
            assert_unavailable(answer, "while stopped")

        await assert_heals(api)
        assert (await api.download(kept["image_id"])).body == DATA
        # What was refused stays refused, though the process found requests in its sockets when it went on: there
        # is the image from before, and one of those that showed that all works.
        shown = {each["image_id"] for each in await api.walk()}
        assert len(shown) == 2
        assert kept["image_id"] in shown


async def test_a_server_starts_before_its_backends(account: Account) -> None:
    async with proxied(account.emulator.endpoint_url) as proxy:
        await proxy.refuse()
        async with opened_in(account.environment(proxy.url), served(account.settings)) as api:
            health, seconds = await timed(api.get("/health"))
            assert (health.status, seconds < AT_ONCE) == (200, True)
            assert_not_ready(await timed(api.get("/health/ready")), "database", "storage")
            assert_unavailable(await timed(api.upload(DATA)), "upload")
            await proxy.resume()
            await assert_heals(api)
