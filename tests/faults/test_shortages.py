"""Full disks and lost descriptors: what was acknowledged is there, sweep removes all else, nothing is a 500."""

from collections import Counter
from pathlib import Path

from tests.faults.shortages import full, life, starved


async def test_on_disks_that_are_full_it_keeps_what_it_acknowledged_and_nothing_else(tmp_path: Path) -> None:
    answers = Counter[int]()
    assert await life(tmp_path, full, 5, "disks", answers) == []
    assert answers[507] > 10


async def test_without_descriptors_it_keeps_what_it_acknowledged_and_nothing_else(tmp_path: Path) -> None:
    answers = Counter[int]()
    assert await life(tmp_path, starved, 3, "descriptors", answers) == []
    assert answers[503] > 0
