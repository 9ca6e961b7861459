"""A part of a depot is lost: whatever is run then, the remedy brings back all that was acknowledged."""

import random
from pathlib import Path

import pytest

from bootstrap.emulator import Emulator
from tests.faults.lost import KINDS_AWS, KINDS_LOCAL, on_an_emulator, on_files


@pytest.mark.parametrize("kind", KINDS_LOCAL)
async def test_what_is_lost_on_a_machine_is_brought_back_whatever_was_run(tmp_path: Path, kind: str) -> None:
    for seed in range(3):
        assert await on_files(tmp_path / str(seed), kind, random.Random(seed)) == []


@pytest.mark.parametrize("kind", KINDS_AWS)
async def test_what_is_lost_on_aws_is_brought_back_whatever_was_run(emulator: Emulator, kind: str) -> None:
    assert await on_an_emulator(emulator, kind, random.Random(kind)) == []
