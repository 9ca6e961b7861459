"""An idempotency key on AWS: one image whatever fails on the way, for one write more."""

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aioboto3
import pytest

from bootstrap.emulator import Emulator
from service.domain import model
from service.domain.model import State
from tests.api.client import ApiClient
from tests.faults.sites import Site, on_aws
from tests.pictures import picture
from tests.servers.proxy import Fault

DATA = picture()
FAULTS = pytest.mark.parametrize(
    "fault", [Fault.NOT_DONE, Fault.DONE_THEN_500, Fault.DONE_THEN_CUT], ids=lambda fault: fault.name
)


class Lasting(dict[Any, Fault]):
    """Faults that spoil every request of their operation, the SDK's own retries too."""

    def pop(self, call: Any, otherwise: Any = None) -> Any:
        """Return a fault, and keep it."""
        return self.get(call[0], otherwise)


@pytest.fixture(scope="module")
async def site(emulator: Emulator) -> AsyncIterator[Site]:
    """Return a service of its own behind a proxy."""
    async with on_aws(emulator) as running:
        yield running


@pytest.fixture
async def claims(emulator: Emulator) -> AsyncIterator[Any]:
    """Return a client that sees every table."""
    root = aioboto3.Session(emulator.root.access_key, emulator.root.secret_key, region_name=emulator.region)
    async with root.client("dynamodb", endpoint_url=emulator.endpoint_url) as dynamodb:
        yield dynamodb


@pytest.fixture
def keyed(site: Site) -> ApiClient:
    """Return a client that sends the same new key with everything."""
    return replace(site.api, headers={"Idempotency-Key": secrets.token_hex(8)})


@pytest.fixture
def user() -> str:
    """Return a user whom no other test knows."""
    return f"user-{secrets.token_hex(8)}"


async def objects(site: Site, image_id: str) -> int:
    """Return how many objects an image has, its upload's included."""
    prefixes = (f"images/{image_id}/", f"uploads/{image_id}")
    return len([each for prefix in prefixes async for each in site.depot.objects.list(prefix)])


@pytest.mark.parametrize("write", ["PutItem", "BatchWriteItem", "PutObject", "UpdateItem"])
@FAULTS
async def test_an_upload_that_failed_is_asked_for_again_by_its_key_and_is_one_image(
    site: Site, keyed: ApiClient, user: str, write: str, fault: Fault
) -> None:
    assert site.proxy
    site.proxy.faults = Lasting({write: fault})
    assert (await keyed.upload(DATA, user_id=user)).outcome == (503, "unavailable")
    site.proxy.faults = {}
    answer = await keyed.upload(DATA, user_id=user)
    assert answer.status == 201, answer.body
    assert (await keyed.upload(DATA, user_id=user)).body == answer.body
    image_id = answer.json["image_id"]
    assert [image["image_id"] for image in await keyed.walk(user_id=user)] == [image_id]
    assert (await keyed.download(image_id)).body == DATA
    await site.later.sweeper.sweep()
    assert (await keyed.download(image_id)).body == DATA
    assert await objects(site, image_id) == 3  # the original, and two smaller ones


@FAULTS
async def test_a_direct_upload_that_failed_to_begin_is_begun_by_its_key_once(
    site: Site, keyed: ApiClient, user: str, fault: Fault
) -> None:
    assert site.proxy
    site.proxy.faults = Lasting({"PutItem": fault})
    assert (await keyed.begin(DATA, user_id=user)).outcome == (503, "unavailable")
    site.proxy.faults = {}
    answers = [await keyed.begin(DATA, user_id=user) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].body == answers[1].body
    upload = await site.depot.records.upload(answers[0].json["image_id"])
    assert upload is not None
    assert upload.state is State.PENDING


async def test_a_key_costs_one_write(site: Site, keyed: ApiClient, user: str) -> None:
    assert site.proxy
    calls = []
    for api in (site.api, keyed):
        site.proxy.calls.clear()
        assert (await api.upload(DATA, user_id=user)).status == 201
        calls.append(site.proxy.calls.copy())
    assert calls[1] - calls[0] == Counter(PutItem=1)
    assert calls[1].total() == calls[0].total() + 1


async def test_dynamodb_removes_what_a_key_stands_for_after_a_day(
    site: Site, keyed: ApiClient, user: str, claims: Any
) -> None:
    began = model.now().timestamp()
    assert (await keyed.upload(DATA, user_id=user)).status == 201
    found = await claims.scan(
        TableName=site.depot.settings.index_table,
        FilterExpression="#position = :user",
        ExpressionAttributeNames={"#position": "position"},
        ExpressionAttributeValues={":user": {"S": user}},
    )
    (claim,) = found["Items"]
    assert 24 * 3600 < int(claim["expires"]["N"]) - began < 24 * 3600 + 60


async def test_fifty_at_once_make_one_image_and_one_object_and_get_one_answer(
    site: Site, keyed: ApiClient, user: str
) -> None:
    answers = await asyncio.gather(*(keyed.upload(DATA, user_id=user) for _ in range(50)))
    assert [answer.status for answer in answers] == [201] * 50
    (body,) = {answer.body for answer in answers}
    image_id = json.loads(body)["image_id"]
    assert [image["image_id"] for image in await keyed.walk(user_id=user)] == [image_id]
    assert await objects(site, image_id) == 3  # the original, and two smaller ones
