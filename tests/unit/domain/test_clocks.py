"""A clock for deadlines follows another, but for its jumps ahead."""

import logging
from datetime import UTC, datetime, timedelta

import pytest

from service.domain.clocks import SteadyClock, elapsed

NOON = datetime(2025, 9, 15, 12, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


class Machine:
    """A machine's true time since noon, and what its clock is wrong by."""

    def __init__(self) -> None:
        self.passed, self.wrong = timedelta(), timedelta()
        self.steady = SteadyClock(lambda: NOON + self.passed + self.wrong, self.seconds)

    def seconds(self) -> float:
        return self.passed.total_seconds()


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_it_follows_a_clock_that_goes_well(machine: Machine) -> None:
    for _ in range(100):
        machine.passed += HOUR
        machine.wrong += 10 * SECOND
        assert machine.steady.earliest() == NOON + machine.passed + machine.wrong


@pytest.mark.parametrize("jump", [2 * MINUTE, HOUR, 48 * HOUR])
def test_a_jump_ahead_that_is_mended_is_never_followed(machine: Machine, jump: timedelta) -> None:
    for _ in range(3):
        machine.wrong = jump
        for _ in range(9):
            machine.passed += MINUTE
            assert machine.steady.earliest() == NOON + machine.passed
        machine.wrong = timedelta()
        machine.passed += MINUTE
        assert machine.steady.earliest() == NOON + machine.passed


def test_a_jump_ahead_that_stays_is_followed_after_ten_minutes(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.wrong = HOUR
    assert machine.steady.earliest() == NOON
    machine.passed = 10 * MINUTE
    assert machine.steady.earliest() == NOON + HOUR + 10 * MINUTE
    machine.passed += SECOND
    assert machine.steady.earliest() == NOON + HOUR + 10 * MINUTE + SECOND
    assert [each.levelno for each in caplog.records] == [logging.WARNING] * 2
    assert "off by 1:00:00" in caplog.text


@pytest.mark.parametrize("jump", [2 * MINUTE, HOUR, 48 * HOUR])
def test_a_jump_back_that_is_mended_makes_it_no_earlier_for_what_is_granted(
    machine: Machine, jump: timedelta
) -> None:
    for _ in range(3):
        machine.wrong = -jump
        for _ in range(9):
            machine.passed += MINUTE
            assert machine.steady.latest() == NOON + machine.passed
            assert machine.steady.earliest() == NOON + machine.passed - jump
        machine.wrong = timedelta()
        machine.passed += MINUTE
        assert machine.steady.latest() == machine.steady.earliest() == NOON + machine.passed


def test_a_jump_back_that_stays_is_followed_after_ten_minutes(machine: Machine) -> None:
    machine.wrong = -HOUR
    assert machine.steady.latest() == NOON
    machine.passed = 10 * MINUTE
    assert machine.steady.latest() == NOON - HOUR + 10 * MINUTE


def test_elapsed_time_goes_forwards() -> None:
    assert elapsed() <= elapsed()
