"""Direct uploads: ask for a link, send the bytes straight to storage, say that they are there."""

import asyncio
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pytest

from tests.api.client import Answer, ApiClient, form, some_details
from tests.api.conftest import Start, server_on_local, until
from tests.pictures import picture, sha256_of

DATA = picture(size=(64, 48), seed=1)
OTHER = picture(size=(64, 48), seed=2)
OTHER_SHA256 = DATA[:-3] + bytes([DATA[-3] ^ 1]) + DATA[-2:]  # another picture of the same length
METHODS = pytest.mark.parametrize("method", ["PUT", "POST"])


async def state(api: ApiClient, begun: Mapping[str, Any]) -> str:
    """Return how far an upload is."""
    answer = await api.get(f"/uploads/{begun['image_id']}")
    assert answer.status == 200, answer.body
    return str(answer.json["status"])


def refused(answer: Answer) -> bool:
    """Tell whether a link refused what was sent; S3 and the local storage differ in how."""
    return 400 <= answer.status < 500


async def assert_nothing_arrived(api: ApiClient, begun: Mapping[str, Any]) -> None:
    """Fail if there are bytes to complete, or if the link no longer takes those it was made for."""
    assert (await api.complete(begun["image_id"])).outcome == (409, "upload_missing")
    assert (await api.transfer(begun["upload"], DATA)).status in {200, 204}
    completed = await api.complete(begun["image_id"])
    assert completed.json["metadata"]["sha256"] == sha256_of(DATA)


# ---------------------------------------------------------------- begin, send, complete, download


@METHODS
async def test_the_bytes_that_are_sent_become_the_image(api: ApiClient, user: str, method: str) -> None:
    details = {"user_id": user, "title": "At the lake", "description": "In June", "tags": ["a", "b"]}
    answer = await api.begin(DATA, **details, filename="lake.jpg", method=method)
    begun = answer.json
    image_id, upload = begun["image_id"], begun["upload"]
    assert answer.status == 201
    assert begun.keys() == {"image_id", "status", "upload", "complete_url"}
    assert upload.keys() == {"method", "url", "headers", "fields", "expires_at"}
    assert (begun["status"], upload["method"]) == ("pending", method)
    assert uuid.UUID(image_id).version == 7
    assert answer.headers["Location"] == f"{api.base_url}/uploads/{image_id}"
    assert begun["complete_url"] == f"{api.base_url}/uploads/{image_id}/complete"
    assert (upload["headers"] == {}, upload["fields"] == {}) == (method == "POST", method == "PUT")

    assert await state(api, begun) == "pending"
    assert (await api.transfer(upload, DATA)).status in {200, 204}
    assert await state(api, begun) == "pending"
    assert (await api.get(f"/images/{image_id}")).outcome == (404, "not_found")
    assert await api.walk(user_id=user) == []

    completed = await api.complete(image_id)
    metadata = completed.json["metadata"]
    assert (completed.status, completed.json["message"]) == (200, "Image uploaded successfully")
    assert completed.json.keys() == {"message", "image_id", "metadata"}
    assert {name: metadata[name] for name in details} == details
    assert (metadata["filename"], metadata["content_type"]) == ("lake.jpg", "image/jpeg")
    assert (metadata["file_size"], metadata["sha256"]) == (len(DATA), sha256_of(DATA))
    assert (metadata["width"], metadata["height"]) == (64, 48)
    assert await state(api, begun) == "ready"
    assert (await api.get(f"/images/{image_id}")).json["metadata"] == metadata
    assert [each["image_id"] for each in await api.walk(user_id=user)] == [image_id]
    assert (await api.download(image_id)).body == DATA


@METHODS
async def test_a_sha256_that_agrees_is_fine(api: ApiClient, method: str) -> None:
    begun = await api.begun(DATA, method=method, sha256=sha256_of(DATA))
    assert (await api.transfer(begun["upload"], DATA)).status in {200, 204}
    assert (await api.complete(begun["image_id"])).json["metadata"]["sha256"] == sha256_of(DATA)


async def test_a_form_post_needs_no_size(api: ApiClient) -> None:
    declared = {"content_type": "image/jpeg", "method": "POST"}
    begun = (await api.post("/uploads", {**some_details(), **declared})).json
    assert (await api.transfer(begun["upload"], DATA)).status in {200, 204}
    assert (await api.complete(begun["image_id"])).status == 200


async def test_an_upload_s_state_tells_the_image_s_link_once_it_is_ready(api: ApiClient) -> None:
    begun = await api.begun(DATA)
    path = f"/uploads/{begun['image_id']}"
    before = (await api.get(path)).json
    assert (before["image_url"], before["failure"]) == (None, None)
    assert before["expires_at"] == begun["upload"]["expires_at"]
    await api.transfer(begun["upload"], DATA)
    await api.complete(begun["image_id"])
    after = (await api.get(path)).json
    assert (await api.fetch(after["image_url"])).json["image_id"] == begun["image_id"]


async def test_a_link_works_for_a_quarter_of_an_hour(api: ApiClient) -> None:
    begun = await api.begun(DATA)
    left = datetime.fromisoformat(begun["upload"]["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=14) < left <= timedelta(minutes=15, seconds=1)


# ---------------------------------------------------------------- completing


async def test_completing_before_the_bytes_arrive_is_told_so_and_harms_nothing(api: ApiClient) -> None:
    begun = await api.begun(DATA)
    for _ in range(2):
        assert (await api.complete(begun["image_id"])).outcome == (409, "upload_missing")
    assert await state(api, begun) == "pending"
    await assert_nothing_arrived(api, begun)


@METHODS
async def test_completing_twice_gives_the_same_answer(api: ApiClient, method: str) -> None:
    begun = await api.begun(DATA, method=method)
    await api.transfer(begun["upload"], DATA)
    one, two = [await api.complete(begun["image_id"]) for _ in range(2)]
    assert (one.status, one.body) == (two.status, two.body)
    assert one.status == 200


async def test_ten_completes_at_once_make_one_image_and_give_one_answer(api: ApiClient, user: str) -> None:
    begun = await api.begun(DATA, user_id=user)
    await api.transfer(begun["upload"], DATA)
    answers = await asyncio.gather(*[api.complete(begun["image_id"]) for _ in range(10)])
    assert {(each.status, each.body) for each in answers} == {(200, answers[0].body)}
    assert len(await api.walk(user_id=user)) == 1
    assert (await api.download(begun["image_id"])).body == DATA


async def test_ten_completes_at_once_of_bad_bytes_give_one_refusal(api: ApiClient, user: str) -> None:
    bad = b"no picture at all"
    begun = await api.begun(bad, user_id=user)
    await api.transfer(begun["upload"], bad)
    answers = await asyncio.gather(*[api.complete(begun["image_id"]) for _ in range(10)])
    assert {each.outcome for each in answers} == {(415, "unsupported_image")}
    assert await api.walk(user_id=user) == []


async def test_a_completed_upload_is_no_longer_to_be_signed_or_cancelled(api: ApiClient) -> None:
    begun = await api.begun(DATA)
    await api.transfer(begun["upload"], DATA)
    await api.complete(begun["image_id"])
    assert (await api.post(f"/uploads/{begun['image_id']}/sign")).outcome == (409, "conflict")
    assert (await api.delete(f"/uploads/{begun['image_id']}")).outcome == (409, "conflict")
    assert (await api.download(begun["image_id"])).body == DATA


@METHODS
async def test_other_bytes_through_the_old_link_change_nothing(api: ApiClient, method: str) -> None:
    begun = await api.begun(DATA, method=method, file_size=max(len(DATA), len(OTHER)))
    padded, other = DATA.ljust(len(OTHER), b"\0"), OTHER.ljust(len(DATA), b"\0")
    await api.transfer(begun["upload"], padded)
    completed = await api.complete(begun["image_id"])
    await api.transfer(begun["upload"], other)
    assert (await api.complete(begun["image_id"])).body == completed.body
    assert (await api.download(begun["image_id"])).body == padded
    view = (await api.get(f"/images/{begun['image_id']}")).json
    assert view["metadata"] == completed.json["metadata"]
    assert (await api.fetch(view["url"])).body == padded


async def test_a_deleted_image_is_not_brought_back_through_its_old_link(api: ApiClient, user: str) -> None:
    begun = await api.begun(DATA, user_id=user)
    await api.transfer(begun["upload"], DATA)
    await api.complete(begun["image_id"])
    await api.delete(f"/images/{begun['image_id']}", {"user_id": user})
    await api.transfer(begun["upload"], DATA)
    for path in ("", "/sign", "/complete"):
        method = "POST" if path else "GET"
        answer = await api.request(method, f"/uploads/{begun['image_id']}{path}")
        assert answer.outcome == (404, "not_found")
    assert (await api.get(f"/images/{begun['image_id']}")).outcome == (404, "not_found")
    assert await api.walk(user_id=user) == []


# ---------------------------------------------------------------- what a link refuses


def altered_query(url: str, changes: Mapping[str, str | None]) -> str:
    """Return the URL with these parameters in place of its own, or without those that are None."""
    parts = urlsplit(url)
    query = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **changes}
    return urlunsplit(
        parts._replace(query=urlencode({name: value for name, value in query.items() if value is not None}))
    )


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        pytest.param(DATA + b"\0", {}, id="a byte too many"),
        pytest.param(DATA[:-1], {}, id="a byte too few"),
        pytest.param(b"", {}, id="no bytes"),
        pytest.param(DATA, {"Content-Type": "image/png"}, id="another type"),
        pytest.param(DATA, {"Content-Type": "text/html"}, id="a dangerous type"),
    ],
)
@METHODS
async def test_a_link_takes_only_what_it_was_signed_for(
    api: ApiClient, method: str, data: bytes, headers: dict[str, str]
) -> None:
    begun = await api.begun(DATA, method=method)
    send = api.put if method == "PUT" else api.post_form
    assert refused(await send(begun["upload"], data, headers))
    await assert_nothing_arrived(api, begun)


async def test_a_put_s_link_refuses_bytes_with_another_sha256(api: ApiClient) -> None:
    begun = await api.begun(DATA, sha256=sha256_of(DATA))
    assert refused(await api.transfer(begun["upload"], OTHER_SHA256))
    await assert_nothing_arrived(api, begun)


async def test_bytes_with_another_sha256_never_become_an_image_by_a_form(api: ApiClient, user: str) -> None:
    begun = await api.begun(DATA, method="POST", sha256=sha256_of(DATA), user_id=user)
    taken = not refused(await api.transfer(begun["upload"], OTHER_SHA256))
    outcome = (422, "invalid_image") if taken else (409, "upload_missing")
    assert (await api.complete(begun["image_id"])).outcome == outcome
    assert await api.walk(user_id=user) == []


@pytest.mark.parametrize("header", ["Content-Type", "If-None-Match", "x-amz-checksum-sha256"])
async def test_a_put_must_carry_every_header_it_was_signed_with(api: ApiClient, header: str) -> None:
    begun = await api.begun(DATA, sha256=sha256_of(DATA))
    upload = begun["upload"]
    without = {name: value for name, value in upload["headers"].items() if name != header}
    assert len(without) == len(upload["headers"]) - 1
    assert refused(await api.put({**upload, "headers": without}, DATA))
    await assert_nothing_arrived(api, begun)


async def test_a_put_s_url_cannot_be_altered(api: ApiClient) -> None:
    begun = await api.begun(DATA)
    upload = begun["upload"]
    parameters = dict(parse_qsl(urlsplit(upload["url"]).query, keep_blank_values=True))
    assert len(parameters) >= 3
    altered = [
        upload["url"].replace(begun["image_id"], str(uuid.uuid4())),
        upload["url"].replace("uploads/", "images/"),
        upload["url"].partition("?")[0],
        altered_query(upload["url"], {"more": "1"}),
    ]
    for name, value in parameters.items():
        strange = "~" if name == "X-Amz-Signature" else "\ufffd"  # the emulator fails at the latter, AWS does not
        altered += [altered_query(upload["url"], {name: other}) for other in (None, f"{value}1", strange)]
    for url in altered:
        assert url != upload["url"]
        assert refused(await api.put({**upload, "url": url}, DATA)), url
    await assert_nothing_arrived(api, begun)


async def test_a_form_s_fields_cannot_be_altered(api: ApiClient) -> None:
    begun = await api.begun(DATA, method="POST", sha256=sha256_of(DATA))
    upload = begun["upload"]
    assert len(upload["fields"]) >= 4
    for name, value in upload["fields"].items():
        without = {key: text for key, text in upload["fields"].items() if key != name}
        assert refused(await api.post_form({**upload, "fields": without}, DATA)), name
        for other in (value + "1", value[:-1], "", "é"):
            assert refused(await api.post_form(upload, DATA, {name: other})), name
    await assert_nothing_arrived(api, begun)


async def test_one_upload_s_signature_does_not_serve_for_another(api: ApiClient) -> None:
    one, other = await api.begun(DATA), await api.begun(DATA)
    url = one["upload"]["url"].replace(one["image_id"], other["image_id"])
    assert refused(await api.put({**one["upload"], "url": url}, DATA))
    await assert_nothing_arrived(api, other)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST", "PATCH"])
async def test_a_put_s_link_is_good_for_a_put_only(api: ApiClient, method: str) -> None:
    begun = await api.begun(DATA)
    await api.transfer(begun["upload"], DATA)
    assert refused(await api.send(method, begun["upload"]["url"], begun["upload"]["headers"], b""))
    assert (await api.complete(begun["image_id"])).status == 200


async def test_a_download_link_is_good_for_reading_only(api: ApiClient) -> None:
    image = await api.uploaded(DATA)
    url = (await api.get(f"/images/{image['image_id']}")).json["url"]
    for method in ("PUT", "DELETE"):
        assert refused(await api.send(method, url, {"Content-Type": "image/jpeg", "If-None-Match": "*"}, OTHER))
    assert (await api.fetch(url)).body == DATA


async def test_a_put_s_link_takes_bytes_once(api: ApiClient) -> None:
    begun = await api.begun(DATA)
    assert (await api.transfer(begun["upload"], DATA)).status == 200
    assert (await api.transfer(begun["upload"], DATA)).status == 412
    assert (await api.complete(begun["image_id"])).json["metadata"]["sha256"] == sha256_of(DATA)


async def test_of_many_puts_at_once_one_is_kept_whole(api: ApiClient) -> None:
    pictures = [picture(size=(64, 48), seed=seed).ljust(2_000, b"\0") for seed in range(8)]
    begun = await api.begun(pictures[0])
    answers = await asyncio.gather(*[api.put(begun["upload"], data) for data in pictures])
    kept = [sha256_of(data) for data, answer in zip(pictures, answers, strict=True) if answer.status == 200]
    # Once the first is published its link takes another, which is swept.
    assert len(kept) == 1 or (kept and api.completes_arrivals)
    assert (await api.complete(begun["image_id"])).json["metadata"]["sha256"] in kept


async def test_a_form_without_a_size_is_held_to_the_limit(start: Start, tmp_path: Path) -> None:
    async with start(tmp_path, max_image_bytes=len(DATA)) as api:
        declared = {**some_details(), "content_type": "image/jpeg", "method": "POST"}
        begun = (await api.post("/uploads", declared)).json
        assert refused(await api.transfer(begun["upload"], DATA + b"\0"))
        assert refused(await api.transfer(begun["upload"], b""))
        await assert_nothing_arrived(api, begun)


async def test_a_form_that_breaks_off_is_not_taken(api: ApiClient) -> None:
    begun = await api.begun(DATA, method="POST")
    kind, body = form(begun["upload"]["fields"], DATA)
    for cut in (body[:-60], body.rpartition(b"\r\n--")[0], body.partition(DATA)[0]):
        assert refused(await api.send("POST", begun["upload"]["url"], {"Content-Type": kind}, cut))
    await assert_nothing_arrived(api, begun)


async def test_a_form_without_a_file_is_refused(api: ApiClient) -> None:
    begun = await api.begun(DATA, method="POST")
    kind, body = form(begun["upload"]["fields"], DATA)
    renamed = body.replace(b'name="file"', b'name="fil_"')
    assert refused(await api.send("POST", begun["upload"]["url"], {"Content-Type": kind}, renamed))
    await assert_nothing_arrived(api, begun)


# ---------------------------------------------------------------- time


@METHODS
async def test_an_expired_upload_takes_nothing_until_it_is_signed_again(
    start: Start, tmp_path: Path, method: str
) -> None:
    async with start(tmp_path, upload_ttl=2) as api:
        begun = await api.begun(DATA, method=method)
        await until(begun["upload"]["expires_at"])
        assert refused(await api.transfer(begun["upload"], DATA))
        assert await state(api, begun) == "expired"
        assert (await api.complete(begun["image_id"])).outcome == (410, "upload_expired")

        signed = await api.post(f"/uploads/{begun['image_id']}/sign")
        assert signed.json.keys() == begun.keys()
        assert signed.json["image_id"] == begun["image_id"]
        assert signed.json["upload"]["expires_at"] > begun["upload"]["expires_at"]
        assert await state(api, begun) == "pending"
        assert refused(await api.transfer(begun["upload"], DATA))
        assert (await api.transfer(signed.json["upload"], DATA)).status in {200, 204}
        assert (await api.complete(begun["image_id"])).status == 200


async def test_a_form_s_expiry_is_its_own(start: Start, tmp_path: Path, user: str) -> None:
    async with start(tmp_path, upload_ttl=2) as api:
        old = await api.begun(DATA, method="POST", user_id=user)
        await until(old["upload"]["expires_at"])
        new = await api.begun(DATA, method="POST", user_id=user)
        for name in ("policy", "Policy"):
            if name in old["upload"]["fields"]:
                fresh = {name: new["upload"]["fields"][name]}
                assert refused(await api.post_form(old["upload"], DATA, fresh))
        await assert_nothing_arrived(api, new)


@METHODS
async def test_signing_a_pending_upload_again_gives_another_link_to_the_same_place(
    api: ApiClient, method: str
) -> None:
    begun = await api.begun(DATA, method=method, sha256=sha256_of(DATA))
    signed = await api.post(f"/uploads/{begun['image_id']}/sign")
    assert signed.status == 200
    upload = signed.json["upload"]
    assert (upload["method"], upload["headers"]) == (method, begun["upload"]["headers"])
    assert upload["expires_at"] >= begun["upload"]["expires_at"]
    assert signed.json["complete_url"] == begun["complete_url"]
    assert refused(await api.transfer(upload, DATA + b"\0"))
    assert (await api.transfer(upload, DATA)).status in {200, 204}
    assert (await api.complete(begun["image_id"])).status == 200


# ---------------------------------------------------------------- bytes that are not the promised picture

WRONG = [
    pytest.param(b"just some text, no picture", (415, "unsupported_image"), id="text"),
    pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", (415, "unsupported_image"), id="SVG"),
    pytest.param(picture("TIFF"), (415, "unsupported_image"), id="TIFF"),
    pytest.param(picture("PNG"), (400, "type_mismatch"), id="PNG for JPEG"),
    pytest.param(DATA[:-20], (422, "invalid_image"), id="truncated"),
    pytest.param(DATA[:4], (422, "invalid_image"), id="only the beginning"),
]


@pytest.mark.parametrize(("data", "outcome"), WRONG)
@METHODS
async def test_bytes_that_are_not_what_was_promised_fail_the_upload_for_good(
    api: ApiClient, user: str, method: str, data: bytes, outcome: tuple[int, str]
) -> None:
    begun = await api.begun(data, user_id=user, method=method)
    assert (await api.transfer(begun["upload"], data)).status in {200, 204}
    first = await api.complete(begun["image_id"])
    assert first.outcome == outcome

    again = await api.complete(begun["image_id"])
    assert (again.outcome, again.json["detail"]) == (first.outcome, first.json["detail"])
    seen = (await api.get(f"/uploads/{begun['image_id']}")).json
    assert (seen["status"], seen["image_url"]) == ("failed", None)
    assert seen["failure"] == {"code": outcome[1], "detail": first.json["detail"]}
    assert (await api.post(f"/uploads/{begun['image_id']}/sign")).outcome == (409, "conflict")
    assert (await api.get(f"/images/{begun['image_id']}")).outcome == (404, "not_found")
    assert await api.walk(user_id=user) == []


async def test_refused_bytes_are_removed_and_later_ones_do_not_help(api: ApiClient) -> None:
    bad = b"no picture".ljust(len(DATA), b".")
    begun = await api.begun(bad)
    await api.transfer(begun["upload"], bad)
    assert (await api.complete(begun["image_id"])).outcome == (415, "unsupported_image")
    # The link takes bytes only where there are none, so this tells that the first are gone.
    assert (await api.transfer(begun["upload"], DATA)).status == 200
    assert (await api.complete(begun["image_id"])).outcome == (415, "unsupported_image")
    assert await state(api, begun) == "failed"


async def test_too_many_pixels_fail_the_upload(start: Start, tmp_path: Path) -> None:
    async with start(tmp_path, max_pixels=64 * 48 - 1) as api:
        begun = await api.begun(DATA)
        await api.transfer(begun["upload"], DATA)
        assert (await api.complete(begun["image_id"])).outcome == (422, "invalid_image")
        assert await state(api, begun) == "failed"


# ---------------------------------------------------------------- cancelling


@METHODS
@pytest.mark.parametrize("sent", [False, True], ids=["before the bytes", "after the bytes"])
async def test_a_cancelled_upload_is_gone(api: ApiClient, user: str, method: str, *, sent: bool) -> None:
    begun = await api.begun(DATA, method=method, user_id=user)
    path = f"/uploads/{begun['image_id']}"
    if sent:  # no picture, or it might be published already where bytes that arrive are completed
        await api.transfer(begun["upload"], bytes(len(DATA)))
    cancelled = await api.delete(path)
    assert (cancelled.status, cancelled.json["image_id"]) == (200, begun["image_id"])
    # A late PUT may be taken, but nothing comes of it.
    await api.transfer(begun["upload"], DATA)
    for answer in (
        await api.get(path),
        await api.post(f"{path}/sign"),
        await api.post(f"{path}/complete"),
        await api.delete(path),
        await api.get(f"/images/{begun['image_id']}"),
    ):
        assert answer.outcome == (404, "not_found")
    assert await api.walk(user_id=user) == []


async def test_a_failed_upload_can_be_cancelled(api: ApiClient) -> None:
    begun = await api.begun(b"text")
    await api.transfer(begun["upload"], b"text")
    await api.complete(begun["image_id"])
    assert (await api.delete(f"/uploads/{begun['image_id']}")).status == 200
    assert (await api.get(f"/uploads/{begun['image_id']}")).outcome == (404, "not_found")


async def test_of_complete_and_cancel_at_once_exactly_one_wins(api: ApiClient, user: str) -> None:
    begun = [await api.begun(DATA, user_id=user) for _ in range(8)]
    for each in begun:
        await api.transfer(each["upload"], DATA)
    asked = [
        (api.complete(each["image_id"]), api.delete(f"/uploads/{each['image_id']}"))[:: 1 if n % 2 else -1]
        for n, each in enumerate(begun)
    ]
    pairs = await asyncio.gather(*[asyncio.gather(*pair) for pair in asked])
    for n, (each, pair) in enumerate(zip(begun, pairs, strict=True)):
        completed, cancelled = pair[:: 1 if n % 2 else -1]
        shown = (await api.get(f"/images/{each['image_id']}")).status
        outcomes = {(200, 409): 200, (404, 200): 404}
        assert outcomes[completed.status, cancelled.status] == shown


# ---------------------------------------------------------------- asking


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
async def test_every_format_can_be_sent_directly(api: ApiClient, kind: str) -> None:
    data, content_type = picture(kind), f"image/{kind.lower()}"
    begun = await api.begun(data, content_type=content_type, filename="picture")
    await api.transfer(begun["upload"], data)
    assert (await api.complete(begun["image_id"])).json["metadata"]["content_type"] == content_type


@pytest.mark.parametrize(
    ("details", "field"),
    [
        ({"content_type": "image/tiff"}, "content_type"),
        ({"content_type": "text/html"}, "content_type"),
        ({"content_type": "image/heic"}, "content_type"),
        ({"content_type": "IMAGE/SVG+XML; charset=utf-8"}, "content_type"),
        ({"content_type": 7}, "content_type"),
        ({"content_type": None}, "content_type"),
        ({"file_size": None}, "file_size"),
        ({"file_size": 0}, "file_size"),
        ({"file_size": -1}, "file_size"),
        ({"file_size": 1.5}, "file_size"),
        ({"file_size": 100.0}, "file_size"),
        ({"file_size": "100"}, "file_size"),
        ({"file_size": True}, "file_size"),
        ({"sha256": "ab"}, "sha256"),
        ({"sha256": "AB" * 32}, "sha256"),
        ({"sha256": "ab" * 32 + "\n"}, "sha256"),
        ({"sha256": 7}, "sha256"),
        ({"method": "GET"}, "method"),
        ({"method": "put"}, "method"),
        ({"method": None}, "method"),
    ],
)
async def test_what_cannot_be_signed_is_refused(api: ApiClient, details: dict[str, Any], field: str) -> None:
    answer = await api.begin(DATA, **details)
    assert answer.outcome == (400, "invalid_request")
    assert answer.json["errors"].keys() == {field}


async def test_a_storage_without_forms_is_told_with_the_way_that_there_is(start: Start, tmp_path: Path) -> None:
    async with start(tmp_path, post_forms=False) as api:
        answer = await api.begin(DATA, method="POST")
        assert answer.outcome == (400, "invalid_request")
        assert answer.json["errors"] == {
            "method": ["The storage does not support POST forms: use PUT with file_size."]
        }
        answer = await api.post("/uploads", {**some_details(), "content_type": "image/jpeg"})
        needed = "The method PUT requires the length in bytes: send file_size."
        assert answer.json["errors"] == {"file_size": [needed]}
        await assert_nothing_arrived(api, await api.begun(DATA))


async def test_no_form_is_signed_again_once_the_storage_has_none(tmp_path: Path) -> None:
    async with server_on_local(tmp_path) as api:
        form, put = [(await api.begun(DATA, method=method))["image_id"] for method in ("POST", "PUT")]
    async with server_on_local(tmp_path, post_forms=False) as api:
        answer = await api.post(f"/uploads/{form}/sign")
        assert answer.outcome == (409, "conflict")
        assert "method PUT" in answer.json["detail"]
        assert (await api.post(f"/uploads/{put}/sign")).status == 200


@pytest.mark.parametrize("missing", ["file_size", "user_id", "title", "filename"])
async def test_a_put_needs_all_of_its_fields(api: ApiClient, missing: str) -> None:
    document = {**some_details(), "content_type": "image/jpeg", "file_size": 100}
    del document[missing]
    answer = await api.post("/uploads", document)
    assert answer.outcome == (400, "invalid_request")
    assert answer.json["errors"].keys() == {missing}


async def test_a_type_that_is_not_accepted_is_told_before_there_are_any_bytes(api: ApiClient) -> None:
    answer = await api.begin(DATA, content_type="image/heic", filename="IMG.HEIC")
    assert answer.outcome == (400, "invalid_request")
    (message,) = answer.json["errors"]["content_type"]
    assert message.startswith("Must be one of: image/jpeg, image/png, image/gif, image/webp, image/avif")
    assert "heic" not in message


@METHODS
async def test_a_size_over_the_limit_is_refused_before_anything_is_sent(api: ApiClient, method: str) -> None:
    assert (await api.begin(DATA, file_size=10 * 2**20, method=method)).status == 201
    for size in (10 * 2**20 + 1, 2**40, 2**63 - 1):
        assert (await api.begin(DATA, file_size=size, method=method)).outcome == (413, "too_large")
