"""Every way of being refused: its status, its code, and that nothing of the input comes back."""

import base64
import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.api.client import Answer, ApiClient, form, some_details
from tests.api.conftest import ON_EACH_SKIN, Start
from tests.pictures import base64_of, chunk, picture

MARK = "zq7marker"  # put into bad input; it must not come back
ID = "01994d3c-8d00-7abc-8def-0123456789ab"  # nobody's
JSON = {"Content-Type": "application/json"}
DATA = picture()
MANY_LEVELS = 100_000


def assert_refused(answer: Answer, status: int, code: str) -> None:
    """Fail unless this is that refusal, and says nothing of what was sent."""
    assert answer.outcome == (status, code), answer.body[:300]
    assert MARK.encode() not in answer.body
    assert MARK not in str(answer.headers)


def document(**details: Any) -> bytes:
    """Return a body for POST /images, of details in JSON text."""
    fields = {"user_id": '"ada"', "title": '"T"', "filename": '"a.jpg"', "image_data": f'"{base64_of(DATA)}"'}
    return ("{" + ",".join(f'"{name}":{text}' for name, text in {**fields, **details}.items()) + "}").encode()


# ---------------------------------------------------------------- invalid_json

NOT_JSON = {
    "nothing": b"",
    "blanks": b" \r\n\t",
    "text": MARK.encode(),
    "truncated": b'{"user_id": "%s"' % MARK.encode(),
    "truncated in a string": b'{"user_id": "%s' % MARK.encode(),
    "trailing text": b'{"user_id": "ada"} ' + MARK.encode(),
    "two documents": b"{}{}",
    "a trailing comma": b'{"user_id": "ada",}',
    "single quotes": b"{'user_id': 'ada'}",
    "a comment": b"{} // " + MARK.encode(),
    "33 levels": b"[" * 33 + b"]" * 33,
    "20,000 lists": b"[" * 20_000,
    "10,000 objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a duplicate key": b'{"user_id": "%s", "user_id": "%s"}' % (MARK.encode(), MARK.encode()),
    "a duplicate key, escaped": b'{"user_id": "ada", "user\\u005fid": "ada"}',
    "a duplicate key within": b'{"user_id": {"a": 1, "a": 1}}',
    "NaN": b'{"file_size": NaN}',
    "Infinity": b'{"file_size": Infinity}',
    "-Infinity": b'{"file_size": -Infinity}',
    "bad UTF-8": b'{"user_id": "' + MARK.encode() + b'\xff"}',
    "UTF-8 of a surrogate": b'{"user_id": "\xed\xa0\x80"}',
    "Latin-1": '{"user_id": "é"}'.encode("latin-1"),
    "UTF-16": '{"user_id": "ada"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a lone surrogate": b'{"user_id": "%s\\ud800"}' % MARK.encode(),
    "half a pair": b'{"user_id": "\\udc00\\ud800"}',
    "a huge integer": b'{"file_size": 1%s}' % (b"0" * 30_000),
    "more than 64 bits": b'{"file_size": 9223372036854775808}',
    "a huge float": b'{"file_size": 1e999}',
    "a control character": b'{"user_id": "a\nb"}',
    "an unknown escape": b'{"user_id": "\\x41"}',
    "a form": b"user_id=ada&title=" + MARK.encode(),
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
@ON_EACH_SKIN
async def test_what_is_not_json_is_refused(api: ApiClient, body: bytes) -> None:
    routes = [("POST", "/images"), ("POST", "/uploads"), ("PATCH", f"/images/{ID}")]
    for method, path in [*routes, *([("DELETE", f"/images/{ID}")] if body else [])]:
        assert_refused(await api.request(method, path, body=body, headers=JSON), 400, "invalid_json")


async def test_a_hundred_thousand_levels_are_refused_as_quickly_as_33(api: ApiClient) -> None:
    for level in (b"[", b'{"a":'):
        assert_refused(await api.post("/images", body=level * MANY_LEVELS, headers=JSON), 400, "invalid_json")


async def test_32_levels_are_json(api: ApiClient) -> None:
    body = b'{"user_id": ' + b"[" * 31 + b"]" * 31 + b"}"
    assert_refused(await api.post("/uploads", body=body, headers=JSON), 400, "invalid_request")


@pytest.mark.parametrize("text", ["[]", '"text"', "null", "7", "true", '[{"user_id": "ada"}]'])
@ON_EACH_SKIN
async def test_json_that_is_no_object_is_refused(api: ApiClient, text: str) -> None:
    for path in ("/images", "/uploads"):
        assert_refused(await api.post(path, body=text.encode(), headers=JSON), 400, "invalid_request")


async def test_the_picture_given_twice_is_refused(api: ApiClient) -> None:
    body = document()[:-1] + b',"image_data":"%b"}' % base64_of(DATA).encode()
    assert_refused(await api.post("/images", body=body, headers=JSON), 400, "invalid_json")


# ---------------------------------------------------------------- invalid_request

CONTROLS = ["\0", "\x1b", "\x7f", "\x85", "\u009f"]
BAD_FIELDS: list[tuple[str, Any]] = [
    *[
        (name, value)
        for name in ("user_id", "title", "filename")
        for value in (None, "", "  \t ", "\u3000", 7, True, 1.5, [MARK], {"a": MARK})
    ],
    *[("description", value) for value in (None, 7, [MARK], {"a": MARK})],
    *[("tags", value) for value in (None, MARK, 7, {"a": MARK}, [7], [None], [[MARK]], ["a", True])],
    *[("image_data", value) for value in (None, 7, True, ["QUJD"], {"a": MARK})],
    *[(name, f"{MARK}{c}x") for name in ("user_id", "title", "description") for c in CONTROLS],
    *[(name, f"a\n{MARK}") for name in ("user_id", "title")],
    ("user_id", MARK.ljust(129, "x")),
    ("title", MARK.ljust(201, "x")),
    ("title", "👩‍👩‍👧" * 41),
    ("description", MARK.ljust(2_001, "x")),
    ("filename", "x" * 252 + ".jpg"),
    ("filename", "é" * 126 + ".jpg"),
]


@pytest.mark.parametrize(("field", "value"), BAD_FIELDS)
@ON_EACH_SKIN
async def test_a_field_that_cannot_be_stored_is_refused_by_its_name(api: ApiClient, field: str, value: Any) -> None:
    answer = await api.upload(DATA, **{field: value})
    assert_refused(answer, 400, "invalid_request")
    assert answer.json["errors"].keys() == {field}
    if field != "image_data":
        declared = {"content_type": "image/jpeg", "file_size": 10, field: value}
        assert_refused(await api.post("/uploads", {**some_details(), **declared}), 400, "invalid_request")


@pytest.mark.parametrize("field", ["user_id", "title", "filename", "image_data"])
async def test_a_missing_field_is_named(api: ApiClient, field: str) -> None:
    details = {**some_details(), "image_data": base64_of(DATA)}
    del details[field]
    answer = await api.post("/images", details)
    assert_refused(answer, 400, "invalid_request")
    assert answer.json["errors"].keys() == {field}


@pytest.mark.parametrize("field", ["user_id", "title", "file"])
async def test_a_missing_field_of_a_form_is_named(api: ApiClient, field: str) -> None:
    kind, body = form(some_details(), MARK.encode())
    without = body.replace(b'name="%b"' % field.encode(), b'name="tags"')
    answer = await api.post("/images", body=without, headers={"Content-Type": kind})
    assert_refused(answer, 400, "invalid_request")
    assert answer.json["errors"].keys() == {field}


async def test_everything_that_is_wrong_is_told_at_once(api: ApiClient) -> None:
    answer = await api.post("/images", {"title": "", "description": 7, "tags": [""], "filename": "a/b"})
    assert_refused(answer, 400, "invalid_request")
    assert answer.json["errors"].keys() == {"user_id", "title", "description", "tags", "filename", "image_data"}


@pytest.mark.parametrize("field", [MARK, "", "image_id", "s3_key", "__proto__", "User_id", "user_id ", "file"])
@ON_EACH_SKIN
async def test_an_unknown_field_is_refused(api: ApiClient, field: str) -> None:
    for value in (MARK, None, {}, []):
        answer = await api.upload(DATA, **{field: value})
        assert_refused(answer, 400, "invalid_request")
        assert answer.json["errors"].keys() == {"_unknown"}


@pytest.mark.parametrize("field", [MARK, "image_data", "image_id", "Title"])
async def test_an_unknown_field_of_a_form_is_refused(api: ApiClient, field: str) -> None:
    for fields in ([(field, MARK)], [(field, MARK), (field, MARK)]):
        answer = await api.upload_form([("user_id", "ada"), ("title", "T"), *fields])
        assert_refused(answer, 400, "invalid_request")
        assert answer.json["errors"].keys() == {"_unknown"}


@pytest.mark.parametrize("field", ["image", "picture", "files[]", "File", ""])
@pytest.mark.parametrize("data", [DATA, MARK.encode(), b"x" * 200_000], ids=["a picture", "text", "long"])
@ON_EACH_SKIN
async def test_a_file_in_another_field_is_told_which_is_expected(api: ApiClient, field: str, data: bytes) -> None:
    kind, body = form({"user_id": "ada", "title": "T"}, data)
    answer = await api.post(
        "/images", body=body.replace(b'name="file"', f'name="{field}"'.encode()), headers={"Content-Type": kind}
    )
    assert_refused(answer, 400, "invalid_request")
    assert answer.json["errors"].keys() == {"_unknown", "file"}
    assert "form field `file`" in answer.json["errors"]["file"][0]


async def test_a_file_without_a_filename_in_another_field_is_told_the_fields(api: ApiClient) -> None:
    kind, body = form({"user_id": "ada", "title": "T"}, DATA)
    other = body.replace(b'name="file"; filename="photo.jpg"', b'name="image"')
    answer = await api.post("/images", body=other, headers={"Content-Type": kind})
    assert_refused(answer, 400, "invalid_request")
    assert "file" in answer.json["errors"]["_unknown"][0]


async def test_a_picture_under_another_name_in_json_is_told_which_is_expected(api: ApiClient) -> None:
    answer = await api.post("/images", {**some_details(), "image": base64_of(b"x" * 200_000)})
    assert_refused(answer, 413, "too_large")
    assert "image_data" in answer.json["detail"]


@pytest.mark.parametrize("field", ["user_id", "title", "description", "filename"])
async def test_a_form_s_field_is_given_once(api: ApiClient, field: str) -> None:
    answer = await api.upload_form([*some_details(description="D").items(), (field, MARK)])
    assert_refused(answer, 400, "invalid_request")
    assert answer.json["errors"].keys() == {field}


BAD_FORMS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "nothing": lambda body, boundary: b"",
    "no form": lambda body, boundary: MARK.encode(),
    "another boundary": lambda body, boundary: body.replace(boundary, b"other"),
    "no end": lambda body, boundary: body.removesuffix(b"--\r\n"),
    "truncated in the file": lambda body, boundary: body[: body.index(DATA) + 100],
    "truncated in a header": lambda body, boundary: body[: body.index(b'name="title"') + 8],
    "no blank line": lambda body, boundary: body.replace(b"\r\n\r\n", b"\r\n"),
    "line feeds only": lambda body, boundary: body.replace(b"\r\n", b"\n"),
    "no disposition": lambda body, boundary: body.replace(b"Content-Disposition", b"X-" + MARK.encode()),
    "no name": lambda body, boundary: body.replace(b"name=", b"nome="),
    "bad UTF-8 in a field": lambda body, boundary: body.replace(b"ada", b"a\xffa" + MARK.encode()),
    "bad UTF-8 in a name": lambda body, boundary: body.replace(b'"title"', b'"\xff' + MARK.encode() + b'"'),
    "bad UTF-8 in a filename": lambda body, boundary: body.replace(b"photo.jpg", b"\xff.jpg"),
    "101 parts": lambda body, boundary: (
        b"--%b\r\nContent-Disposition: form-data; name=tags\r\n\r\na\r\n" % boundary
    ) * 101 + body,
    "a header of 100 KB": lambda body, boundary: body.replace(b"; name=", b"; a=" + b"x" * 100_000 + b"; name="),
}  # fmt: skip


@pytest.mark.parametrize("spoil", BAD_FORMS.values(), ids=BAD_FORMS.keys())
@ON_EACH_SKIN
async def test_a_form_that_is_not_well_formed_is_refused(
    api: ApiClient, user: str, spoil: Callable[[bytes, bytes], bytes]
) -> None:
    kind, body = form({"user_id": "ada", "title": "T", "description": user}, DATA)
    spoilt = spoil(body, kind.partition("=")[2].encode())
    answer = await api.post("/images", body=spoilt, headers={"Content-Type": kind})
    assert_refused(answer, 400, "invalid_request")


# ---------------------------------------------------------------- invalid_base64

GOOD = base64_of(picture(size=(40, 40), noise=True))
assert "/" in GOOD
assert "+" in GOOD
BAD_BASE64 = {
    "nothing": "",
    "text": f"{MARK}!",
    "padding only": "====",
    "no padding": "QUI",
    "half the padding": "QQ=",
    "too much padding": "QUJD=",
    "text after padding": "QQ==QUJD",
    "one letter": "Q",
    "loose bits": "QUJ=",
    "loose bits before two": "QR==",
    "a space": f"{GOOD[:40]} {GOOD[40:]}",
    "a line break": f"{GOOD[:76]}\n{GOOD[76:]}",
    "a last line break": f"{GOOD}\n",
    "a first space": f" {GOOD}",
    "the alphabet of URLs": GOOD.replace("+", "-").replace("/", "_"),
    "a full-width letter": "\uff21" + GOOD[1:],
    "a NUL": GOOD[:8] + "\0" + GOOD[8:],
    "a prefix only": "data:image/jpeg;base64,",
    "a prefix of text": f"data:text/plain;base64,{GOOD}",
    "a prefix without base64": f"data:image/jpeg,{GOOD}",
    "a prefix with a charset": f"data:image/jpeg;charset=utf-8;base64,{GOOD}",
    "a prefix twice": f"data:image/jpeg;base64,data:image/jpeg;base64,{GOOD}",
    "a prefix in the middle": f"{GOOD[:40]}data:image/jpeg;base64,{GOOD[40:]}",
    "a URL": f"https://example.com/{MARK}.jpg",
    "hexadecimal": base64.b16encode(DATA).decode() + "0",
}


@pytest.mark.parametrize("text", BAD_BASE64.values(), ids=BAD_BASE64.keys())
@ON_EACH_SKIN
async def test_what_is_not_strict_base64_is_refused(api: ApiClient, text: str) -> None:
    answer = await api.upload(image_data=text)
    assert_refused(answer, 400, "invalid_base64")
    assert answer.json["errors"].keys() == {"image_data"}


# ---------------------------------------------------------------- invalid_filename

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
BAD_FILENAMES = [
    f"../{MARK}.jpg", "..", ".", "/etc/passwd", f"{MARK}/a.jpg", "a.jpg/", "..\\a.jpg", "C:\\a.jpg", "\\\\host\\a",
    *[f"{MARK}{c}.jpg" for c in ("\0", "\r", "\n", "\r\nSet-Cookie: a=b\r\n", "\x1b[2J", "\x7f", "\x85", "\t")],
    *[f"{MARK}{c}gpj.exe" for c in BIDI],
    "CON", "con.jpg", "Prn.jpg", "AUX", "nul", "NUL.tar.gz", "com1.jpg", "COM9", "lpt1", "LPT¹.jpg", "com0.jpg",
]  # fmt: skip


@pytest.mark.parametrize("filename", BAD_FILENAMES)
@ON_EACH_SKIN
async def test_a_filename_that_could_do_harm_is_refused(api: ApiClient, filename: str) -> None:
    for answer in (await api.upload(DATA, filename=filename), await api.begin(DATA, filename=filename)):
        assert_refused(answer, 400, "invalid_filename")
        assert answer.json["errors"].keys() == {"filename"}


@pytest.mark.parametrize("filename", [f"../{MARK}.jpg", "a%0D%0Ab.jpg", "aux.jpg", f"{MARK}\u202e.jpg"])
async def test_a_form_s_filename_that_could_do_harm_is_refused(api: ApiClient, filename: str) -> None:
    answer = await api.upload_form({"user_id": "ada", "title": "T"}, filename=filename)
    assert_refused(answer, 400, "invalid_filename")


@pytest.mark.parametrize(
    "filename",
    ["UTF-8''%FF.jpg", "UTF-16''a.jpg", "photo.jpg", "''photo.jpg", '"', "UTF-8''a%2Fb.jpg", "UTF-8''%00"],
)
@ON_EACH_SKIN
async def test_an_encoded_filename_of_a_form_that_cannot_be_one_is_refused(api: ApiClient, filename: str) -> None:
    kind, body = form({"user_id": "ada", "title": "T"}, DATA)
    encoded = body.replace(b'filename="photo.jpg"', f"filename*={filename}".encode())
    answer = await api.post("/images", body=encoded, headers={"Content-Type": kind})
    assert_refused(answer, 400, "invalid_filename")
    assert answer.json["errors"].keys() == {"filename"}


async def test_a_quote_in_a_form_s_filename_is_fine(api: ApiClient) -> None:
    answer = await api.upload_form({"user_id": "ada", "title": "T"}, filename="a%22b.jpg")
    assert answer.json["metadata"]["filename"] == 'a"b.jpg'


# ---------------------------------------------------------------- invalid_tags


@pytest.mark.parametrize(
    "tags",
    [
        [f"{MARK}{n}" for n in range(21)],
        [MARK.ljust(51, "x")],
        [f"{MARK},b"],
        [","],
        [""],
        ["a", " "],
        ["\u3000"],
        [f"{MARK}\0"],
        ["a\nb"],
        ["x"] * 5 + [""],
    ],
)
@ON_EACH_SKIN
async def test_tags_that_cannot_be_tags_are_refused(api: ApiClient, tags: list[str]) -> None:
    for answer in (await api.upload(DATA, tags=tags), await api.begin(DATA, tags=tags)):
        assert_refused(answer, 400, "invalid_tags")
        assert answer.json["errors"].keys() == {"tags"}


async def test_a_form_s_tags_are_held_to_the_same(api: ApiClient) -> None:
    for tags in (",".join(f"{MARK}{n}" for n in range(21)), MARK.ljust(51, "x"), f"{MARK}\0"):
        answer = await api.upload_form({"user_id": "ada", "title": "T", "tags": tags})
        assert_refused(answer, 400, "invalid_tags")


# ---------------------------------------------------------------- invalid_parameter (lists: test_listing.py)

ROUTES = [
    ("POST", "/images"), ("GET", "/images"), ("GET", f"/images/{ID}"), ("PATCH", f"/images/{ID}"),
    ("DELETE", f"/images/{ID}"), ("POST", "/uploads"), ("GET", f"/uploads/{ID}"), ("DELETE", f"/uploads/{ID}"),
    ("POST", f"/uploads/{ID}/sign"), ("POST", f"/uploads/{ID}/complete"), ("GET", "/health"),
    ("GET", "/health/ready"), ("GET", "/openapi.json"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "query", [f"{MARK}=1", f"a=1&a={MARK}", "=", "metadata_onl=true", "user%5Fid%00=x", "%FF=1"]
)
@ON_EACH_SKIN
async def test_no_route_takes_unknown_parameters(api: ApiClient, method: str, path: str, query: str) -> None:
    assert_refused(await api.request(method, f"{path}?{query}"), 400, "invalid_parameter")


async def test_a_url_that_is_far_too_long_is_refused(api: ApiClient) -> None:
    answer = await api.send("GET", f"{api.base_url}/images?title={MARK * 2_000}", {}, b"")
    assert answer.status in {400, 414}
    assert MARK.encode() not in answer.body


@pytest.mark.parametrize("name", ["metadata_only", "download"])
async def test_a_flag_is_given_once(api: ApiClient, name: str) -> None:
    answer = await api.get(f"/images/{ID}", params=[(name, "true"), (name, "true")])
    assert_refused(answer, 400, "invalid_parameter")


# ---------------------------------------------------------------- type_mismatch


@pytest.mark.parametrize("kind", ["image/png", "image/gif", "image/webp", "image/avif", "image/svg+xml"])
async def test_a_declared_type_that_disagrees_with_the_bytes_is_refused(api: ApiClient, kind: str) -> None:
    prefixed = await api.upload(image_data=f"data:{kind};base64,{base64_of(DATA)}")
    assert_refused(prefixed, 400, "type_mismatch")
    assert_refused(await api.upload_form({"user_id": "ada", "title": "T"}, kind=kind), 400, "type_mismatch")


@pytest.mark.parametrize("kind", ["text/html", "application/pdf"])
async def test_a_form_s_file_of_another_type_is_refused(api: ApiClient, kind: str) -> None:
    assert_refused(await api.upload_form({"user_id": "ada", "title": "T"}, kind=kind), 400, "type_mismatch")


# ---------------------------------------------------------------- 404

NO_IDS = [
    "1", MARK, "null", "..", "%2e%2e", "a%2Fb", "%00", "%0a", "%FF", "%ED%A0%80", "'", "%27%20OR%201=1",
    "{image_id}", "%7Bimage_id%7D", ":id", "é".encode().hex(), "00000000-0000-0000-0000-00000000000g", ID[:-1],
    ID + "0", ID.replace("-", ""), f"%7B{ID}%7D", f"urn:uuid:{ID}", f"{ID}%20", f"{ID}%0A", "0" * 2_000, "batch",
]  # fmt: skip


@pytest.mark.parametrize("image_id", [ID, *NO_IDS])
async def test_what_is_no_known_id_is_not_found(api: ApiClient, image_id: str) -> None:
    for method, path in (
        ("GET", f"/images/{image_id}"),
        ("HEAD", f"/images/{image_id}"),
        ("GET", f"/uploads/{image_id}"),
        ("POST", f"/uploads/{image_id}/complete"),
        ("POST", f"/uploads/{image_id}/sign"),
        ("DELETE", f"/uploads/{image_id}"),
    ):
        answer = await api.request(method, path)
        if method == "HEAD":
            assert (answer.status, answer.body) == (404, b"")
        else:
            assert_refused(answer, 404, "not_found")


@pytest.mark.parametrize(
    "path",
    [
        f"/{MARK}", "/image", "/IMAGES", "/images/", "//images", "/images//", "/images/x/y", "/uploads/",
        f"/images/{ID}/", f"/uploads/{ID}/complete/", f"/uploads/{ID}/{MARK}", "/health/", "/health/live", "/.env",
        "/images%2F", "/%69mages/x", "/images;a=b", "/a%0Ab", "/%00", "/%FF", "/openapi.yaml",
    ],
)  # fmt: skip
@ON_EACH_SKIN
async def test_an_unknown_path_is_not_found(api: ApiClient, path: str) -> None:
    assert_refused(await api.get(path), 404, "not_found")


# ---------------------------------------------------------------- 413, 415


async def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(api: ApiClient) -> None:
    for kind in ("application/json", 'multipart/form-data; boundary="b"'):
        for path in ("/images", "/uploads"):
            if path == "/images" or kind == "application/json":
                headers = {"Content-Type": kind, "Content-Length": "99000000000", "Expect": "100-continue"}
                answer = await api.send("POST", api.base_url + path, headers, b"")
                assert_refused(answer, 413, "too_large")


async def test_text_beside_the_picture_is_limited(api: ApiClient) -> None:
    long = MARK * 100_000
    assert_refused(await api.upload(DATA, description=long), 413, "too_large")
    assert_refused(await api.upload_form({"user_id": "ada", "title": "T", "description": long}), 413, "too_large")
    assert_refused(await api.post("/uploads", some_details(description=long)), 413, "too_large")
    assert_refused(await api.patch(f"/images/{ID}", {"user_id": "ada", "title": long}), 413, "too_large")
    assert_refused(await api.delete(f"/images/{ID}", {"user_id": long}), 413, "too_large")


async def test_a_picture_over_the_limit_is_refused_in_every_way(start: Start, tmp_path: Path) -> None:
    async with start(tmp_path, max_image_bytes=len(DATA)) as api:
        for over in (1, 1_000, 500_000):
            large = DATA + b"\0" * over
            assert_refused(await api.upload(large), 413, "too_large")
            assert_refused(await api.upload_form({"user_id": "ada", "title": "T"}, large), 413, "too_large")
            assert_refused(await api.begin(large), 413, "too_large")
        assert (await api.page())["images"] == []


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain", "application/xml", "application/x-www-form-urlencoded", "image/jpeg",
        "application/octet-stream", "application/jsonx", "json", MARK, "/", ";", "application/json; charset=utf-16",
        "application/json; charset=klingon", 'application/json; charset="latin1"',
        "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=b",
    ],
)  # fmt: skip
@ON_EACH_SKIN
async def test_a_body_that_is_neither_json_nor_a_form_is_refused(api: ApiClient, content_type: str) -> None:
    answer = await api.post("/images", body=document(), headers={"Content-Type": content_type})
    assert_refused(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset*=utf-8''utf-16", "application/json;=;", "application/json; charset*0*1=x",
        "application/json; charset=é", "multipart/form-data; boundary*=utf-8''b", "multipart/form-data; boundary==",
        'multipart/form-data; boundary="é"', f"multipart/form-data; boundary={'b' * 5_000}",
    ],
)  # fmt: skip
async def test_a_strange_content_type_does_no_harm(api: ApiClient, content_type: str) -> None:
    answer = await api.post("/images", body=b"[]", headers={"Content-Type": content_type})
    assert answer.outcome in {(400, "invalid_request"), (415, "unsupported_media_type")}


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=b", "image/jpeg"])
async def test_only_a_picture_comes_as_a_form(api: ApiClient, content_type: str) -> None:
    for method, path in (("POST", "/uploads"), ("PATCH", f"/images/{ID}"), ("DELETE", f"/images/{ID}")):
        answer = await api.request(method, path, body=b"{}", headers={"Content-Type": content_type})
        assert_refused(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("body", [b"not gzip", gzip.compress(document()), b""], ids=["bogus", "gzip", "empty"])
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", MARK, "identity, gzip"])
@ON_EACH_SKIN
async def test_a_content_coding_is_refused(api: ApiClient, body: bytes, coding: str) -> None:
    for path in ("/images", "/uploads"):
        answer = await api.post(path, body=body, headers={**JSON, "Content-Encoding": coding})
        assert_refused(answer, 415, "unsupported_media_type")


async def test_identity_is_no_content_coding(api: ApiClient) -> None:
    answer = await api.post("/images", body=document(), headers={**JSON, "Content-Encoding": "identity"})
    assert answer.status == 201


# ---------------------------------------------------------------- unsupported_image


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.jpg", DATA)
    return file.getvalue()


NO_IMAGES = {
    "text": lambda: MARK.encode() * 10,
    "one byte": lambda: b"\xff",
    "zeros": lambda: b"\0" * 1_000,
    "HTML": lambda: b"<!DOCTYPE html><html><script>alert(1)</script></html>",
    "SVG": lambda: b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>",
    "PDF": lambda: b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
    "PostScript": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n",
    "ZIP": zipped,
    "ZIP with a JPEG before it, cut": lambda: zipped() + DATA,
    "TIFF": partial(picture, "TIFF"),
    "BMP": partial(picture, "BMP"),
    "ICO": partial(picture, "ICO", (16, 16)),
    "JPEG 2000": lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 200,
    "PPM": partial(picture, "PPM"),
    "an executable": lambda: b"MZ" + b"\0" * 200,
    "WAV in RIFF": lambda: b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 100,
    "MP4": lambda: b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 200,
    "HEIC": lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 200,
    "a picture after a byte": lambda: b" " + DATA,
    "base64 of a picture": lambda: base64_of(DATA).encode(),
}


@pytest.mark.parametrize("make", NO_IMAGES.values(), ids=NO_IMAGES.keys())
@pytest.mark.parametrize("filename", ["picture", "picture.jpg"])
async def test_bytes_that_are_no_picture_of_ours_are_refused(
    api: ApiClient, user: str, make: Callable[[], bytes], filename: str
) -> None:
    data = make()
    assert_refused(await api.upload(data, user_id=user, filename=filename), 415, "unsupported_image")
    fields = {"user_id": user, "title": "T", "filename": filename}
    assert_refused(await api.upload_form(fields, data, kind="application/octet-stream"), 415, "unsupported_image")
    assert await api.walk(user_id=user) == []


async def test_an_empty_file_is_refused(api: ApiClient) -> None:
    answer = await api.upload_form({"user_id": "ada", "title": "T"}, b"")
    assert_refused(answer, 415, "unsupported_image")


# ---------------------------------------------------------------- invalid_image


def png(width: int, height: int, pixels: bytes = b"") -> bytes:
    """Return a greyscale PNG of one bit a pixel, whose header may say what it likes."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels, 9)) + chunk(b"IEND", b"")


def bad_crc() -> bytes:
    data = bytearray(picture("PNG", (40, 30), noise=True))
    data[data.index(b"IDAT") + 100] ^= 1
    return bytes(data)


def cut(kind: str) -> bytes:
    data = picture(kind, (64, 48), noise=True)
    return data[: len(data) * 2 // 3]


INVALID = {
    **{f"a truncated {kind}": partial(cut, kind) for kind in ("JPEG", "PNG", "GIF", "WEBP", "AVIF")},
    "a PNG without its last pixels": lambda: picture("PNG", noise=True)[:-30],
    "half of a JPEG, with its end": lambda: cut("JPEG") + b"\xff\xd9",
    "a PNG with a bad CRC": bad_crc,
    "only a signature of JPEG": lambda: DATA[:3],
    "only a signature of PNG": lambda: b"\x89PNG\r\n\x1a\n",
    "only a signature of GIF": lambda: b"GIF89a",
    "no width": lambda: png(0, 10),
    "no height": lambda: png(10, 0),
    "nothing in it": lambda: png(10, 10),
    "a header of 4 billion pixels": lambda: png(65_535, 65_535),
    "a bomb of 100 megapixels in 12 KB": lambda: png(10_000, 10_000, b"\0" * (10_000 * 1_251)),
    "a bomb of one line": lambda: png(2**31 - 1, 1),
}


@pytest.mark.parametrize("make", INVALID.values(), ids=INVALID.keys())
async def test_a_picture_that_does_not_decode_whole_is_refused(
    api: ApiClient, user: str, make: Callable[[], bytes]
) -> None:
    data = make()
    assert_refused(await api.upload(data, user_id=user, filename="picture"), 422, "invalid_image")
    fields = {"user_id": user, "title": "T", "filename": "picture"}
    assert_refused(await api.upload_form(fields, data, kind="application/octet-stream"), 422, "invalid_image")
    assert await api.walk(user_id=user) == []


async def test_each_frame_may_have_as_many_pixels_as_a_picture(start: Start, tmp_path: Path) -> None:
    animations = {f"a.{kind.lower()}": animation(kind) for kind in ("GIF", "PNG", "WEBP", "AVIF")}
    async with start(tmp_path / "enough", max_pixels=5_000) as api:
        for filename, data in animations.items():
            assert (await api.upload(data, filename=filename)).status == 201, filename
    async with start(tmp_path / "less", max_pixels=4_999) as api:
        for filename, data in animations.items():
            assert_refused(await api.upload(data, filename=filename), 422, "invalid_image")


def animation(kind: str) -> bytes:
    """Return an animation of four frames of 5,000 pixels each."""
    frames = [Image.new("RGB", (100, 50), (60 * n, 0, 0)) for n in range(4)]
    file = io.BytesIO()
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=100)
    return file.getvalue()


async def test_a_picture_of_exactly_the_most_pixels_is_taken(start: Start, tmp_path: Path) -> None:
    async with start(tmp_path, max_pixels=100 * 40) as api:
        assert (await api.upload(picture(size=(100, 40)))).status == 201
        assert_refused(await api.upload(picture(size=(41, 100))), 422, "invalid_image")


# ---------------------------------------------------------------- problems themselves


async def test_a_problem_is_problem_details(api: ApiClient) -> None:
    answer = await api.get("/images", params={"limit": MARK}, headers={"X-Request-ID": "a-1"})
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    problem = json.loads(answer.body)
    assert problem.keys() == {"type", "title", "status", "detail", "code", "request_id", "errors"}
    assert (problem["status"], problem["code"], problem["request_id"]) == (400, "invalid_parameter", "a-1")
    assert problem["errors"].keys() == {"limit"}
    assert all(isinstance(each, str) for messages in problem["errors"].values() for each in messages)


async def test_a_refused_request_leaves_the_connection_and_the_service_in_order(api: ApiClient, user: str) -> None:
    for data in (b"text", DATA[:-9], b""):
        await api.upload(data, user_id=user)
    assert (await api.upload(DATA, user_id=user)).status == 201
    assert len(await api.walk(user_id=user)) == 1
