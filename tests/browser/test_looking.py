"""Finding pictures and looking at them."""

import asyncio
import io
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from blurhash_rs import blurhash_encode
from PIL import Image, ImageOps
from playwright.async_api import Route, expect

from tests.api.client import ApiClient
from tests.browser.conftest import Clock
from tests.browser.gallery import Gallery
from tests.pictures import NOT_TURNED, ORIENTATION, TURNED, picture

# How a picture that looks upright is stored, so that each EXIF orientation turns it back.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
CORNERS = {(0, 0): "red", (1, 0): "lime", (0, 1): "blue", (1, 1): "white"}


async def fill(depot: ApiClient, *titles: str, **details: Any) -> None:
    """Upload pictures with these titles, the last of them the newest."""
    for seed, title in enumerate(titles):
        await depot.uploaded(picture(seed=seed), title=title, **details)


# ---------------------------------------------------------------- lists


async def test_an_empty_depot_says_what_to_do(gallery: Gallery) -> None:
    await gallery.visit()
    await expect(gallery.page.get_by_text("No images yet")).to_be_visible()
    async with gallery.page.expect_file_chooser():
        await gallery.page.get_by_role("button", name="Choose images").click()


async def test_a_long_list_goes_on_as_it_is_scrolled(gallery: Gallery) -> None:
    await fill(gallery.api, *(f"photo {n}" for n in range(110)))
    await gallery.visit()
    assert await gallery.tiles.count() < 110
    while await gallery.page.get_by_text("110 images").count() == 0:
        await gallery.page.keyboard.press("End")
        await gallery.settled()
    assert await gallery.titles() == [f"photo {n}" for n in reversed(range(110))]
    await expect(gallery.page.get_by_role("button", name="Load more", exact=True)).to_be_hidden()


async def test_without_an_observer_a_button_does_it(gallery: Gallery) -> None:
    await fill(gallery.api, *(f"photo {n}" for n in range(60)))
    await gallery.page.add_init_script("IntersectionObserver.prototype.observe = () => {}")
    await gallery.visit()
    await expect(gallery.tiles).to_have_count(50)
    await gallery.page.get_by_role("button", name="Load more", exact=True).click()
    await expect(gallery.tiles).to_have_count(60)


async def test_a_list_that_fails_says_why_and_can_be_asked_for_again(gallery: Gallery) -> None:
    async def fail(route: Route) -> None:
        await route.fulfill(status=503, body='{"detail": "A backend does not answer."}')

    await fill(gallery.api, "one")
    await gallery.page.route("**/images?*", fail)
    await gallery.visit()
    await expect(gallery.page.get_by_text("A backend does not answer.")).to_be_visible()
    await gallery.page.unroute_all()
    await gallery.page.get_by_role("button", name="Retry").click()
    await expect(gallery.tile("one")).to_be_visible()


async def test_filters_are_in_the_address_so_back_forward_and_reload_work(gallery: Gallery) -> None:
    await fill(gallery.api, "Lake", "Hill", tags=["sunset"])
    await fill(gallery.api, "Lake at night", user_id="eve")
    await gallery.visit()
    search = gallery.page.get_by_label("Search titles")
    await search.fill("lake")
    await expect(gallery.tiles).to_have_count(2)
    await gallery.page.get_by_role("button", name="Filters").click()
    await gallery.page.get_by_label("Tags").first.fill("sunset")
    await expect(gallery.tiles).to_have_count(1)
    assert gallery.page.url.endswith("/?title=lake&tags=sunset")
    await gallery.page.go_back()
    await expect(gallery.tiles).to_have_count(2)
    await gallery.page.go_back()
    await expect(gallery.tiles).to_have_count(3)
    await expect(search).to_have_value("")
    await gallery.page.go_forward()
    await gallery.page.go_forward()
    await expect(gallery.tiles).to_have_count(1)
    await gallery.page.reload()
    await expect(gallery.tiles).to_have_count(1)
    await expect(search).to_have_value("lake")
    await gallery.page.get_by_role("button", name="Filters").click()
    await gallery.page.get_by_role("button", name="Clear").click()
    await expect(gallery.tiles).to_have_count(3)


async def test_users_and_dates_filter_too_and_nonsense_is_explained(gallery: Gallery) -> None:
    await fill(gallery.api, "hers", user_id="ada")
    await fill(gallery.api, "his", user_id="bob")
    await gallery.visit("/?user_id=bob")
    assert await gallery.titles() == ["his"]
    await gallery.visit("/?date_to=2001-01-01")
    await expect(gallery.page.get_by_text("No images match these filters")).to_be_visible()
    await gallery.page.get_by_role("button", name="Show all").click()
    await expect(gallery.tiles).to_have_count(2)
    await gallery.visit("/?date_from=2026-02-01&date_to=2026-01-01")
    await expect(gallery.page.get_by_text("date_from: Must not be after date_to.")).to_be_visible()


# ---------------------------------------------------------------- one picture


async def test_a_picture_opens_large_and_arrow_keys_lead_on(gallery: Gallery) -> None:
    await fill(gallery.api, "first", "second", "third")
    await gallery.visit()
    await gallery.tile("third").focus()
    await gallery.page.keyboard.press("Enter")
    heading = gallery.viewer.get_by_role("heading")
    await expect(heading).to_have_text("third")
    await expect(gallery.viewer.get_by_role("button", name="Previous image")).to_be_hidden()
    await gallery.page.keyboard.press("ArrowRight")
    await expect(heading).to_have_text("second")
    await gallery.viewer.get_by_role("button", name="Next image").click()
    await expect(heading).to_have_text("first")
    await gallery.page.keyboard.press("ArrowLeft")
    await expect(heading).to_have_text("second")
    await gallery.until_loaded(gallery.viewer.locator("#frame img"))
    await gallery.page.keyboard.press("Escape")
    await expect(gallery.viewer).to_be_hidden()
    await expect(gallery.tile("second")).to_be_focused()
    await gallery.page.wait_for_url(lambda url: not urlsplit(url).query)


async def test_arrows_lead_on_past_the_pictures_that_are_loaded(gallery: Gallery) -> None:
    await fill(gallery.api, *(f"photo {n}" for n in range(103)), tags=["sea"])
    await fill(gallery.api, "of something else")
    await gallery.page.add_init_script("IntersectionObserver.prototype.observe = () => {}")
    await gallery.visit("/?tags=sea")
    await gallery.look_at("photo 55")
    heading, keys = gallery.viewer.get_by_role("heading"), gallery.page.keyboard
    for n in reversed(range(55)):
        await keys.press("ArrowRight")
        await expect(heading).to_have_text(f"photo {n}")
    await expect(gallery.viewer.get_by_role("button", name="Next image")).to_be_hidden()
    await keys.press("ArrowRight")
    await expect(heading).to_have_text("photo 0")
    await keys.press("Escape")
    await expect(gallery.tile("photo 0")).to_be_focused()


@pytest.mark.parametrize("filters", ["", "tags=sea&", "user_id=ada&date_from=2020-01-01&date_to=2100-01-01&"])
async def test_an_address_far_down_the_list_leads_to_its_own_neighbours(gallery: Gallery, filters: str) -> None:
    await fill(gallery.api, *(f"photo {n}" for n in range(70)), tags=["sea"], user_id="ada")
    images = {each["title"]: each["image_id"] for each in await gallery.api.walk()}
    heading, keys = gallery.viewer.get_by_role("heading"), gallery.page.keyboard
    await gallery.visit(f"/?{filters}image={images['photo 5']}")
    await expect(heading).to_have_text("photo 5")
    for key, n in (("ArrowRight", 4), ("ArrowRight", 3), ("ArrowLeft", 4), ("ArrowLeft", 5), ("ArrowLeft", 6)):
        await keys.press(key)
        await expect(heading).to_have_text(f"photo {n}")
    await gallery.page.reload()
    await expect(heading).to_have_text("photo 6")
    await gallery.visit(f"/?{filters}image={images['photo 0']}")
    await expect(heading).to_have_text("photo 0")
    await gallery.viewer.get_by_role("button", name="Next image").click()
    await expect(gallery.viewer.get_by_role("button", name="Next image")).to_be_hidden()
    await gallery.viewer.get_by_role("button", name="Previous image").click()
    await expect(heading).to_have_text("photo 1")
    lists = [each.url for each in gallery.requests if "/images?" in each.url]
    assert len(lists) < 60


async def test_a_page_that_does_not_come_is_told_of_in_the_viewer(gallery: Gallery) -> None:
    async def fail(route: Route) -> None:
        await route.fulfill(status=503, body='{"detail": "A backend does not answer."}')

    await fill(gallery.api, *(f"photo {n}" for n in range(60)))
    await gallery.page.add_init_script("IntersectionObserver.prototype.observe = () => {}")
    await gallery.visit()
    await gallery.look_at("photo 10")
    await gallery.page.route("**/images?*", fail)
    await gallery.viewer.get_by_role("button", name="Next image").click()
    await expect(gallery.viewer.get_by_role("alert")).to_have_text("A backend does not answer.")
    await gallery.page.unroute_all()
    await gallery.viewer.get_by_role("button", name="Next image").click()
    await expect(gallery.viewer.get_by_role("heading")).to_have_text("photo 9")


async def test_a_picture_that_was_deleted_elsewhere_says_so(gallery: Gallery) -> None:
    await fill(gallery.api, "first", "second", "third", user_id="ada")
    images = {each["title"]: each["image_id"] for each in await gallery.api.walk()}
    await gallery.visit(user="ada")
    await gallery.until_loaded(gallery.tiles.locator("img"))
    assert (await gallery.api.delete(f"/images/{images['second']}", {"user_id": "ada"})).status == 200
    await gallery.look_at("third")
    await gallery.page.keyboard.press("ArrowRight")
    await expect(gallery.viewer.get_by_role("alert")).to_contain_text("No image has this ID.")
    await gallery.page.keyboard.press("ArrowRight")
    await expect(gallery.viewer.get_by_role("heading")).to_have_text("first")
    await expect(gallery.viewer.locator("[role=alert]")).to_be_empty()


async def test_a_picture_has_an_address_and_back_leads_out_of_it(gallery: Gallery) -> None:
    await fill(gallery.api, "first", "second")
    await gallery.visit()
    await gallery.look_at("first")
    address = f"/?{urlsplit(gallery.page.url).query}"
    await gallery.page.go_back()
    await expect(gallery.viewer).to_be_hidden()
    await expect(gallery.tile("first")).to_be_focused()
    await gallery.visit(address)
    await expect(gallery.viewer.get_by_role("heading")).to_have_text("first")
    await gallery.viewer.get_by_role("button", name="Close").click()
    await expect(gallery.viewer).to_be_hidden()
    await gallery.page.wait_for_url(lambda url: not urlsplit(url).query)


async def test_the_address_of_no_picture_says_so(gallery: Gallery) -> None:
    await gallery.visit("/?image=0198c5a5-0000-7000-8000-000000000000")
    await expect(gallery.viewer.get_by_role("alert")).to_contain_text("No image has this ID.")


async def test_a_picture_can_be_downloaded_as_it_is(gallery: Gallery) -> None:
    data = picture("PNG", size=(50, 40))
    await gallery.api.uploaded(data, title="mine", filename="Åland “1”.jpg")
    await gallery.visit()
    await gallery.look_at("mine")
    async with gallery.page.expect_download() as begun:
        await gallery.viewer.get_by_role("link", name="Download").click()
    download = await begun.value
    assert download.suggested_filename == "Åland “1”.png"
    assert (await download.path()).read_bytes() == data


async def test_tags_and_users_lead_to_their_pictures(gallery: Gallery) -> None:
    await fill(gallery.api, "one", "two", tags=["R&D"])
    await fill(gallery.api, "three")
    await gallery.visit()
    await gallery.look_at("one")
    await gallery.viewer.get_by_role("link", name="R&D").click()
    await expect(gallery.viewer).to_be_hidden()
    await expect(gallery.tiles).to_have_count(2)


# ---------------------------------------------------------------- as it should look


async def test_all_eight_orientations_are_upright(gallery: Gallery, kept: Path) -> None:
    for orientation in STORED:
        await gallery.api.uploaded(stored(orientation), title=f"turned {orientation}")
    await gallery.visit()
    await gallery.until_loaded(gallery.tiles.locator("img"))
    await gallery.page.screenshot(path=kept / "orientations.png")
    for orientation in STORED:
        seen = await gallery.screenshot(gallery.tile(f"turned {orientation}"))
        assert seen.width / seen.height == pytest.approx(1.5, abs=0.05)
        for (x, y), colour in CORNERS.items():
            spot = seen.getpixel((seen.width // 4 + x * seen.width // 2, seen.height // 4 + y * seen.height // 2))
            assert close(spot, colour), (orientation, colour, spot)


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("name", [*TURNED, *NOT_TURNED])
async def test_a_picture_is_turned_as_chromium_turns_it(gallery: Gallery, name: str, orientation: int) -> None:
    """Width, height and variants are what a browser shows of the original, whatever a format's EXIF says."""
    image = await gallery.api.uploaded({**TURNED, **NOT_TURNED}[name](corners((48, 32)), orientation), filename="a")
    await gallery.visit()
    original, display = [
        await gallery.page.evaluate(CORNERS_SHOWN, f"/images/{image['image_id']}/content?variant={variant}")
        for variant in ("original", "display")
    ]
    assert (original["width"], original["height"]) == (image["width"], image["height"])
    assert (display["width"], display["height"]) == (image["width"], image["height"])
    assert (image["width"] < image["height"]) == (name in TURNED and orientation == 6)
    for spot, other in zip(original["colours"], display["colours"], strict=True):
        assert max(abs(a - b) for a, b in zip(spot, other, strict=True)) < 60, (original, display)


# Resolves to the size in which the browser shows the picture at an address, and the colour of each quarter.
CORNERS_SHOWN = """async (address) => {
  const image = Object.assign(new Image(), { src: address });
  await image.decode();
  const { naturalWidth: width, naturalHeight: height } = image;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const colour = (x, y) => [...context.getImageData(x * width, y * height, 1, 1).data];
  return { width, height, colours: [0.25, 0.75].flatMap((y) => [0.25, 0.75].map((x) => colour(x, y))) };
}"""


def corners(size: tuple[int, int]) -> Image.Image:
    """Return a picture with a colour in each corner."""
    image, (width, height) = Image.new("RGB", size), size
    for (x, y), colour in CORNERS.items():
        image.paste(colour, (x * width // 2, y * height // 2, (x + 1) * width // 2, (y + 1) * height // 2))
    return image


def stored(orientation: int) -> bytes:
    """Return a JPEG that looks the same for each EXIF orientation: 3 to 2, with a colour in each corner."""
    upright = corners((360, 240))
    turned = STORED[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return saved(upright if turned is None else upright.transpose(turned), exif)


def saved(image: Image.Image, exif: Image.Exif) -> bytes:
    """Return a JPEG; what it looks like upright is checked by Pillow's own rule."""
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif, quality=95)
    shown = ImageOps.exif_transpose(Image.open(file))
    assert close(shown.getpixel((10, 10)), "red")
    return file.getvalue()


def close(pixel: Any, colour: str) -> bool:
    """Tell whether a pixel has about this colour."""
    wanted = Image.new("RGB", (1, 1), colour).getpixel((0, 0))
    assert isinstance(wanted, tuple)
    return all(abs(a - b) < 40 for a, b in zip(pixel[:3], wanted, strict=True))


async def test_a_placeholder_is_drawn_until_the_picture_is_there(gallery: Gallery) -> None:
    going_on = asyncio.Event()

    async def hold(route: Route) -> None:
        await going_on.wait()
        await route.continue_()

    async def with_placeholder(route: Route) -> None:
        answer = await route.fetch()
        document = await answer.json()
        document["images"][0]["placeholder"] = blurhash_of("blue")
        await route.fulfill(response=answer, json=document)

    await fill(gallery.api, "one")
    await gallery.page.route("**/images?*", with_placeholder)
    await gallery.page.route("**/storage/images/**", hold)
    await gallery.visit()
    seen = await gallery.screenshot(gallery.tile("one"))
    assert close(seen.getpixel((seen.width // 2, seen.height // 2)), "blue")
    going_on.set()
    await gallery.until_loaded(gallery.tiles.locator("img"))
    seen = await gallery.screenshot(gallery.tile("one"))
    assert close(seen.getpixel((seen.width // 4, seen.height // 4)), "white")


async def test_a_placeholder_does_not_shine_through_a_transparent_picture(gallery: Gallery, kept: Path) -> None:
    image = Image.new("RGBA", (400, 300), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 40, 40))
    image.save(file := io.BytesIO(), "PNG")
    await gallery.api.uploaded(file.getvalue(), title="transparent", filename="a.png")

    async def with_placeholder(route: Route) -> None:
        answer = await route.fetch()
        document = await answer.json()
        document["images"][0]["placeholder"] = blurhash_of("blue")
        await route.fulfill(response=answer, json=document)

    await gallery.page.route("**/images?*", with_placeholder)
    await gallery.visit()
    await gallery.until_loaded(gallery.tiles.locator("img"))
    await expect(gallery.tiles.locator("canvas")).to_be_hidden()
    seen = await gallery.screenshot(gallery.tile("transparent"))
    assert not close(seen.getpixel((seen.width // 2, seen.height // 2)), "blue")
    await gallery.look_at("transparent")
    await gallery.until_loaded(gallery.viewer.locator("#frame img"))
    await expect(gallery.viewer.locator("canvas")).to_be_hidden()
    seen = await gallery.screenshot(gallery.viewer.locator("#frame"))
    await gallery.page.screenshot(path=kept / "transparent.png")
    colours = {seen.getpixel((x, seen.height // 2)) for x in range(100, 200)}
    assert len(colours) > 1  # squares
    assert all(min(each) > 180 for each in colours if isinstance(each, tuple))


def blurhash_of(colour: str) -> str:
    """Return the BlurHash of a picture of one colour."""
    image = Image.new("RGB", (32, 32), colour)
    return str(blurhash_encode(image))


async def test_variants_are_shown_where_there_are_some(gallery: Gallery) -> None:
    await fill(gallery.api, "one")

    async def with_variants(route: Route) -> None:
        answer = await route.fetch()
        document = await answer.json()
        (image,) = document["images"]
        image["variants"] = {
            name: {"url": f"{image['url']}&is={name}", "width": width, "height": 240, "content_type": "image/webp"}
            for name, width in {"thumb": 320, "display": 1080}.items()
        }
        await route.fulfill(response=answer, json=document)

    async def serve(route: Route) -> None:
        await route.fulfill(body=picture(size=(320, 240)), content_type="image/jpeg")

    await gallery.page.route("**/images?*", with_variants)
    await gallery.page.route("**/storage/images/**", serve)
    await gallery.visit()
    await gallery.until_loaded(gallery.tiles.locator("img"))
    await gallery.look_at("one")
    await gallery.until_loaded(gallery.viewer.locator("#frame img"))
    pictures = [each.url.rpartition("&is=")[2] for each in gallery.requests if "/storage/" in each.url]
    assert set(pictures) == {"thumb", "display"}
    assert pictures[0] == "thumb"


async def test_links_that_have_died_are_renewed(gallery: Gallery, clock: Clock) -> None:
    await fill(gallery.api, "one")
    await gallery.visit()
    await gallery.until_loaded(gallery.tiles.locator("img"))
    clock.advance(hours=3)
    await gallery.look_at("one")
    await expect(gallery.viewer.locator("#frame img")).to_have_class("there")
