"""A write whose answer is lost was done all the same: the client is told so, and it was done once."""

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import aioboto3
import pytest

from bootstrap.emulator import Emulator
from service import model
from service.model import State
from service.runtime import Backend, aws_backend, open_service
from service.search import terms
from tests.api.client import Answer, ApiClient
from tests.api.conftest import served
from tests.aws.stand_in import Account, new_account, opened_in
from tests.pictures import picture
from tests.servers.proxy import Fault, Proxy, proxied

DATA = picture()
FAULTS = pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name)


@dataclass(frozen=True)
class Site:
    """A service that reaches AWS through a proxy, and AWS itself, to see what is there."""

    account: Account
    proxy: Proxy
    api: ApiClient
    backend: Backend
    dynamodb: Any

    async def rows(self, table: str, owner: str, name: str) -> list[dict[str, Any]]:
        """Return all rows of a table that belong to a user."""
        pages = self.dynamodb.get_paginator("scan").paginate(
            TableName=table,
            FilterExpression="#owner = :owner",
            ExpressionAttributeNames={"#owner": owner},
            ExpressionAttributeValues={":owner": {"S": name}},
        )
        return [row async for page in pages for row in page["Items"]]

    async def terms(self, name: str) -> set[str]:
        """Return the terms under which lists find what belongs to a user."""
        rows = await self.rows(self.account.settings.index_table, "user_id", name)
        return {row["term"]["S"] for row in rows}

    async def objects(self, image_id: str) -> int:
        """Return how many objects an image has, its upload's included."""
        listed = [each async for each in self.backend.objects.list(f"images/{image_id}/")]
        sent = [each async for each in self.backend.objects.list(f"uploads/{image_id}")]
        return len(listed) + len(sent)


@pytest.fixture(scope="module")
async def site(emulator: Emulator) -> AsyncIterator[Site]:
    root = aioboto3.Session(emulator.root.access_key, emulator.root.secret_key, region_name=emulator.region)
    async with (
        new_account(emulator) as account,
        proxied(emulator.endpoint_url) as proxy,
        opened_in(account.environment(proxy.url), served(account.settings)) as api,
        opened_in(account.environment(), aws_backend(account.settings, model.now)) as backend,
        root.client("dynamodb", endpoint_url=emulator.endpoint_url) as dynamodb,
    ):
        yield Site(account, proxy, api, backend, dynamodb)


async def nothing(api: ApiClient, user: str) -> str:
    return ""


async def begun(api: ApiClient, user: str) -> str:
    return str((await api.begun(DATA, user_id=user, tags=["a"]))["image_id"])


async def sent(api: ApiClient, user: str, data: bytes = DATA) -> str:
    upload = await api.begun(data, user_id=user, tags=["a"])
    assert (await api.transfer(upload["upload"], data)).status == 200
    return str(upload["image_id"])


async def sent_text(api: ApiClient, user: str) -> str:
    return await sent(api, user, b"no picture")


async def published(api: ApiClient, user: str) -> str:
    return str((await api.uploaded(DATA, user_id=user, tags=["a"]))["image_id"])


@dataclass(frozen=True)
class Way:
    """An operation that writes: what comes before it, how it is asked for, and what comes of it."""

    before: Callable[[ApiClient, str], Awaitable[str]]
    ask: Callable[[ApiClient, str, str], Awaitable[Answer]]
    status: int
    state: State
    objects: int
    writes: tuple[str, ...]


def with_new_key(api: ApiClient) -> ApiClient:
    """Return a client that sends the same new idempotency key with everything."""
    return replace(api, headers={"Idempotency-Key": secrets.token_hex(8)})


WAYS = {
    "begin": Way(
        nothing, lambda api, user, _: api.begin(DATA, user_id=user, tags=["a"]),
        201, State.PENDING, 0, ("PutItem",),
    ),
    "upload": Way(
        nothing, lambda api, user, _: api.upload(DATA, user_id=user, tags=["a"]),
        201, State.READY, 1, ("PutItem", "BatchWriteItem", "PUT", "UpdateItem"),
    ),
    "begin with a key": Way(
        nothing, lambda api, user, _: with_new_key(api).begin(DATA, user_id=user, tags=["a"]),
        201, State.PENDING, 0, ("PutItem",),
    ),
    "upload with a key": Way(
        nothing, lambda api, user, _: with_new_key(api).upload(DATA, user_id=user, tags=["a"]),
        201, State.READY, 1, ("PutItem", "BatchWriteItem", "PUT", "UpdateItem"),
    ),
    "complete": Way(
        sent, lambda api, user, image_id: api.complete(image_id),
        200, State.READY, 1, ("CopyObject", "BatchWriteItem", "UpdateItem", "DELETE"),
    ),
    "fail": Way(
        sent_text, lambda api, user, image_id: api.complete(image_id),
        415, State.FAILED, 0, ("CopyObject", "UpdateItem", "DELETE"),
    ),
    "sign": Way(
        begun, lambda api, user, image_id: api.post(f"/uploads/{image_id}/sign"),
        200, State.PENDING, 0, ("UpdateItem",),
    ),
    "cancel": Way(
        sent, lambda api, user, image_id: api.delete(f"/uploads/{image_id}"),
        200, State.DELETED, 0, ("UpdateItem", "BatchWriteItem", "DELETE"),
    ),
    "edit": Way(
        published, lambda api, user, image_id: api.patch(f"/images/{image_id}", {"user_id": user, "tags": ["b"]}),
        200, State.READY, 1, ("BatchWriteItem", "UpdateItem"),
    ),
    "delete": Way(
        published, lambda api, user, image_id: api.delete(f"/images/{image_id}", {"user_id": user}),
        200, State.DELETED, 0, ("UpdateItem", "BatchWriteItem", "DELETE"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("name", "write"), [(name, write) for name, way in WAYS.items() for write in way.writes])
@FAULTS
async def test_a_write_that_is_answered_wrongly_is_done_once_and_told_truly(
    site: Site, user: str, name: str, write: str, fault: Fault
) -> None:
    way = WAYS[name]
    image_id = await way.before(site.api, user)
    site.proxy.faults[write] = fault
    answer = await way.ask(site.api, user, image_id)
    assert site.proxy.faults == {}
    assert answer.status == way.status, answer.body

    image_id = image_id or answer.json["image_id"]
    (record,) = await site.rows(site.account.settings.table, "owner", user)
    assert (record["image_id"]["S"], record["state"]["S"]) == (image_id, way.state)
    assert await site.objects(image_id) == way.objects
    shown = [each["image_id"] for each in await site.api.walk(user_id=user)]
    image = await site.backend.records.image(image_id)
    if way.state is not State.READY:
        assert (shown, image, await site.terms(user)) == ([], None, set())
        return
    assert image
    assert shown == [image_id]
    assert image.details.tags == (("b",) if name == "edit" else ("a",))
    assert await site.terms(user) == set(terms(image.details))
    assert (await site.api.download(image_id)).body == DATA


class Lasting(dict[str, Fault]):
    """Faults that spoil every request of their operation, the SDK's own retries too."""

    def pop(self, name: str, otherwise: Any = None) -> Any:
        """Return a fault, and keep it."""
        return self.get(name, otherwise)


@pytest.mark.parametrize("write", ["PutItem", "BatchWriteItem", "PUT", "UpdateItem"])
@FAULTS
async def test_an_upload_that_failed_is_asked_for_again_by_its_key_and_is_one_image(
    site: Site, user: str, write: str, fault: Fault
) -> None:
    keyed = with_new_key(site.api)
    site.proxy.faults = Lasting({write: fault})
    assert (await keyed.upload(DATA, user_id=user)).outcome == (503, "unavailable")
    site.proxy.faults = {}
    answer = await keyed.upload(DATA, user_id=user)
    assert answer.status == 201, answer.body
    assert (await keyed.upload(DATA, user_id=user)).body == answer.body
    image_id = answer.json["image_id"]
    assert [image["image_id"] for image in await keyed.walk(user_id=user)] == [image_id]
    assert (await keyed.download(image_id)).body == DATA
    tomorrow = lambda: model.now() + timedelta(days=1)  # noqa: E731
    async with opened_in(site.account.environment(), open_service(site.account.settings, tomorrow)) as runtime:
        await runtime.sweeper.sweep()
    assert [row["state"]["S"] for row in await site.rows(site.account.settings.table, "owner", user)] == ["ready"]
    assert await site.objects(image_id) == 1


@FAULTS
async def test_a_direct_upload_that_failed_to_begin_is_begun_by_its_key_once(
    site: Site, user: str, fault: Fault
) -> None:
    keyed = with_new_key(site.api)
    site.proxy.faults = Lasting({"PutItem": fault})
    assert (await keyed.begin(DATA, user_id=user)).outcome == (503, "unavailable")
    site.proxy.faults = {}
    answers = [await keyed.begin(DATA, user_id=user) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].body == answers[1].body
    (record,) = await site.rows(site.account.settings.table, "owner", user)
    assert record["image_id"]["S"] == answers[0].json["image_id"]


async def test_a_key_costs_one_write(site: Site, user: str) -> None:
    calls = []
    for api in (site.api, with_new_key(site.api)):
        site.proxy.calls.clear()
        assert (await api.upload(DATA, user_id=user)).status == 201
        calls.append(site.proxy.calls.copy())
    assert calls[1] - calls[0] == Counter(PutItem=1)
    assert calls[1].total() == calls[0].total() + 1


async def test_dynamodb_removes_what_a_key_stands_for_after_a_day(site: Site, user: str) -> None:
    began = model.now().timestamp()
    assert (await with_new_key(site.api).upload(DATA, user_id=user)).status == 201
    (claim,) = await site.rows(site.account.settings.index_table, "position", user)
    assert 24 * 3600 < int(claim["expires"]["N"]) - began < 24 * 3600 + 60


async def test_fifty_at_once_make_one_image_and_one_object_and_get_one_answer(site: Site, user: str) -> None:
    keyed = with_new_key(site.api)
    answers = await asyncio.gather(*(keyed.upload(DATA, user_id=user) for _ in range(50)))
    assert [answer.status for answer in answers] == [201] * 50
    (body,) = {answer.body for answer in answers}
    (record,) = await site.rows(site.account.settings.table, "owner", user)
    assert record["image_id"]["S"] == json.loads(body)["image_id"]
    assert await site.objects(record["image_id"]["S"]) == 1


async def completed(api: ApiClient, user: str) -> str:
    image_id = await sent(api, user)
    assert (await api.complete(image_id)).status == 200
    return image_id


async def deleted(api: ApiClient, user: str) -> str:
    image_id = await completed(api, user)
    assert (await api.delete(f"/images/{image_id}", {"user_id": user})).status == 200
    return image_id


@pytest.mark.parametrize(
    ("before", "write"),
    [
        *[(sent, write) for write in ("UpdateItem", "BatchWriteItem", "DELETE", "DeleteItem")],
        *[(deleted, write) for write in ("BatchWriteItem", "DELETE", "DeleteItem")],
        *[(completed, write) for write in ("UpdateItem", "DELETE")],
    ],
)
@FAULTS
async def test_a_sweep_that_is_answered_wrongly_leaves_nothing_and_spares_what_is_published(
    site: Site, user: str, before: Callable[[ApiClient, str], Awaitable[str]], write: str, fault: Fault
) -> None:
    left = ["ready"] if before is completed else []
    image_id = await before(site.api, user)
    environment, tomorrow = site.account.environment(site.proxy.url), lambda: model.now() + timedelta(days=1)
    async with opened_in(environment, open_service(site.account.settings, tomorrow)) as runtime:
        site.proxy.faults[write] = fault
        swept = await runtime.sweeper.sweep()
        assert swept.removed >= 1
        assert swept.failed == 0
        assert site.proxy.faults == {}
        assert (await runtime.sweeper.sweep()).removed == 0
    rows = await site.rows(site.account.settings.table, "owner", user)
    assert [row["state"]["S"] for row in rows] == left
    assert await site.objects(image_id) == len(left)
    assert bool(await site.terms(user)) is bool(left)


@FAULTS
async def test_the_secret_of_cursors_is_one_for_all_whatever_becomes_of_its_first_write(
    emulator: Emulator, fault: Fault
) -> None:
    async with new_account(emulator) as account, proxied(emulator.endpoint_url) as proxy:
        async with opened_in(account.environment(proxy.url), served(account.settings)) as one:
            for _ in range(2):
                await one.uploaded(DATA)
            proxy.faults["PutItem"] = fault
            cursor = (await one.page(limit=1))["next_cursor"]
            assert proxy.faults == {}
        async with opened_in(account.environment(), served(account.settings)) as other:
            assert (await other.get("/images", params={"cursor": cursor})).status == 200
