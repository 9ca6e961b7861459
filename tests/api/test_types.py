"""What a picture is, is in its bytes: by whatever way they come, whatever they are called."""

from collections.abc import Awaitable, Callable
from email.message import Message
from typing import Any

import pytest

from tests.api.client import Answer, ApiClient, some_details
from tests.pictures import base64_of, picture

JPEG, PNG = picture(), picture("PNG")

Upload = Callable[[ApiClient, bytes, str, str | None], Awaitable[Answer]]


async def as_base64(api: ApiClient, data: bytes, filename: str, content_type: str | None) -> Answer:
    prefix = f"data:{content_type};base64," if content_type is not None else ""
    return await api.upload(filename=filename, image_data=prefix + base64_of(data))


async def as_a_form(api: ApiClient, data: bytes, filename: str, content_type: str | None) -> Answer:
    details = {"user_id": "ada", "title": "A photo", "filename": filename}
    return await api.upload_form(details, data, filename="picture", kind=content_type or "")


async def directly(
    api: ApiClient, data: bytes, filename: str, content_type: str | None, method: str = "PUT", **more: Any
) -> Answer:
    declared = {"content_type": content_type} if content_type is not None else {}
    document = {**some_details(filename=filename), "file_size": len(data), "method": method, **declared, **more}
    begun = await api.post("/uploads", document)
    if begun.status != 201:
        return begun
    assert (await api.transfer(begun.json["upload"], data)).status in {200, 204}
    return await api.complete(begun.json["image_id"])


async def directly_as_a_form(api: ApiClient, data: bytes, filename: str, content_type: str | None) -> Answer:
    return await directly(api, data, filename, content_type, "POST")


WAYS = {"base64": as_base64, "a form": as_a_form, "PUT": directly, "POST": directly_as_a_form}
every_way = pytest.mark.parametrize("upload", WAYS.values(), ids=WAYS.keys())


def named(answer: Answer) -> str | None:
    """Return the name that a browser saves a download under."""
    message = Message()
    message["Content-Disposition"] = answer.headers["Content-Disposition"]
    return message.get_filename()


async def assert_served(api: ApiClient, answer: Answer, data: bytes, content_type: str, filename: str) -> None:
    """Check an image that was just published, and how it leaves: by the API, and by its link."""
    assert answer.status in {200, 201}, answer.body
    metadata = answer.json["metadata"]
    assert metadata["content_type"] == content_type
    view = (await api.get(f"/images/{metadata['image_id']}")).json
    for download in (await api.download(metadata["image_id"]), await api.fetch(view["url"])):
        assert download.body == data
        assert (download.headers["Content-Type"], named(download)) == (content_type, filename)


NAMES = [(JPEG, "IMAGE/PJPEG"), (PNG, "image/vnd.mozilla.apng"), (PNG, "application/octet-stream"), (PNG, None)]


@every_way
async def test_a_type_counts_by_any_of_its_names_and_none_is_none(api: ApiClient, upload: Upload) -> None:
    for data, declared in NAMES:
        kind, saved = ("image/png", "picture.png") if data is PNG else ("image/jpeg", "picture.jpg")
        await assert_served(api, await upload(api, data, "picture", declared), data, kind, saved)


@pytest.mark.parametrize("upload", [as_a_form, directly])
async def test_a_header_may_have_parameters_or_say_nothing(api: ApiClient, upload: Upload) -> None:
    for declared in (
        "IMAGE/JPEG; charset=x",
        "",
        "binary/octet-stream",
        "application/x-www-form-urlencoded",
        "jpeg",
    ):
        answer = await upload(api, JPEG, "photo.jpg", declared)
        await assert_served(api, answer, JPEG, "image/jpeg", "photo.jpg")


@every_way
async def test_a_filename_refuses_no_picture_and_lies_in_no_download(api: ApiClient, upload: Upload) -> None:
    for filename, declared, saved in (
        ("a.png", "image/jpeg", "a.jpg"),
        ("IMG.HEIC", None, "IMG.jpg"),
        ("a.html", "image/jpeg", "a.html.jpg"),
    ):
        answer = await upload(api, JPEG, filename, declared)
        await assert_served(api, answer, JPEG, "image/jpeg", saved)
        assert answer.json["metadata"]["filename"] == filename


@every_way
async def test_two_types_that_contradict_each_other_are_refused(api: ApiClient, upload: Upload) -> None:
    answer = await upload(api, JPEG, "photo.jpg", "image/png")
    assert answer.outcome == (400, "type_mismatch")
    assert "declare image/jpeg, or no type" in answer.json["detail"]


async def test_a_form_s_type_that_only_repeats_the_extension_is_not_declared(api: ApiClient) -> None:
    """What curl and browsers say of a file that is named after another format than its own."""
    for filename, kind in (("a.png", "image/png"), ("a.HEIC", "image/heic"), ("a.html", "text/html")):
        answer = await api.upload_form({"user_id": "ada", "title": "T"}, JPEG, filename=filename, kind=kind)
        assert (answer.status, answer.json["metadata"]["content_type"]) == (201, "image/jpeg")


async def test_what_is_signed_is_the_type_s_own_name_or_none(api: ApiClient) -> None:
    for declared, signed in (
        ("image/jpg", "image/jpeg"),
        ("IMAGE/JPEG;q=1", "image/jpeg"),
        ("", "application/octet-stream"),
        ("image/unheard-of", "application/octet-stream"),
    ):
        put = await api.begun(JPEG, content_type=declared)
        assert put["upload"]["headers"]["Content-Type"] == signed
        post = await api.begun(JPEG, content_type=declared, method="POST")
        assert post["upload"]["fields"]["Content-Type"] == signed


async def test_without_a_type_what_is_no_picture_is_found_out(api: ApiClient) -> None:
    answer = await directly(api, b"just some text, no picture", "photo.jpg", None)
    assert answer.outcome == (415, "unsupported_image")
