"""A user writes so often, and keeps so much; others are none the worse for it."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.client import Answer, ApiClient, some_details
from tests.api.conftest import Start
from tests.pictures import picture

DATA = picture()
A_MINUTE = 30  # writes


@pytest.fixture(scope="module")
async def limited(start: Start, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiClient]:
    """Return a client of a service that keeps two pictures and a half of a user."""
    quota = len(DATA) * 5 // 2
    async with start(tmp_path_factory.mktemp("limited"), rate_limit=A_MINUTE, user_quota_bytes=quota) as client:
        yield client


async def write(api: ApiClient, user: str) -> Answer:
    """Do what counts as a write, and takes little time."""
    return await api.delete(f"/images/{uuid.uuid4()}", params={"user_id": user})


async def test_who_writes_too_often_is_told_when_to_try_again(limited: ApiClient, user: str) -> None:
    answers = [await write(limited, user) for _ in range(A_MINUTE)]
    assert {each.status for each in answers} == {404}
    while (answer := await write(limited, user)).status == 404:  # on a slow machine the bucket fills meanwhile
        pass
    assert answer.outcome == (429, "too_many_requests")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60 / A_MINUTE

    refused = [
        await limited.upload(DATA, user_id=user),
        await limited.upload_form({"user_id": user, "title": "A photo"}, DATA),
        await limited.begin(DATA, user_id=user),
        await limited.patch(f"/images/{uuid.uuid4()}", {"user_id": user, "title": "Another"}),
    ]
    assert (429, "too_many_requests") in {each.outcome for each in refused}
    assert await limited.walk(user_id=user) is not None  # reading is free
    assert (await write(limited, f"{user}-2")).status == 404


async def test_nothing_is_stored_beyond_the_quota_and_deleting_makes_room(limited: ApiClient, user: str) -> None:
    first, second = [await limited.uploaded(DATA, user_id=user) for _ in range(2)]
    for answer in (
        await limited.upload(DATA, user_id=user),
        await limited.upload_form({"user_id": user, "title": "A photo"}, DATA),
        await limited.begin(DATA, user_id=user),
    ):
        assert answer.outcome == (429, "quota_exceeded")
        assert int(answer.headers["Retry-After"]) > 0
    kept = {each["image_id"] for each in await limited.walk(user_id=user)}
    assert kept == {first["image_id"], second["image_id"]}

    await limited.delete(f"/images/{first['image_id']}", {"user_id": user})
    assert (await limited.upload(DATA, user_id=user)).status == 201
    assert (await limited.upload(DATA, user_id=user)).outcome == (429, "quota_exceeded")


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_direct_upload_is_held_to_the_quota_by_its_real_size(
    limited: ApiClient, user: str, method: str
) -> None:
    declared: dict[str, Any] = {"content_type": "image/jpeg", "method": method}
    if method == "PUT":
        declared["file_size"] = len(DATA)
    answers = [await limited.post("/uploads", {**some_details(user_id=user), **declared}) for _ in range(3)]
    begun = [each.json for each in answers]
    outcomes = []
    for each in begun:
        assert (await limited.transfer(each["upload"], DATA)).status < 300
        outcomes.append((await limited.complete(each["image_id"])).outcome)
    assert outcomes == [(200, None), (200, None), (429, "quota_exceeded")]
    assert len(await limited.walk(user_id=user)) == 2

    waiting = begun[2]["image_id"]
    assert (await limited.get(f"/uploads/{waiting}")).json["status"] == "pending"
    await limited.delete(f"/images/{begun[0]['image_id']}", {"user_id": user})
    assert (await limited.complete(waiting)).status == 200
    assert (await limited.complete(waiting)).status == 200  # it is the same image, counted once
    assert len(await limited.walk(user_id=user)) == 2
