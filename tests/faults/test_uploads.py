"""Uploads by the client over a bad network, in short; `python -m tests.faults uploads` has thousands of them."""

import random
from pathlib import Path

import pytest

from bootstrap.emulator import Emulator
from tests.faults.tally import Tally
from tests.faults.uploads import SERVICES, Weather, upload_all


@pytest.mark.parametrize("name", SERVICES)
async def test_each_upload_is_there_once_whatever_the_network_does(
    name: str, emulator: Emulator, tmp_path: Path
) -> None:
    ttl, count = (6, 10) if name == "lambda on aws" else (2, 40)
    tally, weather = Tally(name), Weather(random.Random(7), ttl, lateness=2 / count)
    async with SERVICES[name](tmp_path, emulator, weather.ttl) as service:
        await upload_all(service, weather, 7, count, tally)
    assert (tally.violations, tally.count) == ([], count)
    assert weather.spoilt.total() > count / 4
    assert weather.late >= 1
