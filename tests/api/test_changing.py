"""Changing and deleting images: for their owner only."""

import asyncio
import uuid
from typing import Any

import pytest

from tests.api.client import ApiClient
from tests.pictures import picture

DATA = picture()
BLANKS = ["", " ", "\u3000"]


# ---------------------------------------------------------------- PATCH


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"title": " New cafe\u0301 "}, {"title": "New café"}),
        ({"description": "one\ntwo"}, {"description": "one\ntwo"}),
        ({"description": ""}, {"description": ""}),
        ({"tags": ["Z", "y", "z"]}, {"tags": ["Z", "y"]}),
        ({"tags": []}, {"tags": []}),
        ({"title": "T", "description": "D", "tags": ["t"]}, {"title": "T", "description": "D", "tags": ["t"]}),
        ({}, {}),
    ],
)
async def test_the_owner_changes_what_is_said_and_nothing_else(
    api: ApiClient, user: str, change: dict[str, Any], kept: dict[str, Any]
) -> None:
    before = await api.uploaded(DATA, user_id=user, description="In June", tags=["a", "b"])
    path = f"/images/{before['image_id']}"
    answer = await api.patch(path, {"user_id": user, **change})
    after = answer.json["metadata"]
    assert answer.status == 200
    assert answer.json.keys() == {"message", "image_id", "metadata"}
    assert after.pop("updated_at") > before.pop("updated_at")
    assert after == {**before, **kept}
    assert (await api.get(path)).json["metadata"].items() >= after.items()
    assert (await api.download(before["image_id"])).body == DATA


async def test_an_image_is_found_by_its_new_details_and_no_longer_by_the_old(api: ApiClient, user: str) -> None:
    image = await api.uploaded(user_id=user, title="Old title", tags=["old"])
    await api.patch(f"/images/{image['image_id']}", {"user_id": user, "title": "New name", "tags": ["new"]})
    for old in ({"title": "old"}, {"tags": "old"}):
        assert await api.walk(user_id=user, **old) == []
    for new in ({"title": "name"}, {"tags": "new"}):
        assert len(await api.walk(user_id=user, **new)) == 1


async def test_edits_at_once_all_take_effect(api: ApiClient, user: str) -> None:
    image = await api.uploaded(user_id=user)
    path = f"/images/{image['image_id']}"
    answers = await asyncio.gather(
        *[
            api.patch(path, {"user_id": user, **change})
            for change in ({"title": "new"}, {"description": "new"}, {"tags": ["new"]})
        ]
    )
    assert {each.status for each in answers} == {200}
    seen = (await api.get(path)).json["metadata"]
    assert (seen["title"], seen["description"], seen["tags"]) == ("new", "new", ["new"])
    assert len({each.json["metadata"]["updated_at"] for each in answers}) == 3


async def test_nobody_else_changes_an_image(api: ApiClient, user: str) -> None:
    image = await api.uploaded(user_id=user)
    path = f"/images/{image['image_id']}"
    for other in ("mallory", user.upper(), user[:-1]):
        assert (await api.patch(path, {"user_id": other, "title": "mine"})).outcome == (403, "forbidden")
    assert (await api.get(path)).json["metadata"] == image


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        *[({"title": each}, "invalid_request", "title") for each in (*BLANKS, "x" * 201, "a\nb", "\0", None, 7)],
        *[({"description": each}, "invalid_request", "description") for each in ("x" * 2001, "\0", None, {})],
        *[({"tags": each}, "invalid_request", "tags") for each in ("a", None, {"a": 1}, [1], [None])],
        *[
            ({"tags": each}, "invalid_tags", "tags")
            for each in ([""], ["a,b"], ["x" * 51], [*"abcdefghijklmnopqrstu"])
        ],
        *[({"user_id": each}, "invalid_request", "user_id") for each in (*BLANKS, None, 7, "x" * 129)],
        *[({each: "x"}, "invalid_request", "_unknown") for each in ("filename", "image_id", "created_at")],
    ],
)
async def test_what_cannot_be_said_is_refused_and_changes_nothing(
    api: ApiClient, user: str, change: dict[str, Any], code: str, field: str
) -> None:
    image = await api.uploaded(user_id=user, tags=["a"])
    path = f"/images/{image['image_id']}"
    answer = await api.patch(path, {"user_id": user, **change})
    assert answer.outcome == (400, code)
    assert answer.json["errors"].keys() == {field}
    assert (await api.get(path)).json["metadata"] == image


async def test_an_edit_must_say_whose_it_is(api: ApiClient) -> None:
    image = await api.uploaded()
    answer = await api.patch(f"/images/{image['image_id']}", {"title": "T"})
    assert answer.outcome == (400, "invalid_request")
    assert answer.json["errors"].keys() == {"user_id"}


async def test_what_is_no_image_cannot_be_changed(api: ApiClient, user: str) -> None:
    pending = await api.begun(DATA, user_id=user)
    for image_id in (str(uuid.uuid4()), "1", pending["image_id"]):
        answer = await api.patch(f"/images/{image_id}", {"user_id": user, "title": "T"})
        assert answer.outcome == (404, "not_found")


# ---------------------------------------------------------------- DELETE


@pytest.mark.parametrize("how", ["body", "query"])
async def test_a_deleted_image_is_gone_everywhere(api: ApiClient, user: str, how: str) -> None:
    image, other = await api.uploaded(user_id=user, tags=["t"]), await api.uploaded(user_id=user, tags=["t"])
    path = f"/images/{image['image_id']}"
    url = (await api.get(path)).json["url"]
    said = {"json": {"user_id": user}} if how == "body" else {"params": {"user_id": user}}
    answer = await api.delete(path, **said)
    assert answer.status == 200
    assert answer.json == {"message": "Image deleted successfully", "image_id": image["image_id"]}

    for query in ("", "?metadata_only=true", "?download=true"):
        assert (await api.get(path + query)).outcome == (404, "not_found")
    assert (await api.get(f"/uploads/{image['image_id']}")).outcome == (404, "not_found")
    assert 400 <= (await api.fetch(url)).status < 500
    assert (await api.patch(path, {"user_id": user, "title": "T"})).outcome == (404, "not_found")
    for filters in ({}, {"tags": "t"}, {"title": "photo"}):
        found = await api.walk(user_id=user, **filters)
        assert [each["image_id"] for each in found] == [other["image_id"]]


@pytest.mark.parametrize("how", ["body", "query"])
async def test_a_second_delete_finds_nothing(api: ApiClient, user: str, how: str) -> None:
    image = await api.uploaded(user_id=user)
    said = {"json": {"user_id": user}} if how == "body" else {"params": {"user_id": user}}
    outcomes = [(await api.delete(f"/images/{image['image_id']}", **said)).outcome for _ in range(3)]
    assert outcomes == [(200, None), (404, "not_found"), (404, "not_found")]


async def test_of_many_deletes_at_once_one_is_told_that_it_was_the_one(api: ApiClient, user: str) -> None:
    image = await api.uploaded(user_id=user)
    answers = await asyncio.gather(
        *[api.delete(f"/images/{image['image_id']}", {"user_id": user}) for _ in range(8)]
    )
    assert sorted(each.status for each in answers) == [200] + [404] * 7


async def test_nobody_else_deletes_an_image(api: ApiClient, user: str) -> None:
    image = await api.uploaded(DATA, user_id=user)
    path = f"/images/{image['image_id']}"
    assert (await api.delete(path, {"user_id": "mallory"})).outcome == (403, "forbidden")
    assert (await api.delete(path, params={"user_id": user.upper()})).outcome == (403, "forbidden")
    assert (await api.download(image["image_id"])).body == DATA


@pytest.mark.parametrize("image_id", ["01994d3c-8d00-7abc-8def-0123456789ab", "1", "not-a-uuid", "%00", "..%2F.."])
async def test_what_is_no_image_cannot_be_deleted(api: ApiClient, image_id: str) -> None:
    assert (await api.delete(f"/images/{image_id}", {"user_id": "ada"})).outcome == (404, "not_found")
    assert (await api.delete(f"/images/{image_id}?user_id=ada")).outcome == (404, "not_found")


async def test_a_pending_upload_is_not_deleted_as_an_image(api: ApiClient, user: str) -> None:
    begun = await api.begun(DATA, user_id=user)
    assert (await api.delete(f"/images/{begun['image_id']}", {"user_id": user})).outcome == (404, "not_found")
    assert (await api.get(f"/uploads/{begun['image_id']}")).json["status"] == "pending"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({}, "invalid_request"),
        ({"json": {}}, "invalid_request"),
        ({"json": []}, "invalid_request"),
        ({"json": {"user_id": ""}}, "invalid_request"),
        ({"json": {"user_id": None}}, "invalid_request"),
        ({"json": {"user_id": "ada", "more": 1}}, "invalid_request"),
        ({"body": b"user_id=ada", "headers": {"Content-Type": "application/json"}}, "invalid_json"),
        ({"params": {"user_id": ""}}, "invalid_parameter"),
        ({"params": {"user": "ada"}}, "invalid_parameter"),
        ({"params": [("user_id", "ada"), ("user_id", "ada")]}, "invalid_parameter"),
    ],
)
async def test_a_delete_must_say_who_asks(api: ApiClient, said: dict[str, Any], code: str) -> None:
    image = await api.uploaded(DATA)
    answer = await api.delete(f"/images/{image['image_id']}", **said)
    assert answer.outcome == (400, code)
    assert (await api.download(image["image_id"])).body == DATA


async def test_a_form_is_no_body_for_a_delete(api: ApiClient) -> None:
    image = await api.uploaded(DATA)
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await api.delete(f"/images/{image['image_id']}", body=b"user_id=ada", headers=kind)
    assert answer.outcome == (415, "unsupported_media_type")
