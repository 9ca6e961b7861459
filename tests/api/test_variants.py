"""What people look at: smaller pictures, placeholders, links for an `<img>`, and originals without a place."""

import io
import re
from pathlib import Path

import pytest
from PIL import Image

from service.media import inspect
from tests.api.client import ApiClient
from tests.api.conftest import Start
from tests.pictures import oriented, picture, sha256_of
from tests.unit.media.test_location import located
from tests.unit.media.test_location_kinds import endless

DATA = picture(size=(1600, 1200))
SIZES = {"thumb": (320, 240), "display": (1080, 810)}


def size_of(data: bytes) -> tuple[int, int]:
    picture = inspect(data, max_pixels=10_000_000)
    return picture.width, picture.height


async def directly(api: ApiClient, data: bytes, **details: object) -> str:
    begun = await api.begun(data, **details)
    await api.transfer(begun["upload"], data)
    assert (await api.complete(begun["image_id"])).status == 200
    return str(begun["image_id"])


# ---------------------------------------------------------------- variants


async def test_an_image_comes_in_two_smaller_sizes_however_it_was_uploaded(api: ApiClient, user: str) -> None:
    ids = {(await api.uploaded(DATA, user_id=user))["image_id"], await directly(api, DATA, user_id=user)}
    listed = (await api.page(user_id=user))["images"]
    assert {each["image_id"] for each in listed} == ids
    for item in listed:
        view = (await api.get(f"/images/{item['image_id']}", params={"metadata_only": "true"})).json
        assert view["variants"] == item["variants"]
        assert {name: (each["width"], each["height"]) for name, each in item["variants"].items()} == SIZES
        for name, variant in item["variants"].items():
            fetched = await api.fetch(variant["url"])
            assert fetched.status == 200
            assert fetched.headers["Content-Type"] == variant["content_type"] == "image/webp"
            assert size_of(fetched.body) == SIZES[name]


async def test_a_placeholder_is_among_the_metadata(api: ApiClient) -> None:
    metadata = await api.uploaded(DATA)
    assert re.fullmatch(r"[!-~]{20,40}", metadata["placeholder"])


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_variants_are_upright_whatever_the_orientation(api: ApiClient, orientation: int) -> None:
    metadata = await api.uploaded(oriented(orientation, (640, 480)))
    view = (await api.get(f"/images/{metadata['image_id']}", params={"metadata_only": "true"})).json
    shown = await api.fetch(view["variants"]["display"]["url"])
    assert size_of(shown.body) == (metadata["width"], metadata["height"])
    assert (metadata["width"] > metadata["height"]) == (orientation < 5)


async def test_a_deleted_image_has_no_variants_left(api: ApiClient, user: str) -> None:
    metadata = await api.uploaded(DATA, user_id=user)
    item = (await api.page(user_id=user))["images"][0]
    assert (await api.delete(f"/images/{metadata['image_id']}", {"user_id": user})).status == 200
    for variant in item["variants"].values():
        assert (await api.fetch(variant["url"])).status in {403, 404, 410}


# ---------------------------------------------------------------- links for pages


@pytest.mark.parametrize(("variant", "size"), [*SIZES.items(), ("original", (1600, 1200)), (None, (1600, 1200))])
async def test_content_leads_to_the_picture(api: ApiClient, variant: str | None, size: tuple[int, int]) -> None:
    image_id = (await api.uploaded(DATA))["image_id"]
    params = {"variant": variant} if variant else {}
    answers = [await api.get(f"/images/{image_id}/content", params=params) for _ in range(2)]
    assert [answer.status for answer in answers] == [302, 302]
    assert answers[0].headers["Location"] == answers[1].headers["Location"]
    age = re.fullmatch(r"private, max-age=(\d+)", answers[0].headers["Cache-Control"])
    assert age
    assert 0 <= int(age[1]) <= 3600
    fetched = await api.fetch(answers[0].headers["Location"])
    assert (fetched.status, size_of(fetched.body)) == (200, size)


async def test_content_of_nothing_and_unknown_variants(api: ApiClient) -> None:
    image_id = (await api.uploaded(DATA))["image_id"]
    unknown = await api.get(f"/images/{image_id}/content", params={"variant": "poster"})
    assert unknown.outcome == (400, "invalid_parameter")
    assert (await api.get(f"/images/{image_id[:-4]}0000/content")).outcome == (404, "not_found")
    assert (await api.get("/images/nobodys/content")).outcome == (404, "not_found")


# ---------------------------------------------------------------- places


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_the_place_goes_where_that_is_asked_and_the_pixels_stay(api: ApiClient, kind: str) -> None:
    data, filename = located(kind), f"a.{kind.lower().replace('jpeg', 'jpg')}"
    kept = await api.uploaded(data, filename=filename)
    assert (await api.download(kept["image_id"])).body == data
    details = {"filename": filename, "strip_location": True}
    stripped = await api.uploaded(data, **details)
    begun = await directly(api, data, content_type=f"image/{kind.lower()}", **details)
    for image_id in (stripped["image_id"], begun):
        downloaded = await api.download(image_id)
        metadata = (await api.get(f"/images/{image_id}", params={"metadata_only": "true"})).json["metadata"]
        assert sha256_of(downloaded.body) == metadata["sha256"] != sha256_of(data)
        assert metadata["file_size"] == len(downloaded.body)
        before, after = (Image.open(io.BytesIO(each)) for each in (data, downloaded.body))
        assert before.getexif().get_ifd(0x8825)
        assert not after.getexif().get_ifd(0x8825)
        assert before.tobytes() == after.tobytes()


async def test_a_form_may_ask_for_it_too(api: ApiClient, user: str) -> None:
    fields = {"user_id": user, "title": "A photo", "strip_location": "true"}
    uploaded = await api.upload_form(fields, located("JPEG"))
    assert uploaded.status == 201, uploaded.body
    assert b"GPS" not in (await api.download(uploaded.json["image_id"])).body


async def test_a_place_that_cannot_be_taken_out_is_never_published(api: ApiClient, user: str) -> None:
    data = endless()
    details = {"filename": "a.png", "user_id": user, "strip_location": True}
    answer = await api.upload(data, **details)
    begun = await api.begun(data, content_type="image/png", **details)
    await api.transfer(begun["upload"], data)
    completed = [await api.complete(begun["image_id"]) for _ in range(2)]
    for each in (answer, *completed):
        assert each.outcome == (422, "invalid_image")
        assert each.json["detail"].startswith("The location cannot be removed")
    assert (await api.page(user_id=user))["images"] == []
    assert (await api.transfer(begun["upload"], data)).status != 500
    await api.uploaded(data, **{**details, "strip_location": False})


async def test_a_setting_decides_where_nobody_says(start: Start, tmp_path: Path) -> None:
    data = located("JPEG")
    async with start(tmp_path, strip_location=True) as api:
        assert (await api.uploaded(data))["sha256"] != sha256_of(data)
        assert (await api.uploaded(data, strip_location=False))["sha256"] == sha256_of(data)


# ---------------------------------------------------------------- edits that must not collide


async def test_an_edit_of_what_was_changed_since_is_refused(api: ApiClient, user: str) -> None:
    path = f"/images/{(await api.uploaded(DATA, user_id=user))['image_id']}"
    seen = (await api.get(path, params={"metadata_only": "true"})).headers["ETag"]
    first = await api.patch(path, {"user_id": user, "title": "First"}, headers={"If-Match": seen})
    assert (first.status, first.json["metadata"]["title"]) == (200, "First")
    late = await api.patch(path, {"user_id": user, "title": "Late"}, headers={"If-Match": seen})
    assert late.outcome == (412, "precondition_failed")
    again = {"If-Match": f'"other", {first.headers["ETag"]}'}
    assert (await api.patch(path, {"user_id": user, "title": "Again"}, headers=again)).status == 200
    assert (await api.patch(path, {"user_id": user, "title": "Any"}, headers={"If-Match": "*"})).status == 200
    assert (await api.get(path)).json["metadata"]["title"] == "Any"


# ---------------------------------------------------------------- deleting several


async def test_several_are_deleted_at_once_and_each_has_a_result(api: ApiClient, user: str) -> None:
    mine = [(await api.uploaded(picture(seed=n), user_id=user))["image_id"] for n in range(3)]
    other = (await api.uploaded(user_id=f"not-{user}"))["image_id"]
    asked = [*mine[:2], other, "nobodys", mine[0]]
    answer = await api.post("/images/batch-delete", {"user_id": user, "image_ids": asked})
    assert answer.status == 200
    assert answer.json["results"] == [
        {"image_id": mine[0], "status": 200, "code": None},
        {"image_id": mine[1], "status": 200, "code": None},
        {"image_id": other, "status": 403, "code": "forbidden"},
        {"image_id": "nobodys", "status": 404, "code": "not_found"},
    ]
    assert [each["image_id"] for each in await api.walk(user_id=user)] == [mine[2]]


@pytest.mark.parametrize("image_ids", [[], ["x"] * 101, "x", [1], None])
async def test_a_batch_is_a_list_of_up_to_a_hundred(api: ApiClient, image_ids: object) -> None:
    answer = await api.post("/images/batch-delete", {"user_id": "ada", "image_ids": image_ids})
    assert answer.outcome == (400, "invalid_request")
