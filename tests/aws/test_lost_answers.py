"""A write to DynamoDB that is done, but whose answer is lost, while others write before the SDK's retry."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import aioboto3
import pytest
from aiohttp import web

from bootstrap.emulator import Emulator
from service.backends import Backend, opened_backend
from service.domain import model
from service.domain.model import State, Upload
from tests.api.client import ApiClient
from tests.api.conftest import served
from tests.aws.stand_in import Account, new_account, opened_in
from tests.contract.test_image_repository import an_upload, published
from tests.pictures import picture
from tests.servers.proxy import Fault, Proxy, operation, proxied

DATA = picture()
LOST = pytest.mark.parametrize("fault", [Fault.DONE_THEN_500, Fault.DONE_THEN_CUT], ids=lambda fault: fault.name)


@dataclass(frozen=True)
class Pair:
    """Two services on one account: `far` is behind a proxy, `near` is not; and what is below each."""

    far: ApiClient
    near: ApiClient
    proxy: Proxy
    far_backend: Backend
    near_backend: Backend
    account: Account

    def lose(self, fault: Fault, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Lose the answer to the next update that `far` sends, and do something before its retry."""
        updates = 0

        async def accident(request: web.Request) -> Fault | None:
            nonlocal updates
            updates += operation(request) == "UpdateItem"
            if operation(request) == "UpdateItem" and updates == 1:
                return fault
            if updates == 2:
                updates += 1
                await meanwhile()
            return None

        self.proxy.accident = accident


@pytest.fixture(scope="module")
async def pair(emulator: Emulator) -> AsyncIterator[Pair]:
    """Return two services on an account of their own."""
    async with (
        new_account(emulator) as account,
        proxied(emulator.endpoint_url) as proxy,
        opened(account, proxy.url) as (far, far_backend),
        opened(account, None) as (near, near_backend),
    ):
        yield Pair(far, near, proxy, far_backend, near_backend, account)


@asynccontextmanager
async def opened(account: Account, url: str | None) -> AsyncIterator[tuple[ApiClient, Backend]]:
    async with (
        opened_in(account.environment(url), served(account.settings)) as api,
        opened_in(account.environment(url), opened_backend(account.settings, model.now)) as backend,
    ):
        yield api, backend


@LOST
@pytest.mark.parametrize("edits", [1, 3, 30])
@pytest.mark.parametrize("conditional", [False, True], ids=["", "If-Match"])
async def test_an_edit_is_applied_once_though_others_edit_before_it_is_tried_again(
    pair: Pair, fault: Fault, edits: int, *, conditional: bool
) -> None:
    image_id = (await pair.near.uploaded(DATA))["image_id"]
    etag = (await pair.near.get(f"/images/{image_id}?metadata_only=1")).headers["ETag"]

    async def meanwhile() -> None:
        for n in range(edits):
            title = {"user_id": "ada", "title": f"Later {n}"}
            assert (await pair.near.patch(f"/images/{image_id}", title)).status == 200

    pair.lose(fault, meanwhile)
    condition = {"If-Match": etag} if conditional else {}
    first = {"user_id": "ada", "title": "First", "description": "Of the first"}
    answer = await pair.far.patch(f"/images/{image_id}", first, headers=condition)
    assert (answer.status, answer.json["metadata"]["title"]) == (200, "First")
    after = (await pair.near.get(f"/images/{image_id}?metadata_only=1")).json["metadata"]
    assert (after["title"], after["description"]) == (f"Later {edits - 1}", "Of the first")
    assert image_id in {each["image_id"] for each in await pair.near.walk(title=f"Later {edits - 1}")}


async def test_an_image_that_is_edited_all_the_time_does_not_grow_by_it(pair: Pair) -> None:
    records, settings = pair.near_backend.records, pair.account.settings
    image = await published(records, an_upload())
    sizes = []
    emulator = pair.account.emulator
    root = aioboto3.Session(emulator.root.access_key, emulator.root.secret_key, region_name=emulator.region)
    async with root.client("dynamodb", endpoint_url=emulator.endpoint_url) as dynamodb:
        for n in range(200):
            edited = replace(image, updated_at=image.updated_at + timedelta(milliseconds=1))
            assert await records.edit(edited, seen=image)
            image = edited
            if n % 20 == 19:
                key = {"image_id": {"S": image.image_id}}
                found = await dynamodb.get_item(TableName=settings.table, Key=key)
                sizes.append(len(found["Item"]["edit_nonces"]["L"]))
    assert 32 <= max(sizes) < 64


@LOST
async def test_an_edit_counts_though_the_image_is_deleted_before_it_is_tried_again(
    pair: Pair, fault: Fault
) -> None:
    image_id = (await pair.near.uploaded(DATA))["image_id"]

    async def meanwhile() -> None:
        assert (await pair.near.delete(f"/images/{image_id}", {"user_id": "ada"})).status == 200

    pair.lose(fault, meanwhile)
    answer = await pair.far.patch(f"/images/{image_id}", {"user_id": "ada", "title": "First"})
    assert (answer.status, answer.json["metadata"]["title"]) == (200, "First")
    assert (await pair.near.get(f"/images/{image_id}")).status == 404


@LOST
async def test_an_upload_that_is_signed_again_keeps_the_latest_end_of_all(pair: Pair, fault: Fault) -> None:
    far, near = pair.far_backend.records, pair.near_backend.records
    upload = an_upload()
    await near.begin(upload)
    sooner, later = (upload.expires_at + timedelta(minutes=minutes) for minutes in (1, 9))
    extended: list[Upload | None] = []

    async def meanwhile() -> None:
        extended.append(await near.extend(upload.image_id, later))

    pair.lose(fault, meanwhile)
    assert await far.extend(upload.image_id, sooner) in {
        replace(upload, expires_at=sooner),
        replace(upload, expires_at=later),
    }
    assert extended == [replace(upload, expires_at=later)]
    assert await near.upload(upload.image_id) == replace(upload, expires_at=later)


@LOST
async def test_an_upload_is_signed_though_its_retry_finds_it_signed(pair: Pair, fault: Fault) -> None:
    upload = an_upload()
    await pair.near_backend.records.begin(upload)
    later = upload.expires_at + timedelta(minutes=1)
    pair.lose(fault, _nothing)
    assert await pair.far_backend.records.extend(upload.image_id, later) == replace(upload, expires_at=later)


@LOST
async def test_a_record_is_retired_by_whoever_came_first(pair: Pair, fault: Fault) -> None:
    far, near = pair.far_backend.records, pair.near_backend.records
    image = await published(near, an_upload())
    outcomes = []

    async def meanwhile() -> None:
        outcomes.append(await near.retire(image.image_id, {State.READY}, model.now()))

    pair.lose(fault, meanwhile)
    assert await far.retire(image.image_id, {State.READY}, model.now())
    assert outcomes == [False]


async def _nothing() -> None:
    pass
