"""Uploading in one request: base64 in JSON, or a form."""

import io
import json
import re
import unicodedata
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from PIL import Image

from tests.api.client import ApiClient, form, some_details
from tests.pictures import base64_of, oriented, picture, sha256_of

FIELDS = {
    "image_id", "user_id", "title", "description", "tags", "filename", "content_type", "file_size", "created_at",
    "updated_at", "sha256", "width", "height", "visibility",
}  # fmt: skip
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
SECOND = timedelta(seconds=1)


async def test_a_base64_upload_is_answered_with_the_image_as_it_is_now_published(api: ApiClient, user: str) -> None:
    data, began = picture(size=(64, 48)), datetime.now(UTC)
    answer = await api.upload(
        data, user_id=user, title="At the lake", description="In June", tags=["nature", "Sunset"], filename="a.jpg"
    )
    assert answer.status == 201
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json.keys() == {"message", "image_id", "metadata"}
    assert answer.json["message"] == "Image uploaded successfully"
    image_id, metadata = answer.json["image_id"], answer.json["metadata"]
    assert uuid.UUID(image_id).version == 7
    assert str(uuid.UUID(image_id)) == image_id
    assert metadata.keys() - {"placeholder"} == FIELDS
    assert re.fullmatch(INSTANT, metadata["created_at"])
    assert began - SECOND <= datetime.fromisoformat(metadata["created_at"]) <= datetime.now(UTC) + SECOND
    assert {name: metadata[name] for name in FIELDS - {"created_at"}} == {
        "image_id": image_id,
        "user_id": user,
        "title": "At the lake",
        "description": "In June",
        "tags": ["nature", "Sunset"],
        "filename": "a.jpg",
        "visibility": "public",
        "content_type": "image/jpeg",
        "file_size": len(data),
        "updated_at": metadata["created_at"],
        "sha256": sha256_of(data),
        "width": 64,
        "height": 48,
    }


async def test_location_is_where_the_image_is(api: ApiClient, user: str) -> None:
    answer = await api.upload(user_id=user)
    assert answer.headers["Location"] == f"{api.base_url}/images/{answer.json['image_id']}"
    seen = await api.fetch(answer.headers["Location"])
    assert seen.json["metadata"] == answer.json["metadata"]


async def test_an_upload_without_description_and_tags_has_empty_ones(api: ApiClient) -> None:
    metadata = await api.uploaded()
    assert (metadata["description"], metadata["tags"]) == ("", [])


async def test_the_same_upload_twice_makes_two_images(api: ApiClient, user: str) -> None:
    one, two = await api.uploaded(user_id=user), await api.uploaded(user_id=user)
    assert one["image_id"] != two["image_id"]
    assert {each["image_id"] for each in await api.walk(user_id=user)} == {one["image_id"], two["image_id"]}


@pytest.mark.parametrize("prefix", ["data:image/jpeg;base64,", "DATA:IMAGE/JPEG;BASE64,"])
async def test_a_data_prefix_is_taken_off(api: ApiClient, prefix: str) -> None:
    data = picture()
    metadata = await api.uploaded(image_data=prefix + base64_of(data))
    assert metadata["sha256"] == sha256_of(data)


async def test_json_may_escape_the_slashes_of_base64(api: ApiClient) -> None:
    data = picture(size=(40, 40), noise=True)
    escaped = base64_of(data).replace("/", "\\/")
    assert "\\/" in escaped
    body = b'{"user_id":"ada","title":"A","filename":"a.jpg","image_data":"%b"}' % escaped.encode()
    answer = await api.post("/images", body=body, headers={"Content-Type": "application/json"})
    assert answer.json["metadata"]["sha256"] == sha256_of(data)


@pytest.mark.parametrize(
    "content_type", [None, "application/json; charset=utf-8", 'Application/JSON; charset="UTF-8"']
)
async def test_json_is_what_a_body_is_taken_for(api: ApiClient, content_type: str | None) -> None:
    body = json.dumps({**some_details(title="é"), "image_data": base64_of(picture())}, ensure_ascii=False)
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await api.post("/images", body=body.encode(), headers=headers)
    assert answer.json["metadata"]["title"] == "é"


# ---------------------------------------------------------------- forms


async def test_a_form_upload_is_answered_as_a_base64_upload_is(api: ApiClient, user: str) -> None:
    data = picture()
    details = {"user_id": user, "title": "At the lake", "description": "two\r\nlines", "filename": "a.jpg"}
    form = await api.upload_form({**details, "tags": "nature,sunset"}, data)
    same = await api.upload(data, **details, tags=["nature", "sunset"])
    assert form.status == 201
    assert form.json["message"] == same.json["message"]
    assert form.headers["Location"] == f"{api.base_url}/images/{form.json['image_id']}"
    unique = {"image_id", "created_at", "updated_at"}
    one, other = ({k: v for k, v in answer.json["metadata"].items() if k not in unique} for answer in (form, same))
    assert one == other
    assert (await api.download(form.json["image_id"])).body == data


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (["a,b"], ["a", "b"]),
        (["a", "b"], ["a", "b"]),
        (["a,b", " c "], ["a", "b", "c"]),
        (["b, a ,B,A"], ["b", "a"]),
        ([""], []),
        ([], []),
    ],
)
async def test_a_form_gives_tags_with_commas_or_repeated(api: ApiClient, sent: list[str], kept: list[str]) -> None:
    fields = [("user_id", "ada"), ("title", "A"), *[("tags", each) for each in sent]]
    answer = await api.upload_form(fields)
    assert answer.json["metadata"]["tags"] == kept


async def test_a_form_takes_the_filename_from_the_file(api: ApiClient) -> None:
    answer = await api.upload_form({"user_id": "ada", "title": "A"}, filename="naïve.jpg")
    assert answer.json["metadata"]["filename"] == "naïve.jpg"


@pytest.mark.parametrize(
    "said",
    [
        "filename*=UTF-8''na%C3%AFve%20%22photo%22.jpg",
        "filename*=utf-8'en'na%C3%AFve%20%22photo%22.jpg",
        "filename*=iso-8859-1''na%EFve%20%22photo%22.jpg",
        "filename=\"na_ve.jpg\"; filename*=UTF-8''na%C3%AFve%20%22photo%22.jpg",
        "FileName* = \"UTF-8''na%C3%AFve%20%22photo%22.jpg\"; filename==?utf-8?B?bmHDr3ZlLmpwZw==?=",
    ],
)
async def test_a_form_s_filename_may_be_encoded(api: ApiClient, said: str) -> None:
    kind, body = form({"user_id": "ada", "title": "T"}, picture())
    encoded = body.replace(b'filename="photo.jpg"', said.encode())
    answer = await api.post("/images", body=encoded, headers={"Content-Type": kind})
    assert answer.json["metadata"]["filename"] == 'naïve "photo".jpg'


async def test_what_looks_encoded_inside_of_a_filename_is_a_part_of_it(api: ApiClient) -> None:
    answer = await api.upload_form({"user_id": "ada", "title": "T"}, filename="a; filename*=UTF-8''b.jpg")
    assert answer.json["metadata"]["filename"] == "a; filename*=UTF-8''b.jpg"


@pytest.mark.parametrize("order", ["before", "after"])
async def test_a_filename_field_before_or_after_the_file_wins(api: ApiClient, order: str) -> None:
    details, name = [("user_id", "ada"), ("title", "A")], [("filename", "field.jpg")]
    before, after = (details + name, []) if order == "before" else (details, name)
    answer = await api.upload_form(before, filename="part.jpg", after=after)
    assert answer.json["metadata"]["filename"] == "field.jpg"


async def test_a_form_may_give_its_fields_after_the_file(api: ApiClient) -> None:
    answer = await api.upload_form([], after=[("title", "A"), ("tags", "a"), ("user_id", "ada")])
    assert answer.json["metadata"]["tags"] == ["a"]


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/jpeg", "IMAGE/JPEG"])
async def test_a_form_s_file_may_declare_its_type_or_none(api: ApiClient, kind: str) -> None:
    answer = await api.upload_form({"user_id": "ada", "title": "A"}, kind=kind)
    assert answer.json["metadata"]["content_type"] == "image/jpeg"


# ---------------------------------------------------------------- details


@pytest.mark.parametrize(
    ("field", "sent", "kept"),
    [
        ("title", "  trimmed\u3000", "trimmed"),
        ("title", "cafe\u0301", "café"),
        ("title", "x" * 200, "x" * 200),
        ("title", "e\u0301" * 200, "é" * 200),
        ("title", "日本 🏳️‍🌈 עברית <b>&amp;</b>", "日本 🏳️‍🌈 עברית <b>&amp;</b>"),
        ("description", "one\ntwo\r\n\tthree", "one\ntwo\r\n\tthree"),
        ("description", "y" * 2000, "y" * 2000),
        ("description", " ", ""),
        ("user_id", " o'neil@example.com ", "o'neil@example.com"),
        ("user_id", "u" * 128, "u" * 128),
        ("filename", " photo.jpg ", "photo.jpg"),
        ("filename", "re\u0301sume\u0301.jpg", "résumé.jpg"),
        ("filename", "é" * 125 + ".jpeg", "é" * 125 + ".jpeg"),
        ("filename", 'it\'s "quoted"; a=b,.jpg', 'it\'s "quoted"; a=b,.jpg'),
        ("filename", "..jpg", "..jpg"),
        ("filename", "console.jpg", "console.jpg"),
        ("filename", "写真.JPG", "写真.JPG"),
        ("filename", "photo", "photo"),
        ("tags", ["B", "a", "b", "A", "c"], ["B", "a", "c"]),
        ("tags", ["Straße", "STRASSE"], ["Straße"]),
        ("tags", [" a ", "cafe\u0301"], ["a", "café"]),
        ("tags", [f"tag {n}" for n in range(20)], [f"tag {n}" for n in range(20)]),
        ("tags", ["a"] * 30, ["a"]),
        ("tags", ["t" * 50], ["t" * 50]),
        ("tags", [], []),
    ],
)
async def test_details_come_back_trimmed_and_composed_and_otherwise_as_they_were_sent(
    api: ApiClient, field: str, sent: Any, kept: Any
) -> None:
    metadata = await api.uploaded(**{field: sent})
    assert metadata[field] == kept
    assert unicodedata.is_normalized("NFC", str(kept))
    seen = await api.get(f"/images/{metadata['image_id']}", params={"metadata_only": "true"})
    assert seen.json["metadata"] == metadata


# ---------------------------------------------------------------- pictures


def in_mode(mode: str, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.effect_mandelbrot((40, 30), (-2, -1, 1, 1), 20).convert(mode).save(file, kind, **options)
    return file.getvalue()


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (40, 30), (80 * n, 20, 10)) for n in range(3)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=100)
    return file.getvalue()


PICTURES = {
    "JPEG": ("image/jpeg", partial(in_mode, "RGB", "JPEG")),
    "JPEG, progressive": ("image/jpeg", partial(in_mode, "RGB", "JPEG", progressive=True)),
    "JPEG, greyscale": ("image/jpeg", partial(in_mode, "L", "JPEG")),
    "JPEG, CMYK": ("image/jpeg", partial(in_mode, "CMYK", "JPEG")),
    "JPEG, with a tail": ("image/jpeg", lambda: in_mode("RGB", "JPEG") + b"<html>a phone's video" * 50),
    "PNG": ("image/png", partial(in_mode, "RGB", "PNG")),
    "PNG, one bit": ("image/png", partial(in_mode, "1", "PNG")),
    "PNG, 16 bits": ("image/png", partial(in_mode, "I;16", "PNG")),
    "PNG, transparent": ("image/png", partial(in_mode, "RGBA", "PNG")),
    "PNG, palette": ("image/png", partial(in_mode, "P", "PNG", transparency=3)),
    "PNG, animated": ("image/png", partial(animated, "PNG")),
    "PNG, with a tail": ("image/png", lambda: in_mode("RGB", "PNG") + b"\0" * 99),
    "GIF": ("image/gif", partial(in_mode, "P", "GIF")),
    "GIF, animated": ("image/gif", partial(animated, "GIF")),
    "WebP": ("image/webp", partial(in_mode, "RGB", "WEBP")),
    "WebP, lossless and transparent": ("image/webp", partial(in_mode, "RGBA", "WEBP", lossless=True)),
    "WebP, animated": ("image/webp", partial(animated, "WEBP")),
    "AVIF": ("image/avif", partial(in_mode, "RGB", "AVIF")),
    "AVIF, animated": ("image/avif", partial(animated, "AVIF")),
}


@pytest.mark.parametrize(("content_type", "make"), PICTURES.values(), ids=PICTURES.keys())
async def test_every_kind_of_picture_comes_back_byte_for_byte(
    api: ApiClient, content_type: str, make: Callable[[], bytes]
) -> None:
    data = make()
    metadata = await api.uploaded(data, filename="picture")
    assert metadata["content_type"] == content_type
    assert (metadata["width"], metadata["height"]) == (40, 30)
    assert metadata["sha256"] == sha256_of(data)
    download = await api.download(metadata["image_id"])
    assert download.headers["Content-Type"] == content_type
    assert download.body == data


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_a_turned_photo_is_kept_byte_for_byte_and_measured_as_a_viewer_shows_it(
    api: ApiClient, orientation: int
) -> None:
    data = oriented(orientation, size=(64, 48))
    metadata = await api.uploaded(data)
    assert (metadata["width"], metadata["height"]) == ((64, 48) if orientation < 5 else (48, 64))
    assert (await api.download(metadata["image_id"])).body == data


@pytest.mark.parametrize(
    ("kind", "filename"),
    [
        ("JPEG", "a.jpg"), ("JPEG", "a.jpeg"), ("JPEG", "a.JPG"), ("PNG", "a.png"), ("GIF", "a.gif"),
        ("WEBP", "a.webp"), ("AVIF", "a.avif"), ("PNG", "a.jpg.png"),
    ],
)  # fmt: skip
async def test_an_extension_that_agrees_with_the_bytes_is_fine(api: ApiClient, kind: str, filename: str) -> None:
    metadata = await api.uploaded(picture(kind), filename=filename)
    assert metadata["filename"] == filename


async def test_a_picture_of_exactly_the_limit_is_taken_and_one_byte_more_is_not(
    api: ApiClient, start: Callable[..., Any], tmp_path: Any
) -> None:
    data = picture(size=(60, 60), noise=True)
    async with start(tmp_path, max_image_bytes=len(data)) as small:
        assert (await small.upload(data)).status == 201
        assert (await small.upload_form(some_details(), data)).status == 201
        for answer in (await small.upload(data + b"\0"), await small.upload_form(some_details(), data + b"\0")):
            assert answer.outcome == (413, "too_large")


async def test_a_picture_of_10_mib_is_taken_and_one_byte_more_is_not(api: ApiClient, user: str) -> None:
    data = picture().ljust(10 * 2**20, b"\0")
    answer = await api.upload(data, user_id=user)
    if api.largest_request is None:
        assert (answer.status, answer.json["metadata"]["file_size"]) == (201, 10_485_760)
    else:  # a gateway carries less, and the answer names the way that does not lead through it
        assert answer.outcome == (413, "too_large")
        assert "/uploads" in answer.json["detail"]
    assert (await api.upload(data + b"\0", user_id=user)).outcome == (413, "too_large")
    assert (await api.upload_form({"user_id": user, "title": "A"}, data + b"\0")).outcome == (413, "too_large")
    assert len(await api.walk(user_id=user)) == (answer.status == 201)
