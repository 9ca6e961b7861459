"""Photographs in a row, in short: fewer, and few that are large; what is said of memory is as in the long form."""

from pathlib import Path

from tests.faults.memory import uploaded
from tests.photographs import PHOTOGRAPHS, uploads

UPLOADS = 120
LARGE = 12  # megapixels, above which one of each kind will do


async def test_a_hundred_photographs_in_512_mib_leave_a_small_server(tmp_path: Path) -> None:
    many = [each for each in uploads(UPLOADS, 1) if each.megapixels <= LARGE]
    once = [each for each in PHOTOGRAPHS if each.megapixels > LARGE]
    tally = await uploaded(tmp_path, [*once, *many])
    assert tally.violations == []
    assert tally.count >= len(many)
