"""A server under a steady load, in short: its memory and its files are measured as in the long form."""

from pathlib import Path

from tests.faults.soak import Sample, judge, measure
from tests.faults.tally import Tally

MIB = 2**20


async def test_some_seconds_of_load_are_answered_truly_and_leave_no_files_open(tmp_path: Path) -> None:
    (tally,) = await measure(tmp_path, 1, minutes=0.08)
    assert tally.violations == []
    assert tally.count > 20
    assert "MiB/h" in tally.figures


def test_what_grows_is_a_violation_and_what_wavers_is_none() -> None:
    leaking, steady = Tally("leaking"), Tally("steady")
    judge([Sample(n * 10, 50 * MIB + n * MIB // 10, 20 + n // 10) for n in range(360)], leaking)
    judge([Sample(n * 10, 50 * MIB + n % 7 * MIB, 20 + n % 5) for n in range(360)], steady)
    assert [each.partition(" grow")[0] for each in leaking.violations] == ["memory", "open files"]
    assert steady.violations == []
