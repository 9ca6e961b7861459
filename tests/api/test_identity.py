"""Signed in: whose images are whose, who sees them, and what nobody is believed."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from service.api.dispatch import OPERATIONS
from tests.api.client import Answer, ApiClient, some_details
from tests.api.conftest import Start, server_on_local
from tests.forgeries import BAD_TOKENS
from tests.issuer import Issuer, running_issuer
from tests.pictures import base64_of, picture

DATA = picture(size=(64, 48), seed=21)
UNAUTHORIZED = (401, "unauthorized")
UNKNOWN = str(uuid.UUID(int=0))


@dataclass(frozen=True)
class Door:
    """A service that wants tokens, and the issuer it believes."""

    api: ApiClient
    issuer: Issuer

    def signed_in(self, user: str) -> ApiClient:
        """Return a client with this user's token."""
        return self.with_token(self.issuer.token(user))

    def with_token(self, token: str) -> ApiClient:
        return replace(self.api, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture(scope="module")
async def door(start: Start, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    """Return a running service and its issuer. Tests share it, so they use users and tags of their own."""
    async with (
        running_issuer() as issuer,
        start(tmp_path_factory.mktemp("identity"), **issuer.settings) as api,
    ):
        yield Door(api, issuer)


@pytest.fixture
def ada(door: Door, user: str) -> ApiClient:
    """Return a user's client."""
    return door.signed_in(user)


@pytest.fixture
def ben(door: Door, user: str) -> ApiClient:
    """Return another user's client."""
    return door.signed_in(f"other-{user}")


def unsaid(**details: Any) -> dict[str, Any]:
    """Return details that do not say who asks."""
    return {name: value for name, value in some_details(**details).items() if name != "user_id"}


async def own(client: ApiClient, **details: Any) -> dict[str, Any]:
    """Upload a picture as whoever is signed in, and return its metadata."""
    answer = await client.post("/images", {**unsaid(**details), "image_data": base64_of(DATA)})
    assert answer.status == 201, answer.body
    metadata: dict[str, Any] = answer.json["metadata"]
    return metadata


async def ids(client: ApiClient, **filters: Any) -> list[str]:
    """Return the ids of a whole list."""
    return [each["image_id"] for each in await client.walk(**filters)]


# ---------------------------------------------------------------- who is let in


@pytest.mark.parametrize("row", [each for each in OPERATIONS if not each.anonymous], ids=lambda row: row.name)
async def test_every_operation_wants_a_token_before_anything_else(door: Door, row: Any) -> None:
    for path in (row.path.format(image_id=UNKNOWN), row.path.format(image_id="x") + "?unknown=1"):
        answer = await door.api.request(row.method, path)
        assert answer.outcome == UNAUTHORIZED
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="pixdepot"'


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/openapi.json"])
async def test_what_tells_of_the_service_itself_wants_none(door: Door, path: str) -> None:
    assert (await door.api.get(path)).status == 200
    assert (await door.with_token("garbage").get(path)).status == 200


async def test_what_is_not_there_is_told_to_anyone(door: Door) -> None:
    assert (await door.api.get("/nowhere")).outcome == (404, "not_found")
    assert (await door.api.request("PUT", "/images")).outcome == (405, "method_not_allowed")
    assert (await door.api.request("OPTIONS", "/images")).status == 204


@pytest.mark.parametrize("bad", [name for name in BAD_TOKENS if name != "not ASCII"])
async def test_a_token_that_is_no_good_is_refused(door: Door, bad: str) -> None:
    token = BAD_TOKENS[bad](door.issuer)
    answer = await door.with_token(token).get("/images")
    assert answer.outcome == UNAUTHORIZED
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="pixdepot", error="invalid_token"'
    assert token not in answer.body.decode()


# ---------------------------------------------------------------- who a caller is


async def test_an_upload_belongs_to_whom_the_token_names(ada: ApiClient, user: str) -> None:
    assert (await own(ada))["user_id"] == user
    form = await ada.upload_form({"title": "A form"}, DATA)
    assert form.json["metadata"]["user_id"] == user
    begun = (await ada.post("/uploads", unsaid(content_type="image/jpeg", file_size=len(DATA)))).json
    assert (await ada.transfer(begun["upload"], DATA)).status == 200
    assert (await ada.complete(begun["image_id"])).json["metadata"]["user_id"] == user
    assert len(await ids(ada, user_id=user)) == 3


async def test_a_user_may_be_named_who_is_the_token_s(ada: ApiClient, user: str) -> None:
    image = await ada.uploaded(DATA, user_id=user)
    path = f"/images/{image['image_id']}"
    assert (await ada.patch(path, {"user_id": user, "title": "New"})).status == 200
    assert (await ada.delete(path, params={"user_id": user})).status == 200


Write = Callable[[ApiClient, dict[str, Any], str], Any]
WRITES: dict[str, Write] = {
    "POST /images as JSON": lambda api, said, _: api.post(
        "/images", {**unsaid(), "image_data": base64_of(DATA), **said}
    ),
    "POST /images as a form": lambda api, said, _: api.upload_form({"title": "A photo", **said}, DATA),
    "POST /uploads": lambda api, said, _: api.post(
        "/uploads", {**unsaid(content_type="image/jpeg", file_size=9), **said}
    ),
    "PATCH": lambda api, said, image_id: api.patch(f"/images/{image_id}", {"title": "New", **said}),
    "DELETE with a body": lambda api, said, image_id: api.delete(f"/images/{image_id}", said),
    "DELETE with a query": lambda api, said, image_id: api.delete(f"/images/{image_id}", params=said),
}


@pytest.mark.parametrize("how", WRITES)
async def test_nobody_writes_in_another_s_name(ada: ApiClient, user: str, how: str) -> None:
    image = await own(ada)
    for other in ("eve", user.upper()):
        answer: Answer = await WRITES[how](ada, {"user_id": other}, image["image_id"])
        assert answer.outcome == (403, "user_mismatch")
    assert await ids(ada, user_id=user) == [image["image_id"]]


@pytest.mark.parametrize("how", WRITES)
async def test_who_has_signed_in_need_not_say_who_asks(ada: ApiClient, how: str) -> None:
    answer: Answer = await WRITES[how](ada, {}, (await own(ada))["image_id"])
    assert answer.status in {200, 201}


@pytest.mark.parametrize("how", WRITES)
async def test_with_open_auth_a_write_must_say_who_asks(api: ApiClient, user: str, how: str) -> None:
    image = await api.uploaded(DATA, user_id=user)
    answer: Answer = await WRITES[how](api, {}, image["image_id"])
    assert answer.outcome == (400, "invalid_request")
    assert answer.json["errors"].keys() == {"user_id"}


@pytest.mark.parametrize("said", ["", " ", "x" * 129, 7, None])
async def test_a_user_that_cannot_be_is_the_request_s_fault(ada: ApiClient, said: Any) -> None:
    answer = await ada.upload(DATA, user_id=said)
    assert answer.outcome == (400, "invalid_request")


# ---------------------------------------------------------------- who sees what

READS = {
    "view": "/images/{}",
    "metadata": "/images/{}?metadata_only=true",
    "download": "/images/{}?download=true",
}


async def test_an_image_is_private_unless_said_otherwise(ada: ApiClient, user: str) -> None:
    assert (await own(ada))["visibility"] == "private"
    assert (await own(ada, visibility="private"))["visibility"] == "private"
    assert (await own(ada, visibility="public"))["visibility"] == "public"
    form = await ada.upload_form({"title": "A form", "visibility": "public"}, DATA)
    assert form.json["metadata"]["visibility"] == "public"
    told = [each["visibility"] for each in await ada.walk(user_id=user)]
    assert told == ["public", "public", "private", "private"]


async def test_a_direct_upload_says_who_will_see_it(ada: ApiClient, ben: ApiClient) -> None:
    said = unsaid(content_type="image/jpeg", file_size=len(DATA), visibility="public")
    begun = (await ada.post("/uploads", said)).json
    await ada.transfer(begun["upload"], DATA)
    assert (await ada.complete(begun["image_id"])).json["metadata"]["visibility"] == "public"
    assert (await ben.get(f"/images/{begun['image_id']}")).status == 200


@pytest.mark.parametrize("said", ["", "Public", "secret", None, True, ["public"]])
async def test_another_visibility_there_is_not(ada: ApiClient, said: Any) -> None:
    image = await own(ada)
    details = unsaid(visibility=said)
    for answer in (
        await ada.post("/images", {**details, "image_data": base64_of(DATA)}),
        await ada.post("/uploads", {**details, "content_type": "image/jpeg", "file_size": 9}),
        await ada.patch(f"/images/{image['image_id']}", {"visibility": said}),
    ):
        assert answer.outcome == (400, "invalid_request")
        assert answer.json["errors"].keys() == {"visibility"}


@pytest.mark.parametrize("how", READS)
async def test_another_s_private_image_is_not_there(ada: ApiClient, ben: ApiClient, how: str) -> None:
    path = READS[how].format((await own(ada))["image_id"])
    assert (await ada.get(path)).status == 200
    answer = await ben.get(path)
    assert answer.outcome == (404, "not_found")
    nothing = await ben.get(READS[how].format(UNKNOWN))
    told, of_nothing = ({**each.json, "request_id": ""} for each in (answer, nothing))
    assert told == of_nothing, "it looks like an id that was never given"
    assert (await ben.request("HEAD", path)).status == 404


@pytest.mark.parametrize("how", READS)
async def test_another_s_public_image_is_there_to_look_at(ada: ApiClient, ben: ApiClient, how: str) -> None:
    path = READS[how].format((await own(ada, visibility="public"))["image_id"])
    assert (await ben.get(path)).status == 200
    assert (await ben.request("HEAD", path)).status == 200


@pytest.mark.parametrize(
    ("visibility", "outcome"), [("private", (404, "not_found")), ("public", (403, "forbidden"))]
)
async def test_nobody_else_changes_or_deletes_an_image(
    ada: ApiClient, ben: ApiClient, visibility: str, outcome: tuple[int, str]
) -> None:
    image = await own(ada, visibility=visibility)
    path = f"/images/{image['image_id']}"
    assert (await ben.patch(path, {"title": "mine"})).outcome == outcome
    assert (await ben.patch(path, {"visibility": "public"})).outcome == outcome
    assert (await ben.delete(path)).outcome == outcome
    assert (await ada.get(path)).json["metadata"] == image


async def test_who_sees_an_image_can_be_changed(ada: ApiClient, ben: ApiClient, user: str) -> None:
    image = await own(ada, title="Seen by some", tags=["t"])
    path = f"/images/{image['image_id']}"
    filters = ({}, {"tags": "t"}, {"title": "by some"})
    for visibility, status in (("public", 200), ("private", 404), ("public", 200)):
        changed = (await ada.patch(path, {"visibility": visibility})).json["metadata"]
        assert {**changed, "updated_at": ""} == {**image, "visibility": visibility, "updated_at": ""}
        assert (await ben.get(path)).status == status
        for each in filters:
            assert await ids(ben, user_id=user, **each) == [image["image_id"]] * (status == 200)
            assert await ids(ada, user_id=user, **each) == [image["image_id"]]
    kept = (await ada.patch(path, {"title": "Another title"})).json["metadata"]
    assert kept["visibility"] == "public"


async def test_a_list_has_one_s_own_images_and_those_of_everyone(ada: ApiClient, ben: ApiClient, user: str) -> None:
    tag = f"t-{user}"
    mine = [(await own(ada, tags=[tag], visibility=each))["image_id"] for each in ("private", "public") * 3]
    his = [(await own(ben, tags=[tag], visibility=each))["image_id"] for each in ("public", "private") * 3]
    for filters in ({"tags": tag}, {"tags": tag, "title": "photo"}):
        for limit in (1, 2, 100):
            assert await ids(ada, limit=limit, **filters) == (mine + his[0::2])[::-1]
            assert await ids(ben, limit=limit, **filters) == (mine[1::2] + his)[::-1]
    assert await ids(ben, user_id=user, tags=tag) == mine[1::2][::-1]
    assert set(his[1::2]).isdisjoint(await ids(ada))


async def test_a_cursor_is_the_caller_s_alone(ada: ApiClient, ben: ApiClient, user: str) -> None:
    tag = f"t-{user}"
    for _ in range(3):
        await own(ada, tags=[tag], visibility="public")
    page = await ada.page(tags=tag, limit=2)
    assert (await ada.page(tags=tag, limit=2, cursor=page["next_cursor"]))["count"] == 1
    for filters in ({"tags": tag}, {"tags": tag, "user_id": user}):
        answer = await ben.get("/images", params={**filters, "limit": 2, "cursor": page["next_cursor"]})
        assert answer.outcome == (400, "invalid_cursor")


async def test_a_link_needs_no_token(door: Door, ada: ApiClient) -> None:
    image = await own(ada)
    url = (await ada.get(f"/images/{image['image_id']}")).json["url"]
    assert (await door.api.fetch(url)).body == DATA


async def test_with_open_auth_everyone_sees_every_image(api: ApiClient, user: str) -> None:
    image = await api.uploaded(DATA, user_id=user, visibility="private")
    assert (await api.get(f"/images/{image['image_id']}")).json["metadata"] == image
    assert await ids(api, user_id=user) == [image["image_id"]]


async def test_with_open_auth_no_answer_calls_private_what_everyone_sees(api: ApiClient, user: str) -> None:
    path = f"/images/{(await api.uploaded(DATA, user_id=user, visibility='private'))['image_id']}"
    begun = await api.begun(DATA, user_id=user, visibility="private")
    await api.transfer(begun["upload"], DATA)
    answers = [
        await api.complete(begun["image_id"]),
        await api.get(path),
        await api.patch(path, {"user_id": user, "visibility": "private"}),
    ]
    told = [each.json["metadata"] for each in answers] + await api.walk(user_id=user)
    assert [each["visibility"] for each in told] == ["public"] * 5


async def test_what_was_private_under_open_auth_is_private_once_tokens_are_asked_for(tmp_path: Path) -> None:
    async with server_on_local(tmp_path) as api:
        said = {"private": {}, "public": {"visibility": "public"}, "made private": {"visibility": "public"}}
        made = {title: await api.uploaded(DATA, title=title, **details) for title, details in said.items()}
        path = f"/images/{made['made private']['image_id']}"
        await api.patch(path, {"user_id": "ada", "visibility": "private"})
    async with running_issuer() as issuer, server_on_local(tmp_path, **issuer.settings) as api:
        door = Door(api, issuer)
        told = {each["title"]: each["visibility"] for each in await door.signed_in("ada").walk()}
        assert told == {"private": "private", "public": "public", "made private": "private"}
        assert [each["title"] for each in await door.signed_in("ben").walk()] == ["public"]


# ---------------------------------------------------------------- uploads


@pytest.mark.parametrize("visibility", ["private", "public"])
async def test_an_upload_is_there_for_its_user_only(ada: ApiClient, ben: ApiClient, visibility: str) -> None:
    said = unsaid(content_type="image/jpeg", file_size=len(DATA), visibility=visibility)
    begun = (await ada.post("/uploads", said)).json
    path = f"/uploads/{begun['image_id']}"

    async def ben_s() -> set[Any]:
        answers = [await ben.get(path), await ben.delete(path)]
        answers += [await ben.post(f"{path}/{each}") for each in ("sign", "complete")]
        return {each.outcome for each in answers}

    assert await ben_s() == {(404, "not_found")}
    await ada.transfer((await ada.post(f"{path}/sign")).json["upload"], DATA)
    assert await ben_s() == {(404, "not_found")}
    assert (await ada.complete(begun["image_id"])).status == 200
    assert await ben_s() == {(404, "not_found")}
    assert (await ada.get(path)).json["status"] == "ready"


async def test_an_upload_is_given_up_by_its_user(ada: ApiClient) -> None:
    begun = (await ada.post("/uploads", unsaid(content_type="image/jpeg", file_size=9))).json
    assert (await ada.delete(f"/uploads/{begun['image_id']}")).status == 200


# ---------------------------------------------------------------- an issuer that does not answer


async def quickest(api: ApiClient, path: str) -> float:
    """Return how long the quickest of a few answers took, in seconds: others may keep the machine busy."""
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        assert (await api.get(path)).status == 200
        times.append(time.perf_counter() - begun)
    return min(times)


async def test_while_the_issuer_hangs_health_is_quick_and_tokens_are_for_later(
    start: Start, tmp_path: Path
) -> None:
    async with running_issuer() as issuer, start(tmp_path, **issuer.settings) as api:
        issuer.hangs = True
        answer = await Door(api, issuer).signed_in("ada").get("/images")
        assert answer.outcome == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert (await api.get("/images")).outcome == UNAUTHORIZED
        assert await quickest(api, "/health") < 0.5


async def test_health_is_quick_beside_those_who_wait_for_the_issuer(tmp_path: Path) -> None:
    async with running_issuer() as issuer, server_on_local(tmp_path, **issuer.settings) as api:
        issuer.hangs = True
        client = Door(api, issuer).signed_in("ada")
        waiting = [asyncio.create_task(client.get("/images")) for _ in range(50)]
        await issuer.hanging.wait()
        assert await quickest(api, "/health") < 0.5
        assert not any(each.done() for each in waiting)
        issuer.going_on.set()
        assert {each.status for each in await asyncio.gather(*waiting)} == {200}
        assert issuer.fetches == 1
