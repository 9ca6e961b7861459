"""Killed, or asked to stop, again and again: what was acknowledged is there, and nothing else."""

from pathlib import Path

from tests.faults.deaths import asked_to_stop, killed, life


async def test_killed_again_and_again_it_keeps_what_it_acknowledged_and_nothing_else(tmp_path: Path) -> None:
    assert await life(tmp_path, killed, 12, "kills") == []


async def test_asked_to_stop_under_load_it_answers_what_it_has_begun_to_read(tmp_path: Path) -> None:
    assert await life(tmp_path, asked_to_stop, 4, "terms") == []
