"""Two servers whose clocks jump by hours: nothing is lost, and nothing comes back."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bootstrap.emulator import Emulator
from tests.faults import hours
from tests.faults.clocks import run
from tests.faults.sites import Site, on_aws, on_local
from tests.faults.tally import Tally
from tests.servers import faketime


@pytest.fixture(scope="module", params=["local", "aws"])
async def site(
    request: pytest.FixtureRequest, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    running = on_local(tmp_path_factory.mktemp("clocks")) if request.param == "local" else on_aws(emulator)
    async with running as made:
        yield made


async def test_clocks_that_jump_and_are_set_right_lose_nothing_and_bring_nothing_back(site: Site) -> None:
    tally = Tally("clocks")
    await run(site, random.Random(7), 3, tally)
    assert (tally.violations, tally.count) == ([], 3)


@pytest.mark.skipif(faketime.available() is not None, reason=str(faketime.available()))
async def test_processes_whose_clocks_are_set_wrong_and_right_lose_nothing_and_bring_nothing_back(
    emulator: Emulator, tmp_path: Path
) -> None:
    for tally in await hours.measure(tmp_path, emulator, seed=7, times=1):
        assert (tally.violations, tally.count) == ([], 1)
