"""JSON bodies are read as the standard library reads them whole, whatever they are and however they arrive."""

import pytest

from tests.faults.bodies import CHECKS, held


@pytest.mark.parametrize("what", CHECKS)
def test_a_thousand_of_a_kind(what: str) -> None:
    tally = held(what, 1, 1_000)
    assert not tally.violations
    assert tally.count >= 1_000
