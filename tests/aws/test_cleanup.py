"""Cleanup when S3 or DynamoDB fail in the middle: nothing is left that sweep does not find, and no answer waits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from service.domain.errors import Unavailable
from service.domain.model import Content, Details, Expected, Image, Upload
from service.runtime import Runtime, open_service
from tests.api.client import ApiClient
from tests.api.conftest import served
from tests.aws.stand_in import Account, new_account, opened_in
from tests.faults.sites import tomorrow
from tests.pictures import picture
from tests.servers.proxy import Fault, Proxy, operation, proxied

DATA = picture()
DETAILS = Details("ada", "A photo", "photo.jpg")


@dataclass(frozen=True)
class Site:
    """A service whose backends are behind a proxy each, and what reaches both directly, now and a day later."""

    api: ApiClient
    today: Runtime
    aside: Runtime
    later: Runtime
    database: Proxy
    storage: Proxy

    async def objects(self) -> list[str]:
        """Return the keys of all objects."""
        return [each.key async for each in self.later.api.services.depot.objects.list("")]


@asynccontextmanager
async def running(account: Account) -> AsyncIterator[Site]:
    upstream = account.emulator.endpoint_url
    async with proxied(upstream) as database, proxied(upstream) as storage:
        through = {"dynamodb": database.url, "s3": storage.url}
        async with (
            opened_in(account.environment(**through), served(account.settings)) as api,
            opened_in(account.environment(**through), open_service(account.settings)) as today,
            opened_in(account.environment(), open_service(account.settings)) as aside,
            opened_in(account.environment(), open_service(account.settings, tomorrow)) as later,
        ):
            yield Site(api, today, aside, later, database, storage)


@pytest.fixture
async def site(account: Account) -> AsyncIterator[Site]:
    async with new_account(account.emulator) as own, running(own) as opened:
        await opened.aside.sweeper.sweep()  # which pairs both sides, before there are images without objects
        yield opened


@pytest.mark.parametrize("hangs", [False, True], ids=["refuses", "hangs"])
async def test_an_upload_writes_no_object_while_the_database_takes_no_record(site: Site, *, hangs: bool) -> None:
    if hangs:
        site.database.hang()
    else:
        await site.database.refuse()
    keyed = replace(site.api, headers={"Idempotency-Key": "once"})
    answers = await asyncio.gather(
        *(site.api.upload(DATA) for _ in range(3)),
        site.api.upload_form({"user_id": "ada", "title": "A photo"}, DATA),
        keyed.upload(DATA),
    )
    assert {each.outcome for each in answers} == {(503, "unavailable")}
    assert await site.objects() == []


async def test_a_picture_that_is_refused_is_refused_at_once_though_the_database_hangs(site: Site) -> None:
    site.database.hang()
    async with asyncio.timeout(5):
        assert (await site.api.upload(DATA[:-100])).outcome == (422, "invalid_image")


@pytest.mark.parametrize("writes", ["BatchWriteItem", "UpdateItem"], ids=["rows of lists", "publishing"])
async def test_what_an_upload_wrote_before_the_database_failed_is_gone_after_a_sweep_alone(
    site: Site, writes: str
) -> None:
    site.database.accident = _spoiling(writes, Fault.CUT)
    assert (await site.api.upload(DATA)).outcome == (503, "unavailable")
    assert (await site.later.sweeper.sweep()).failed == 0
    assert await site.objects() == []


def _spoiling(name: str, fault: Fault) -> Callable[[web.Request], Awaitable[Fault | None]]:
    async def accident(request: web.Request) -> Fault | None:
        return fault if operation(request) == name else None

    return accident


async def cut_off(site: Site, call: str, work: Coroutine[Any, Any, Image]) -> None:
    """Do something until it makes this call of the database, which hangs; cancel it then, as a timeout does."""
    called = asyncio.Event()

    async def hang(request: web.Request) -> Fault | None:
        if operation(request) != call:
            return None
        while site.storage.calls["PutObject"] < 2:  # what is written beside it, or before, has arrived
            await site.storage.until_called(site.storage.calls.total() + 1)
        called.set()
        return Fault.HANGS

    site.database.accident = hang
    task = asyncio.create_task(work)
    await called.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("key", [None, "once"], ids=["without a key", "with a key"])
@pytest.mark.parametrize("hangs", ["BatchWriteItem", "UpdateItem"], ids=["rows of lists", "publishing"])
async def test_what_an_upload_wrote_before_it_was_cut_off_is_gone_after_a_sweep_alone(
    site: Site, hangs: str, key: str | None
) -> None:
    await cut_off(site, hangs, site.today.api.services.images.upload(DETAILS, DATA, idempotency_key=key))
    assert (await site.later.sweeper.sweep()).failed == 0
    assert await site.objects() == []


async def test_what_a_complete_copied_before_it_was_cut_off_is_gone_after_a_sweep_alone(site: Site) -> None:
    upload = await site.api.begun(DATA)
    assert (await site.api.transfer(upload["upload"], DATA)).status == 200
    await cut_off(site, "BatchWriteItem", site.today.api.services.uploads.complete(upload["image_id"], "ada"))
    await site.later.sweeper.sweep()
    assert await site.objects() == []


OLD = datetime(2020, 1, 1, tzinfo=UTC)


async def begun_long_ago(site: Site) -> Upload:
    """Begin an upload whose links have been dead for years."""
    depot = site.aside.api.services.depot
    upload = depot.new_upload(DETAILS, Expected("PUT", "image/jpeg", len(DATA)))
    upload = replace(upload, created_at=OLD, expires_at=OLD + timedelta(minutes=15))
    await depot.records.begin(upload)
    return upload


async def published_long_ago(site: Site) -> str:
    """Return the id of an old image, of which only the record is there."""
    depot, upload = site.aside.api.services.depot, await begun_long_ago(site)
    content = Content("image/jpeg", len(DATA), "0" * 64, 4, 3)
    image = Image(upload.image_id, DETAILS, content, depot.sealed_key(upload.image_id), OLD, OLD)
    assert await depot.records.publish(image, settled=True)
    return upload.image_id


@pytest.mark.parametrize("way", ["delete", "cancel"])
async def test_the_first_to_delete_something_old_is_told_so_though_its_answer_is_lost_and_a_sweep_passes_by(
    site: Site, way: str
) -> None:
    if way == "delete":
        path = f"/images/{await published_long_ago(site)}?user_id=ada"
    else:
        path = f"/uploads/{(await begun_long_ago(site)).image_id}"

    async def sweep_before_the_retry(request: web.Request) -> None:
        if operation(request) == "UpdateItem" and site.database.faults == {}:
            await site.aside.sweeper.sweep()

    site.database.faults["UpdateItem", 1] = Fault.DONE_THEN_CUT
    site.database.accident = sweep_before_the_retry
    assert (await site.api.delete(path)).status == 200
    assert site.database.calls["UpdateItem"] == 2
    assert (await site.api.delete(path)).status == 404


async def test_of_many_who_delete_an_old_image_at_once_beside_sweeps_one_is_told_that_it_did(site: Site) -> None:
    image_id = await published_long_ago(site)
    asked = [site.api.delete(f"/images/{image_id}?user_id=ada") for _ in range(6)]
    answers, *_ = await asyncio.gather(asyncio.gather(*asked), *(site.aside.sweeper.sweep() for _ in range(3)))
    assert sorted(each.status for each in answers) == [200, 404, 404, 404, 404, 404]


async def test_a_batch_is_answered_as_decided_though_the_storage_hangs_and_takes_no_longer_than_one_delete(
    site: Site,
) -> None:
    ids = await asyncio.gather(*(published_long_ago(site) for _ in range(60)))
    site.storage.hang()
    clock = asyncio.get_running_loop().time
    began = clock()
    answer = await site.api.post("/images/batch-delete", {"user_id": "ada", "image_ids": ids})
    assert (answer.status, {each["status"] for each in answer.json["results"]}) == (200, {200})
    assert clock() - began < 10  # 2 of them for the storage, the rest for a busy machine


async def test_a_batch_that_the_database_hangs_in_tells_which_were_decided(site: Site) -> None:
    ids = await asyncio.gather(*(published_long_ago(site) for _ in range(12)))

    async def hang_after_some(request: web.Request) -> Fault | None:
        hangs = operation(request) == "UpdateItem" and site.database.calls["UpdateItem"] > 3
        return Fault.HANGS if hangs else None

    site.database.accident = hang_after_some
    answer = await site.api.post("/images/batch-delete", {"user_id": "ada", "image_ids": ids})
    told = {each["image_id"]: (each["status"], each["code"]) for each in answer.json["results"]}
    assert sorted(told.values()) == [(200, None)] * 3 + [(503, "unavailable")] * 9
    for image_id, outcome in told.items():
        gone = await site.aside.api.services.depot.records.image(image_id) is None
        assert gone is (outcome[0] == 200)


@pytest.mark.parametrize("ends_early", [False, True], ids=["cut", "too short"])
async def test_bytes_of_an_object_that_break_off_are_the_storages_failure_and_nothing_is_published(
    site: Site, ends_early: bool
) -> None:
    upload = await site.api.begun(DATA)
    assert (await site.api.transfer(upload["upload"], DATA)).status == 200
    site.storage.most_of_object, site.storage.ends_early = 100, ends_early
    assert (await site.api.complete(upload["image_id"])).outcome == (503, "unavailable")
    with pytest.raises(Unavailable):
        await site.today.api.services.depot.whole(site.aside.api.services.depot.upload_key(upload["image_id"]))
    site.storage.most_of_object = None
    assert (await site.api.complete(upload["image_id"])).status == 200
