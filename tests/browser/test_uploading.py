"""Files go from the browser straight into storage, whatever happens on the way."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Request, Route, expect

from bootstrap.emulator import Emulator
from tests.api.client import ApiClient
from tests.browser.conftest import Clock, Open, aws_service, local_service
from tests.browser.gallery import TO_STORAGE, Gallery, photo_file, transfers
from tests.pictures import picture, sha256_of
from tests.servers.relay import relayed


def photo(name: str, seed: int = 0) -> bytes:
    """Return a picture that takes more than one packet."""
    return picture(size=(320, 240), seed=seed, noise=True)


async def test_a_file_is_asked_about_once_sent_and_shown(gallery: Gallery) -> None:
    data = photo("lake.jpg")
    await gallery.visit()
    await gallery.choose(photo_file("At the lake.jpg", data))
    await gallery.answer_who("ada", tags="sunset, nature")
    await expect(gallery.tile("At the lake")).to_be_visible()
    await expect(gallery.page.get_by_text("1 of 1 uploaded")).to_be_visible()
    (image,) = await gallery.api.walk()
    assert (image["user_id"], image["title"], image["tags"]) == ("ada", "At the lake", ["sunset", "nature"])
    assert (image["filename"], image["sha256"]) == ("At the lake.jpg", sha256_of(data))

    await gallery.page.reload()  # the next time it knows who uploads
    await gallery.choose(photo_file("again.jpg", photo("again.jpg", 1)))
    await expect(gallery.tile("again")).to_be_visible()
    assert {each["user_id"] for each in await gallery.api.walk()} == {"ada"}


async def test_the_bytes_go_to_storage_and_nowhere_else(gallery: Gallery) -> None:
    await gallery.visit(user="ada")
    await gallery.choose(photo_file("one.jpg", photo("one")))
    await expect(gallery.tile("one")).to_be_visible()
    (sent,) = transfers(gallery.requests)
    assert urlsplit(sent.url).path.startswith("/storage/uploads/")
    assert all(len(each.post_data_buffer or b"") < 1000 for each in gallery.requests if each != sent)


@pytest.fixture(params=["local", "aws"])
def needed(request: pytest.FixtureRequest) -> Emulator | None:
    """Return what a backend needs."""
    running: Emulator | None = request.getfixturevalue("emulator") if request.param == "aws" else None
    return running


@pytest.fixture
async def anywhere(needed: Emulator | None, tmp_path: Path, opened: Open) -> AsyncIterator[Gallery]:
    """Return the page of a service on each backend; a bucket is another origin, with CORS rules of its own."""
    if needed is None:
        async with local_service(tmp_path, Clock()) as depot, opened(depot) as page:
            yield page
    else:
        async with aws_service(needed) as depot, opened(depot, needed.endpoint_url) as page:
            yield page


async def test_twenty_photographs_dropped_at_once_are_all_there(anywhere: Gallery) -> None:
    sent = {f"photo-{n:02}.jpg": photo("", n) for n in range(20)}
    under_way, most = set[Request](), 0

    def begun(request: Request) -> None:
        nonlocal most
        if request.method == "PUT":
            under_way.add(request)
            most = max(most, len(under_way))

    def ended(request: Request) -> None:
        under_way.discard(request)

    anywhere.page.on("request", begun)
    for event in ("requestfinished", "requestfailed"):
        anywhere.page.on(event, ended)
    await anywhere.visit(user="ada")
    await anywhere.drop(*(photo_file(name, data) for name, data in sent.items()))
    await expect(anywhere.page.get_by_text("20 of 20 uploaded")).to_be_visible(timeout=60_000)
    await expect(anywhere.tiles).to_have_count(20)
    images = await anywhere.api.walk()
    assert {each["filename"]: each["sha256"] for each in images} == {
        name: sha256_of(data) for name, data in sent.items()
    }
    assert await anywhere.titles() == [each["title"] for each in images]
    assert 1 < most <= 4
    await anywhere.until_loaded(anywhere.tiles.locator("img"))


async def test_what_is_no_picture_is_refused_in_words(gallery: Gallery) -> None:
    await gallery.visit(user="ada")
    await gallery.choose(
        photo_file("notes.txt", b"some notes", "text/plain"),
        photo_file("broken.jpg", photo("")[:-2000]),
        photo_file("large.jpg", photo("").ljust(11 * 2**20, b"\0")),
    )
    await expect(gallery.row("notes.txt")).to_contain_text("not a JPEG, PNG, GIF, WebP or AVIF")
    await expect(gallery.row("broken.jpg")).to_contain_text("truncated")
    await expect(gallery.row("large.jpg")).to_contain_text("the limit is 10 MiB")
    await expect(gallery.page.get_by_text("0 of 3 uploaded, 3 failed")).to_be_visible()
    assert not [each for each in gallery.requests if each.method == "POST" and "notes" in (each.post_data or "")]


async def test_the_bytes_of_a_file_say_its_type_whatever_it_is_called(gallery: Gallery) -> None:
    """A browser knows a file's type from its extension only."""
    kinds = {"JPEG": "", "PNG": "image/jpeg", "GIF": "image/heic", "WEBP": "text/html", "AVIF": "image/png"}
    await gallery.visit(user="ada")
    await gallery.choose(*(photo_file(f"{kind} file", picture(kind), said) for kind, said in kinds.items()))
    await expect(gallery.page.get_by_text("5 of 5 uploaded")).to_be_visible()
    types = {each["filename"]: each["content_type"] for each in await gallery.api.walk()}
    assert types == {f"{kind} file": f"image/{kind.lower()}" for kind in kinds}
    asked = [each.post_data_json["content_type"] for each in gallery.requests if each.url.endswith("/uploads")]
    assert sorted(asked) == sorted(types.values())


async def test_an_upload_that_breaks_off_half_way_is_sent_again(depot: ApiClient, opened: Open) -> None:
    data = picture(size=(1200, 900), noise=True)
    async with (
        relayed(urlsplit(depot.base_url).port or 0) as (relay, url),
        opened(replace(depot, base_url=url)) as page,
    ):
        await page.visit(user="ada")
        relay.cut_after = len(data) // 2
        await page.choose(photo_file("far.jpg", data))
        await expect(page.row("far.jpg")).to_contain_text("The connection was lost.")
        assert (await depot.page())["count"] == 0
        relay.cut_after = None
        await page.row("far.jpg").get_by_role("button", name="Retry").click()
        await expect(page.tile("far")).to_be_visible()
    (image,) = await depot.walk()
    assert image["sha256"] == sha256_of(data)


async def test_an_upload_whose_answer_was_lost_is_not_sent_twice(gallery: Gallery) -> None:
    async def lose_answer(route: Route) -> None:
        await route.fetch()
        await route.abort("connectionreset")

    await gallery.visit(user="ada")
    await gallery.page.route(TO_STORAGE, lose_answer)
    await gallery.choose(photo_file("one.jpg", photo("")))
    await gallery.page.get_by_role("button", name="Retry one.jpg").wait_for()
    await gallery.page.unroute_all()
    await gallery.page.get_by_role("button", name="Retry one.jpg").click()
    await expect(gallery.tile("one")).to_be_visible()
    assert len(await gallery.api.walk()) == 1


async def test_a_link_that_has_expired_is_signed_anew(gallery: Gallery, clock: Clock) -> None:
    async def too_late(route: Route) -> None:
        clock.advance(minutes=16)
        await route.continue_()

    await gallery.visit(user="ada")
    await gallery.page.route(TO_STORAGE, too_late, times=1)
    await gallery.choose(photo_file("late.jpg", photo("")))
    await expect(gallery.tile("late")).to_be_visible()
    first, second = transfers(gallery.requests)
    assert urlsplit(first.url).path == urlsplit(second.url).path
    assert [(await each.response()).status for each in (first, second)] == [403, 200]  # type: ignore[union-attr]


async def test_a_link_that_is_refused_for_good_fails_the_upload_until_it_is_retried(gallery: Gallery) -> None:
    async def spoil(route: Route) -> None:
        await route.continue_(url=route.request.url.replace("signature=", "signature=0"))

    await gallery.visit(user="ada")
    await gallery.page.route(TO_STORAGE, spoil)
    await gallery.choose(photo_file("one.jpg", photo("")))
    await expect(gallery.row("one.jpg")).to_contain_text("The storage rejected the file (status 403).")
    assert len(transfers(gallery.requests)) == 2  # once by another link, and no oftener
    await gallery.page.unroute_all()
    await gallery.page.get_by_role("button", name="Retry one.jpg").click()
    await expect(gallery.tile("one")).to_be_visible()


async def test_an_upload_can_be_cancelled_on_its_way(gallery: Gallery) -> None:
    holding = asyncio.Event()

    async def hold(route: Route) -> None:
        holding.set()

    await gallery.visit(user="ada")
    await gallery.page.route(TO_STORAGE, hold)
    await gallery.choose(photo_file("wrong.jpg", photo("")))
    await holding.wait()
    (sent,) = transfers(gallery.requests)
    upload = f"/uploads/{urlsplit(sent.url).path.split('/')[3]}"
    assert (await gallery.api.get(upload)).json["status"] == "pending"
    async with gallery.page.expect_response(f"**{upload}"):
        await gallery.page.get_by_role("button", name="Cancel wrong.jpg").click()
    await expect(gallery.row("wrong.jpg")).to_have_count(0)
    assert (await gallery.api.get(upload)).outcome == (404, "not_found")


async def test_offline_is_told_and_uploads_go_on_when_it_is_over(gallery: Gallery) -> None:
    await gallery.visit(user="ada")
    await gallery.page.context.set_offline(True)
    await expect(gallery.page.get_by_text("You are offline.")).to_be_visible()
    await gallery.choose(photo_file("one.jpg", photo("")), photo_file("two.jpg", photo("", 1)))
    await expect(gallery.page.get_by_text("0 of 2 uploaded, 2 failed")).to_be_visible()
    await expect(gallery.row("one.jpg")).to_contain_text("cannot be reached")
    await gallery.page.context.set_offline(False)
    await expect(gallery.tiles).to_have_count(2)
    await expect(gallery.page.get_by_text("You are offline.")).to_have_count(0)


async def test_a_busy_service_is_asked_again_when_it_says_so(gallery: Gallery) -> None:
    async def busy(route: Route) -> None:
        problem = '{"detail": "Too many uploads at once.", "code": "unavailable"}'
        await route.fulfill(status=503, headers={"Retry-After": "0"}, body=problem)

    await gallery.visit(user="ada")
    await gallery.page.route("**/complete", busy, times=1)
    await gallery.choose(photo_file("one.jpg", photo("")))
    await expect(gallery.tile("one")).to_be_visible()


async def test_who_leaves_while_uploads_run_is_asked_whether_that_is_meant(gallery: Gallery) -> None:
    holding = asyncio.Event()

    async def hold(route: Route) -> None:
        holding.set()

    await gallery.visit(user="ada")
    await gallery.page.route(TO_STORAGE, hold)
    await gallery.choose(photo_file("one.jpg", photo("")))
    await holding.wait()
    await gallery.page.locator("#uploads").click()  # browsers ask only those who have touched the page
    async with gallery.page.expect_event("dialog") as asked:
        closing = asyncio.create_task(gallery.page.close(run_before_unload=True))
    dialog = await asked.value
    assert dialog.type == "beforeunload"
    await dialog.accept()
    await closing


@pytest.mark.parametrize("public_url", ["https://pics.example", "http://127.0.0.1:1/depot/storage"])
async def test_the_page_works_under_another_name_than_the_public_one(
    tmp_path: Path, clock: Clock, opened: Open, public_url: str
) -> None:
    async with local_service(tmp_path, clock, public_url=public_url) as depot, opened(depot) as gallery:
        await depot.uploaded(photo("there"), title="there before")
        assert (await depot.page())["images"][0]["url"].startswith(public_url)
        await gallery.visit(user="ada")
        await gallery.until_loaded(gallery.tiles.locator("img"))
        await gallery.choose(photo_file("new.jpg", photo("new", 1)))
        await expect(gallery.tile("new")).to_be_visible()
        await gallery.until_loaded(gallery.tiles.locator("img"))
        await gallery.look_at("new")
        await gallery.until_loaded(gallery.viewer.locator("img"))
