"""The audit fails for a vulnerability, and for nothing else; what it could not ask it says."""

import runpy
from pathlib import Path
from typing import Any

import pytest

verdict = runpy.run_path(str(Path(__file__).parents[2] / ".ci" / "audit"))["verdict"]

WELL = {"name": "aiohttp", "version": "3.14.0", "vulns": []}
ILL = {"name": "yarl", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": []}]}
UNKNOWN = {"name": "pillow", "skip_reason": "Dependency not found on PyPI and could not be audited: pillow (13)"}


@pytest.mark.parametrize(
    ("dependencies", "code", "says"),
    [
        ([WELL], 0, "Audited: none of 1 versions"),
        ([WELL, UNKNOWN], 0, "1 are unknown"),
        ([WELL, UNKNOWN, ILL], 1, "yarl 1.0: PYSEC-1, fixed in 1.1"),
        ([UNKNOWN, UNKNOWN], 0, "Not audited: the package index tells nothing"),
    ],
)
def test_the_report_decides(dependencies: list[dict[str, Any]], code: int, says: str) -> None:
    found, text = verdict({"dependencies": dependencies, "fixes": []})
    assert found == code
    assert says in text


def test_without_a_report_it_says_that_nothing_was_audited() -> None:
    assert verdict(None)[0] == 0
    assert verdict(None)[1].startswith("Not audited")
