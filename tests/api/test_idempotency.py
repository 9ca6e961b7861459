"""Asking again with the same Idempotency-Key."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.api.client import Answer, ApiClient
from tests.pictures import picture

DATA, OTHER = picture(), picture(seed=2)
AT_ONCE = 10

Ask = Callable[..., Awaitable[Answer]]


async def upload(api: ApiClient, **details: Any) -> Answer:
    return await api.upload(**{"data": DATA, **details})


async def upload_form(api: ApiClient, **details: Any) -> Answer:
    data = details.pop("data", DATA)
    return await api.upload_form({"title": "A photo", **details}, data)


async def begin(api: ApiClient, **details: Any) -> Answer:
    return await api.begin(**{"data": DATA, **details})


async def begin_form(api: ApiClient, **details: Any) -> Answer:
    return await api.begin(**{"data": DATA, "method": "POST", **details})


EVERY_WAY = pytest.mark.parametrize("ask", [upload, upload_form, begin, begin_form])


@pytest.fixture
def keyed(api: ApiClient) -> ApiClient:
    """Return a client that sends a key of its own with everything."""
    return with_key(api, secrets.token_hex(16))


def with_key(api: ApiClient, key: str) -> ApiClient:
    return replace(api, headers={"Idempotency-Key": key})


def essence(answer: Answer) -> tuple[int, str, bytes]:
    """Return what an answer says."""
    return answer.status, answer.headers.get("Location", ""), answer.body


@EVERY_WAY
async def test_the_same_request_gets_the_same_answer_to_the_byte(keyed: ApiClient, user: str, ask: Ask) -> None:
    first = await ask(keyed, user_id=user)
    assert first.status == 201, first.body
    for _ in range(3):
        assert essence(await ask(keyed, user_id=user)) == essence(first)


async def test_asked_again_there_is_one_image(keyed: ApiClient, user: str) -> None:
    answers = [await ask(keyed, user_id=user) for ask in (upload, upload_form, upload)]
    (image_id,) = {answer.json["image_id"] for answer in answers}
    assert [image["image_id"] for image in await keyed.walk(user_id=user)] == [image_id]


@EVERY_WAY
async def test_without_a_key_every_request_makes_its_own(api: ApiClient, user: str, ask: Ask) -> None:
    answers = [await ask(api, user_id=user) for _ in range(2)]
    assert len({answer.json["image_id"] for answer in answers}) == 2


async def test_what_was_edited_since_is_answered_as_it_was_and_stays_as_it_is(keyed: ApiClient, user: str) -> None:
    first = await upload(keyed, user_id=user, tags=["a"])
    image_id = first.json["image_id"]
    edited = await keyed.patch(f"/images/{image_id}", {"user_id": user, "title": "Another", "tags": ["b"]})
    assert essence(await upload(keyed, user_id=user, tags=["a"])) == essence(first)
    now = (await keyed.get(f"/images/{image_id}?metadata_only=true")).json
    assert now["metadata"] == edited.json["metadata"]


@pytest.mark.parametrize("ask", [begin, begin_form])
async def test_an_upload_that_was_sent_and_completed_since_is_answered_as_it_was(
    keyed: ApiClient, user: str, ask: Ask
) -> None:
    first = await ask(keyed, user_id=user)
    again = await ask(keyed, user_id=user)
    assert (await keyed.transfer(again.json["upload"], DATA)).status in {200, 204}
    assert essence(await ask(keyed, user_id=user)) == essence(first)
    assert (await keyed.complete(first.json["image_id"])).status == 200
    assert essence(await ask(keyed, user_id=user)) == essence(first)
    assert len(await keyed.walk(user_id=user)) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"title": "Another"},
        {"description": "More"},
        {"tags": ["a"]},
        {"filename": "other.jpg"},
        {"data": OTHER},
    ],
)
@pytest.mark.parametrize("ask", [upload, begin])
async def test_a_key_is_not_taken_for_anything_else(
    keyed: ApiClient, user: str, ask: Ask, other: dict[str, Any]
) -> None:
    first = await ask(keyed, user_id=user)
    assert (await ask(keyed, user_id=user, **other)).outcome == (422, "idempotency_mismatch")
    assert essence(await ask(keyed, user_id=user)) == essence(first)


@pytest.mark.parametrize("other", [{"sha256": "ab" * 32}, {"method": "POST"}])
async def test_a_key_is_not_taken_for_another_link(keyed: ApiClient, user: str, other: dict[str, Any]) -> None:
    await begin(keyed, user_id=user)
    assert (await begin(keyed, user_id=user, **other)).outcome == (422, "idempotency_mismatch")


@pytest.mark.parametrize(("one", "other"), [(upload, begin), (begin, upload)])
async def test_a_key_is_not_taken_for_another_operation(keyed: ApiClient, user: str, one: Ask, other: Ask) -> None:
    assert (await one(keyed, user_id=user)).status == 201
    assert (await other(keyed, user_id=user)).outcome == (422, "idempotency_mismatch")


async def test_a_key_is_each_users_own(keyed: ApiClient, user: str) -> None:
    answers = [await upload(keyed, user_id=name) for name in (user, f"{user}-2")]
    assert [answer.status for answer in answers] == [201, 201]
    assert len({answer.json["image_id"] for answer in answers}) == 2


async def test_what_was_refused_claims_nothing(keyed: ApiClient, user: str) -> None:
    assert (await upload(keyed, data=DATA[:-20], user_id=user)).outcome == (422, "invalid_image")
    assert (await upload(keyed, user_id=user, title="")).outcome == (400, "invalid_request")
    assert (await begin(keyed, user_id=user, file_size=2**40)).outcome == (413, "too_large")
    assert (await upload(keyed, user_id=user)).status == 201


async def test_a_deleted_image_does_not_come_back(keyed: ApiClient, user: str) -> None:
    image_id = (await upload(keyed, user_id=user)).json["image_id"]
    assert (await keyed.delete(f"/images/{image_id}", {"user_id": user})).status == 200
    for _ in range(2):
        assert (await upload(keyed, user_id=user)).outcome == (410, "image_gone")
    assert await keyed.walk(user_id=user) == []


async def test_a_cancelled_upload_does_not_come_back(keyed: ApiClient, user: str) -> None:
    image_id = (await begin(keyed, user_id=user)).json["image_id"]
    assert (await keyed.delete(f"/uploads/{image_id}")).status == 200
    assert (await begin(keyed, user_id=user)).outcome == (410, "image_gone")
    assert (await keyed.get(f"/uploads/{image_id}")).status == 404


@pytest.mark.parametrize(
    ("one", "other"),
    [("{}", '"{}"'), ('"{} a"', '"{} a"'), ('{}"\\', '"{}\\"\\\\"'), ("{}" + "x" * 223, '"{}' + "x" * 223 + '"')],
)
async def test_a_key_may_be_quoted(api: ApiClient, user: str, one: str, other: str) -> None:
    key = secrets.token_hex(16)
    first = await upload(with_key(api, one.format(key)), user_id=user)
    assert first.status == 201
    assert essence(await upload(with_key(api, other.format(key)), user_id=user)) == essence(first)


@pytest.mark.parametrize(
    "key", ["two words", '"', '""', '"open', '"a"b"', '"\\a"', "x" * 256, '"' + "x" * 256 + '"']
)
@pytest.mark.parametrize("ask", [upload, begin])
async def test_what_is_no_key_is_refused(api: ApiClient, user: str, ask: Ask, key: str) -> None:
    answer = await ask(with_key(api, key), user_id=user)
    assert answer.outcome == (400, "invalid_request")
    assert answer.json["errors"].keys() == {"Idempotency-Key"}


@EVERY_WAY
async def test_many_at_once_make_one_and_all_that_are_granted_get_the_same_answer(
    keyed: ApiClient, user: str, ask: Ask
) -> None:
    answers = await asyncio.gather(*(ask(keyed, user_id=user) for _ in range(AT_ONCE)))
    granted = [answer for answer in answers if answer.status == 201]
    for answer in answers:
        if answer not in granted:
            assert answer.outcome == (409, "in_flight")
            assert int(answer.headers["Retry-After"]) > 0
    (said,) = {essence(answer) for answer in granted}
    assert essence(await ask(keyed, user_id=user)) == said
    if ask in {upload, upload_form}:
        assert len(await keyed.walk(user_id=user)) == 1


async def test_of_many_different_requests_at_once_with_one_key_one_is_done(keyed: ApiClient, user: str) -> None:
    asked = [upload(keyed, user_id=user, title=f"Photo {n}") for n in range(10)]
    outcomes = sorted(answer.outcome for answer in await asyncio.gather(*asked))
    assert outcomes == [(201, None), *[(422, "idempotency_mismatch")] * 9]
    assert len(await keyed.walk(user_id=user)) == 1
