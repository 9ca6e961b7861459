"""Pictures that are made to hurt do not: a few of each kind; `python -m tests.faults attack` takes 50."""

from pathlib import Path

import pytest

from tests.faults.attack import attacked
from tests.hostile import HOSTILE

UPLOADS = 6


@pytest.mark.parametrize("filename", HOSTILE)
async def test_an_attack_by_uploads_is_felt_by_nobody_else(tmp_path: Path, filename: str) -> None:
    tally = await attacked(tmp_path, filename, UPLOADS)
    assert tally.violations == [], tally.figures
