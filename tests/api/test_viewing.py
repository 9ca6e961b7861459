"""Looking at an image, and getting its bytes."""

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import ApiClient
from tests.api.conftest import Start, until
from tests.pictures import picture, sha256_of

DATA = picture(size=(64, 48), seed=5)
SIZE = len(DATA)
ETAG = f'"{sha256_of(DATA)}"'


@pytest.fixture(scope="session")
async def image(api: ApiClient) -> Mapping[str, Any]:
    """Return the metadata of an image that no test changes."""
    return await api.uploaded(DATA, filename="naïve “photo”.jpg", tags=["a"], description="In June")


# ---------------------------------------------------------------- the document


async def test_an_image_is_its_metadata_its_link_and_its_bytes(api: ApiClient, image: Mapping[str, Any]) -> None:
    answer = await api.get(f"/images/{image['image_id']}")
    assert answer.status == 200
    assert answer.json.keys() - {"variants"} == {"image_id", "metadata", "url", "url_expires_at", "image_data"}
    assert (answer.json["image_id"], answer.json["metadata"]) == (image["image_id"], image)
    assert base64.b64decode(answer.json["image_data"], validate=True) == DATA


@pytest.mark.parametrize("flag", ["true", "1", "TRUE"])
async def test_metadata_only_leaves_the_bytes_out(api: ApiClient, image: Mapping[str, Any], flag: str) -> None:
    path = f"/images/{image['image_id']}"
    whole = (await api.get(path, params={"metadata_only": "false"})).json
    only = (await api.get(path, params={"metadata_only": flag})).json
    assert whole.keys() - only.keys() == {"image_data"}
    assert {**whole, **only} == whole


async def test_the_link_gives_the_bytes_to_anyone_who_has_it(api: ApiClient, image: Mapping[str, Any]) -> None:
    url = (await api.get(f"/images/{image['image_id']}")).json["url"]
    fetched = await api.fetch(url)
    assert (fetched.status, fetched.body) == (200, DATA)
    assert fetched.headers["Content-Type"] == "image/jpeg"
    assert fetched.headers["Content-Disposition"].startswith("inline;")
    part = await api.fetch(url, headers={"Range": "bytes=10-19"})
    assert (part.status, part.body) == (206, DATA[10:20])
    again = await api.fetch(url, headers={"If-None-Match": fetched.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


async def test_the_link_is_the_same_whenever_and_wherever_it_is_read(
    api: ApiClient, image: Mapping[str, Any]
) -> None:
    path = f"/images/{image['image_id']}"
    links = {(view["url"], view["url_expires_at"]) for view in [(await api.get(path)).json for _ in range(3)]}
    listed = await api.page(user_id=image["user_id"], date_from=image["created_at"], date_to=image["created_at"])
    links |= {(each["url"], each["url_expires_at"]) for each in listed["images"]}
    assert len(links) == 1


async def test_the_link_stays_the_same_as_time_goes_by(api: ApiClient, image: Mapping[str, Any]) -> None:
    path = f"/images/{image['image_id']}?metadata_only=true"
    same = []
    for _ in range(2):  # a window may end between the two reads, but not twice in a row
        before = (await api.get(path)).json
        await until((datetime.now(UTC) + timedelta(seconds=1)).isoformat())
        same.append((await api.get(path)).json == before)
        if same[-1]:
            break
    assert same[-1]


async def test_the_link_works_for_at_least_a_whole_window_more(api: ApiClient, image: Mapping[str, Any]) -> None:
    view = (await api.get(f"/images/{image['image_id']}")).json
    left = datetime.fromisoformat(view["url_expires_at"]) - datetime.now(UTC)
    assert 3600 <= left.total_seconds() <= 7200


async def test_an_expired_link_gives_nothing_and_the_next_one_works(start: Start, tmp_path: Path) -> None:
    async with start(tmp_path, url_ttl=2) as api:
        path = f"/images/{(await api.uploaded(DATA))['image_id']}"
        view = (await api.get(path)).json
        assert (await api.fetch(view["url"])).body == DATA
        await until(view["url_expires_at"])
        expired = await api.fetch(view["url"])
        assert 400 <= expired.status < 500
        assert DATA not in expired.body
        assert (await api.fetch((await api.get(path)).json["url"])).body == DATA


async def test_an_altered_link_gives_nothing(api: ApiClient, image: Mapping[str, Any]) -> None:
    other = await api.uploaded(picture(seed=6))
    url, other_url = [(await api.get(f"/images/{each['image_id']}")).json["url"] for each in (image, other)]
    place, query = url.split("?")
    altered = [place, url + "1", url + "&more=1", f"{other_url.split('?')[0]}?{query}", f"{place}x?{query}"]
    altered += [re.sub(rf"([?&]{name}=)[^&]", r"\1~", url) for name in re.findall(r"[?&]([^=&]+)=", url)]
    altered += [url.replace("image%2Fjpeg", "text%2Fhtml")] if "image%2Fjpeg" in url else []
    assert len(altered) >= 7
    for each in altered:
        answer = await api.fetch(each)
        assert 400 <= answer.status < 500, each
        assert DATA not in answer.body


# ---------------------------------------------------------------- downloads


async def test_a_download_is_the_very_bytes(api: ApiClient, image: Mapping[str, Any]) -> None:
    answer = await api.download(image["image_id"])
    assert (answer.status, answer.body) == (200, DATA)
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Content-Length"] == str(SIZE)
    assert answer.headers["ETag"] == ETAG
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "no-cache" in answer.headers["Cache-Control"]  # it may be deleted
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("filename", "plain"),
    [
        ("photo.jpg", "photo.jpg"),
        ("my photo.jpg", "my photo.jpg"),
        ('"quoted"; x=y.jpg', None),
        ("100%41.jpg", None),
        ("naïve.jpg", None),
        ("写真 🏳️‍🌈.jpg", None),
        ("it's, (a) photo*.jpg", "it's, (a) photo*.jpg"),
    ],
)
async def test_the_filename_comes_back_safely(api: ApiClient, filename: str, plain: str | None) -> None:
    image = await api.uploaded(filename=filename)
    value = (await api.download(image["image_id"])).headers["Content-Disposition"]
    assert value.isascii()
    assert value.isprintable()
    kind, old, new = re.fullmatch(r"(\w+); filename=\"([^\"\\]*)\"; filename\*=(\S+)", value).groups()  # type: ignore[union-attr]
    assert kind == "attachment"
    assert plain in {None, old}
    message = Message()
    message["Content-Disposition"] = f"attachment; filename*={new}"
    assert message.get_filename() == filename


@pytest.mark.parametrize(
    ("asked", "first", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-9", 0, 10),
        ("bytes=10-19", 10, 20),
        ("bytes=10-", 10, SIZE),
        ("bytes=-7", SIZE - 7, SIZE),
        (f"bytes=-{SIZE * 2}", 0, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        (f"bytes=5-{SIZE * 9}", 5, SIZE),
        (f"bytes=0-{SIZE - 1}", 0, SIZE),
        (f"bytes=5-{'9' * 18}", 5, SIZE),
    ],
)
async def test_a_range_gives_that_part(
    api: ApiClient, image: Mapping[str, Any], asked: str, first: int, stop: int
) -> None:
    answer = await api.download(image["image_id"], Range=asked)
    assert (answer.status, answer.body) == (206, DATA[first:stop])
    assert answer.headers["Content-Range"] == f"bytes {first}-{stop - 1}/{SIZE}"
    assert answer.headers["Content-Length"] == str(stop - first)
    assert answer.headers["ETag"] == ETAG
    assert answer.headers["Content-Type"] == "image/jpeg"


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE * 2}-{SIZE * 3}", "bytes=-0"])
async def test_a_range_that_lies_outside_is_told_the_size(
    api: ApiClient, image: Mapping[str, Any], asked: str
) -> None:
    answer = await api.download(image["image_id"], Range=asked)
    assert answer.outcome == (416, "range_not_satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=9-5", "bytes=-", "bytes=", "bytes", "bytes=a-b", "bytes=0-4,6-9", "lines=0-9", "0-9", "bytes=--5",
        "bytes=0x1-5", "bytes=1.5-9", f"bytes={'9' * 5_000}-", f"bytes=0-{'9' * 5_000}", f"bytes=-{'9' * 5_000}",
    ],
)  # fmt: skip
async def test_a_range_that_cannot_be_read_is_as_if_it_were_not_there(
    api: ApiClient, image: Mapping[str, Any], asked: str
) -> None:
    answer = await api.download(image["image_id"], Range=asked)
    assert (answer.status, answer.body) == (200, DATA)


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (ETAG, 206),
        ('"other"', 200),
        (f"W/{ETAG}", 200),
        (ETAG.strip('"'), 200),
        ("Wed, 01 Jan 2020 00:00:00 GMT", 200),
    ],
)
async def test_if_range_gives_the_part_only_of_the_same_bytes(
    api: ApiClient, image: Mapping[str, Any], condition: str, status: int
) -> None:
    answer = await api.download(image["image_id"], Range="bytes=1-3", If_Range=condition)
    assert (answer.status, answer.body) == (status, DATA[1:4] if status == 206 else DATA)


async def test_if_range_that_does_not_hold_makes_no_range_wrong(api: ApiClient, image: Mapping[str, Any]) -> None:
    answer = await api.download(image["image_id"], Range=f"bytes={SIZE}-", If_Range='"other"')
    assert (answer.status, answer.body) == (200, DATA)


@pytest.mark.parametrize("condition", [ETAG, f"W/{ETAG}", "*", f'"other", {ETAG}', f'{ETAG},"other"', f" {ETAG} "])
async def test_bytes_that_the_client_has_are_not_sent_again(
    api: ApiClient, image: Mapping[str, Any], condition: str
) -> None:
    for headers in ({"If_None_Match": condition}, {"If_None_Match": condition, "Range": "bytes=0-3"}):
        answer = await api.download(image["image_id"], **headers)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["ETag"] == ETAG
        assert answer.headers.get("Content-Length", str(SIZE)) == str(SIZE)


@pytest.mark.parametrize("condition", ['"other"', ETAG.strip('"'), ETAG.upper(), "", '"', "**"])
async def test_other_bytes_than_the_client_has_are_sent(
    api: ApiClient, image: Mapping[str, Any], condition: str
) -> None:
    answer = await api.download(image["image_id"], If_None_Match=condition)
    assert (answer.status, answer.body) == (200, DATA)


@pytest.mark.parametrize("condition", [ETAG, "*", f'"other", {ETAG}', f" {ETAG} "])
async def test_if_match_that_holds_changes_nothing(
    api: ApiClient, image: Mapping[str, Any], condition: str
) -> None:
    assert (await api.download(image["image_id"], If_Match=condition)).body == DATA
    part = await api.download(image["image_id"], If_Match=condition, Range="bytes=0-3")
    assert (part.status, part.body) == (206, DATA[:4])
    assert (await api.download(image["image_id"], If_Match=condition, If_None_Match=ETAG)).status == 304


@pytest.mark.parametrize("condition", ['"other"', f"W/{ETAG}", ETAG.strip('"'), "", f'W/{ETAG}, "other"'])
async def test_if_match_that_does_not_hold_comes_before_every_other_condition(
    api: ApiClient, image: Mapping[str, Any], condition: str
) -> None:
    for headers in ({}, {"If_None_Match": ETAG}, {"Range": f"bytes={SIZE}-"}, {"If_None_Match": "*"}):
        answer = await api.download(image["image_id"], If_Match=condition, **headers)
        assert answer.outcome == (412, "precondition_failed")


async def test_a_link_heeds_if_match_too(api: ApiClient, image: Mapping[str, Any]) -> None:
    url = (await api.get(f"/images/{image['image_id']}")).json["url"]
    etag = (await api.fetch(url)).headers["ETag"]
    assert (await api.fetch(url, headers={"If-Match": etag})).body == DATA
    for method in ("GET", "HEAD"):
        assert (await api.fetch(url, method, {"If-Match": '"other"'})).status in {412, 403}


# ---------------------------------------------------------------- the metadata's ETag


@pytest.mark.parametrize("query", ["", "?metadata_only=true"])
async def test_a_view_that_the_client_has_is_not_sent_again(
    api: ApiClient, image: Mapping[str, Any], query: str
) -> None:
    path = f"/images/{image['image_id']}{query}"
    seen = await api.get(path)
    assert "no-cache" in seen.headers["Cache-Control"]
    for condition in (seen.headers["ETag"], f"W/{seen.headers['ETag']}", f'"other", {seen.headers["ETag"]}', "*"):
        for method in ("GET", "HEAD"):
            again = await api.request(method, path, headers={"If-None-Match": condition})
            assert (again.status, again.body, again.headers["ETag"]) == (304, b"", seen.headers["ETag"])
    other = await api.get(path, headers={"If-None-Match": '"other"'})
    assert (other.status, other.json) == (200, seen.json)


async def test_a_view_is_another_once_anything_in_it_is(start: Start, tmp_path: Path, user: str) -> None:
    async with start(tmp_path, url_ttl=1) as client:
        image = await client.uploaded(user_id=user)
        path = f"/images/{image['image_id']}?metadata_only=true"
        seen = await client.get(path)
        await until(seen.json["url_expires_at"])
        later = await client.get(path, headers={"If-None-Match": seen.headers["ETag"]})
        assert later.status == 200
        assert later.json["url"] != seen.json["url"]
        assert later.headers["ETag"] != seen.headers["ETag"]
        # The links are others, the image is the same: it may be changed by either ETag.
        for etag, title in ((seen.headers["ETag"], "One"), (later.headers["ETag"], "Two")):
            edited = await client.patch(
                path.partition("?")[0], {"user_id": user, "title": title}, headers={"If-Match": etag}
            )
            assert edited.status == (200 if title == "One" else 412)
        assert (await client.get(path, headers={"If-None-Match": later.headers["ETag"]})).json["metadata"][
            "title"
        ] == "One"


async def test_a_view_may_be_wanted_as_it_was(api: ApiClient, user: str) -> None:
    image = await api.uploaded(user_id=user)
    path = f"/images/{image['image_id']}"
    etag = (await api.get(path)).headers["ETag"]
    assert (await api.get(path, headers={"If-Match": etag})).status == 200
    edited = await api.patch(path, {"user_id": user, "title": "After"}, headers={"If-Match": etag})
    assert (await api.get(path, headers={"If-Match": etag})).outcome == (412, "precondition_failed")
    assert (await api.get(path, headers={"If-Match": edited.headers["ETag"]})).status == 200


async def test_what_was_changed_since_is_not_deleted(api: ApiClient, user: str) -> None:
    image = await api.uploaded(user_id=user)
    path = f"/images/{image['image_id']}"
    seen = (await api.get(path)).headers["ETag"]
    await api.patch(path, {"user_id": user, "title": "After"})
    refused = await api.delete(path, {"user_id": user}, headers={"If-Match": seen})
    assert refused.outcome == (412, "precondition_failed")
    assert (await api.delete(path, {"user_id": "eve"}, headers={"If-Match": seen})).outcome == (403, "forbidden")
    current = (await api.get(path)).headers["ETag"]
    assert (await api.delete(path, {"user_id": user}, headers={"If-Match": current})).status == 200
    again = await api.delete(path, {"user_id": user}, headers={"If-Match": current})
    assert again.outcome == (404, "not_found")


async def test_download_wins_over_metadata_only(api: ApiClient, image: Mapping[str, Any]) -> None:
    answer = await api.get(f"/images/{image['image_id']}", params={"download": "true", "metadata_only": "true"})
    assert answer.body == DATA


@pytest.mark.parametrize("name", ["metadata_only", "download"])
@pytest.mark.parametrize("value", ["", "maybe", "2", "null", "tru e"])
async def test_a_flag_is_true_or_false(api: ApiClient, image: Mapping[str, Any], name: str, value: str) -> None:
    answer = await api.get(f"/images/{image['image_id']}", params={name: value})
    assert answer.outcome == (400, "invalid_parameter")
    assert answer.json["errors"].keys() == {name}


# ---------------------------------------------------------------- HEAD


@pytest.mark.parametrize(
    "path",
    [
        "/images/{image_id}", "/images/{image_id}?metadata_only=true", "/images/{image_id}?download=true",
        "/images?limit=1&user_id=nobody", "/uploads/{image_id}", "/health", "/health/ready", "/openapi.json",
        "/images/00000000-0000-7000-8000-000000000000", "/images?limit=0", "/nowhere",
    ],
)  # fmt: skip
async def test_head_is_get_without_the_body(api: ApiClient, image: Mapping[str, Any], path: str) -> None:
    path = path.format(image_id=image["image_id"])
    request_id = {"X-Request-ID": "the-same-for-both"}
    get, head = [await api.request(method, path, headers=request_id) for method in ("GET", "HEAD")]
    assert (head.status, head.body) == (get.status, b"")
    assert int(get.headers["Content-Length"]) == len(get.body) > 0
    passing = {"Date", "Connection"}  # of this moment, and of this connection
    one, other = (
        {name: value for name, value in each.headers.items() if name not in passing} for each in (get, head)
    )
    assert one == other


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Range": "bytes=0-9"}, 206),
        ({"Range": f"bytes={SIZE}-"}, 416),
        ({"If_None_Match": ETAG}, 304),
        ({"If_Match": '"other"'}, 412),
    ],
)
async def test_head_of_a_download_answers_as_get_does(
    api: ApiClient, image: Mapping[str, Any], headers: dict[str, str], status: int
) -> None:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"/images/{image['image_id']}?download=true"
    get, head = [await api.request(method, path, headers=sent) for method in ("GET", "HEAD")]
    assert (get.status, head.status, head.body) == (status, status, b"")
    for name in ("ETag", "Content-Range", "Content-Length", "Content-Type"):
        assert head.headers.get(name) == get.headers.get(name)


# ---------------------------------------------------------------- what is not there


async def test_a_pending_upload_is_no_image(api: ApiClient) -> None:
    begun = await api.begun(DATA)
    for query in ("", "?metadata_only=true", "?download=true"):
        assert (await api.get(f"/images/{begun['image_id']}{query}")).outcome == (404, "not_found")
