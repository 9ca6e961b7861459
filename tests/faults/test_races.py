"""Clients that race each other: one of the orders explains what came of it."""

import random
from collections.abc import AsyncIterator

import pytest

from bootstrap.emulator import Emulator
from tests.faults.races import CROWDS, RACES, Race, on_aws, on_local, run
from tests.faults.sites import Site
from tests.faults.tally import Tally


@pytest.fixture(scope="module", params=["local", "aws"])
async def site(
    request: pytest.FixtureRequest, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    running = on_local(tmp_path_factory.mktemp("races")) if request.param == "local" else on_aws(emulator)
    async with running as made:
        yield made


@pytest.mark.parametrize("race", RACES.values(), ids=RACES)
async def test_an_order_of_what_raced_explains_its_outcome(site: Site, race: Race) -> None:
    tally = Tally("race")
    await run(site, race, random.Random(3), 30, tally)
    assert (tally.violations, tally.count) == ([], 30)


@pytest.mark.parametrize("crowd", CROWDS.values(), ids=CROWDS)
async def test_of_many_equal_requests_all_are_told_of_the_one_image(site: Site, crowd: Race) -> None:
    tally = Tally("crowd")
    await run(site, crowd, random.Random(4), 2, tally)
    assert (tally.violations, tally.count) == ([], 2)
