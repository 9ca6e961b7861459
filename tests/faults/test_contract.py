"""Every answer is one that openapi.json describes, whatever is asked for."""

from pathlib import Path

import pytest

from tests.faults.contract import SKINS, Skin, run
from tests.faults.tally import Tally


@pytest.mark.parametrize("skin", SKINS.values(), ids=SKINS)
async def test_answers_are_as_described(skin: Skin, tmp_path: Path) -> None:
    tally = Tally("cases")
    await run(skin, tmp_path, 2, 200, tally)
    assert tally.violations == []
    assert tally.count >= 150
