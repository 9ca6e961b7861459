"""A call to AWS that fails, or whose answer is lost: what it was for is done once, and the client is told so."""

import random
from collections.abc import AsyncIterator, Sequence

import pytest

from bootstrap.emulator import Emulator
from tests.api.conftest import served
from tests.aws.stand_in import new_account, opened_in
from tests.faults.calls import DATA, Done, do_all, each_alone, several, sites_on_aws, usual
from tests.faults.sites import Site
from tests.faults.tally import Tally
from tests.servers.proxy import Fault, proxied

QUICK = [fault for fault in Fault if fault.is_quick]


@pytest.fixture(scope="module")
async def sites(emulator: Emulator) -> AsyncIterator[Sequence[Site]]:
    async with sites_on_aws(emulator, 6) as running:
        yield running


@pytest.fixture(scope="module")
async def undisturbed(sites: Sequence[Site]) -> dict[str, Done]:
    return await usual(sites[0])


async def test_one_call_that_goes_wrong_changes_nothing_that_a_client_sees(
    sites: Sequence[Site], undisturbed: dict[str, Done]
) -> None:
    # Every call there is goes wrong in one of the ways; tests.faults has them all.
    by_call = zip(*(each_alone(undisturbed, [fault]) for fault in QUICK), strict=True)
    jobs = [of_call[number % len(QUICK)] for number, of_call in enumerate(by_call)]
    tally = Tally("one")
    await do_all(sites, jobs, undisturbed, tally)
    assert tally.violations == []
    assert tally.count > 0.9 * len(jobs) > 80


async def test_writes_that_are_done_but_not_answered_are_done_once(
    sites: Sequence[Site], undisturbed: dict[str, Done]
) -> None:
    writes = ("PutItem", "UpdateItem", "PutObject", "CopyObject")
    jobs = [job for job in each_alone(undisturbed, [Fault.DONE_THEN_CUT]) if job.faults[0][0][0] in writes]
    tally = Tally("writes")
    await do_all(sites, jobs, undisturbed, tally)
    assert tally.violations == []
    assert tally.count == len(jobs) > 10


async def test_of_many_calls_that_go_wrong_a_client_learns_at_most_that_the_service_is_unavailable(
    sites: Sequence[Site], undisturbed: dict[str, Done]
) -> None:
    jobs = several(undisturbed, random.Random(5), at_least=60)
    tally = Tally("several")
    await do_all(sites, jobs, undisturbed, tally)
    assert tally.violations == []
    assert tally.count > 20


@pytest.mark.parametrize("fault", QUICK, ids=lambda fault: fault.name)
async def test_the_secret_of_cursors_is_one_for_all_whatever_becomes_of_its_first_write(
    emulator: Emulator, fault: Fault
) -> None:
    async with new_account(emulator) as account, proxied(emulator.endpoint_url) as proxy:
        async with opened_in(account.environment(proxy.url), served(account.settings)) as one:
            for _ in range(2):
                await one.uploaded(DATA)
            proxy.calls.clear()
            proxy.faults["PutItem", 1] = fault
            cursor = (await one.page(limit=1))["next_cursor"]
            assert proxy.faults == {}
        async with opened_in(account.environment(), served(account.settings)) as other:
            assert (await other.get("/images", params={"cursor": cursor})).status == 200
