"""The counters of usage in DynamoDB: what a lost answer does to them, and how reconcile sets them right."""

import logging
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from bootstrap.emulator import Emulator
from bootstrap.policy import upkeep_policy
from service.aws.session import opened_clients
from service.aws.usage import Usage
from service.domain.model import Details, Mended
from service.runtime import Runtime, open_service
from service.settings import Settings
from tests.aws.stand_in import Account, new_account, opened_in
from tests.pictures import picture
from tests.servers.proxy import Fault, Proxy, proxied

DATA = picture()


@dataclass(frozen=True)
class Counters:
    """Counters, by a way on which answers get lost."""

    usage: Usage
    proxy: Proxy


@pytest.fixture(scope="module")
async def counters(account: Account) -> AsyncIterator[Counters]:
    async with (
        proxied(account.emulator.endpoint_url) as proxy,
        opened_in(account.environment(proxy.url), opened_clients(Settings())) as clients,
    ):
        yield Counters(Usage(clients.dynamodb, account.settings.index_table, kept=True), proxy)


@pytest.mark.parametrize("fault", [each for each in Fault if each.is_quick], ids=lambda fault: fault.name)
async def test_an_addition_that_is_answered_wrongly_is_done_once(
    counters: Counters, user: str, fault: Fault
) -> None:
    await counters.usage.add_or_leave(user, 5)
    counters.proxy.calls.clear()
    counters.proxy.faults["UpdateItem", 1] = fault
    await counters.usage.add_or_leave(user, 7)
    assert counters.proxy.faults == {}
    assert await counters.usage.of(user) == 12


async def test_a_counter_that_cannot_be_reached_fails_nobody_s_upload(
    counters: Counters, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    counters.proxy.throttling = "ThrottlingException"
    try:
        with caplog.at_level(logging.WARNING):
            await counters.usage.add_or_leave(user, 7)
    finally:
        counters.proxy.throttling = ""
    assert "reconcile will correct it" in caplog.text
    assert await counters.usage.of(user) == 0


async def test_nobody_uses_less_than_nothing(counters: Counters, user: str) -> None:
    await counters.usage.add_or_leave(user, -7)
    assert await counters.usage.of(user) == 0


async def test_a_counter_that_changed_meanwhile_is_left_for_the_next_time(counters: Counters, user: str) -> None:
    usage, found = counters.usage, Counter({user: 1_000})
    for expected in (7, 14):  # one that was not there when the rows were read, and one that was
        rows = [row for row in await usage.rows() if row["position"]["S"] == user]
        await usage.add_or_leave(user, 7)
        await usage.mend(rows, found, dry_run=False)
        assert await usage.of(user) == expected
    rows = [row for row in await usage.rows() if row["position"]["S"] == user]
    assert await usage.mend(rows, found, dry_run=False) == 1
    assert await usage.of(user) == 1_000


# ---------------------------------------------------------------- reconcile


@pytest.fixture
async def runtimes(emulator: Emulator) -> AsyncIterator[tuple[Runtime, Runtime]]:
    """Return a service without a quota, and one with a quota, on the same tables."""
    async with new_account(emulator) as made:
        account = replace(made, key=await emulator.create_user(upkeep_policy(made.settings)))
        counting = replace(account.settings, user_quota_bytes=10**9)
        async with (
            opened_in(account.environment(), open_service(account.settings)) as without,
            opened_in(account.environment(), open_service(counting)) as counted,
        ):
            yield without, counted


async def test_reconcile_counts_what_was_there_before_the_quota(runtimes: tuple[Runtime, Runtime]) -> None:
    without, counted = runtimes
    images = [
        await without.api.services.images.upload(Details(user, "A photo", "photo.jpg"), DATA)
        for user in ("ada", "ada", "grace")
    ]
    usage = counted.api.services.depot.records.usage
    assert [await usage(user) for user in ("ada", "grace")] == [0, 0]

    assert (await counted.reconciler.reconcile(dry_run=True)).lists == Mended(miscounted=2)
    assert await usage("ada") == 0
    assert (await counted.reconciler.reconcile()).lists == Mended(miscounted=2)
    assert [await usage(user) for user in ("ada", "grace")] == [2 * len(DATA), len(DATA)]
    assert (await counted.reconciler.reconcile()).lists == Mended()

    for image in images:  # nobody counts that
        await without.api.services.images.delete(image.image_id, image.details.user_id, viewer=None)
    assert (await counted.reconciler.reconcile()).lists == Mended(miscounted=2)
    assert [await usage(user) for user in ("ada", "grace")] == [0, 0]


async def test_without_a_quota_nothing_is_counted(runtimes: tuple[Runtime, Runtime]) -> None:
    without, counted = runtimes
    await without.api.services.images.upload(Details("ada", "A photo", "photo.jpg"), DATA)
    assert (await without.reconciler.reconcile()).lists == Mended()
    assert await counted.api.services.depot.records.usage("ada") == 0
