"""A user writes so often a minute, whoever else does."""

from dataclasses import dataclass

import pytest

from service.domain.errors import TooManyRequests
from service.operations.limits import RateLimiter


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def admitted(limiter: RateLimiter, user: str, times: int) -> int:
    """Return how many of so many writes at once are admitted."""
    count = 0
    for _ in range(times):
        try:
            limiter.admit(user)
        except TooManyRequests:
            continue
        count += 1
    return count


def test_without_a_limit_everything_is_admitted() -> None:
    assert admitted(RateLimiter(0), "ada", 10_000) == 10_000


@pytest.mark.parametrize("per_minute", [1, 7, 60, 1_000])
def test_a_minute_s_writes_may_come_at_once_and_then_evenly(per_minute: int) -> None:
    clock = Clock()
    limiter = RateLimiter(per_minute, clock)
    assert admitted(limiter, "ada", per_minute + 5) == per_minute
    clock.now += 60 / per_minute
    assert admitted(limiter, "ada", 5) == 1
    clock.now += 3600
    assert admitted(limiter, "ada", per_minute + 5) == per_minute


def test_a_refusal_tells_when_to_try_again_and_that_holds() -> None:
    clock = Clock()
    limiter = RateLimiter(4, clock)
    assert admitted(limiter, "ada", 4) == 4
    clock.now += 0.5
    with pytest.raises(TooManyRequests) as refused:
        limiter.admit("ada")
    assert refused.value.headers == {"Retry-After": "15"}
    clock.now += 15
    limiter.admit("ada")


def test_what_is_refused_does_not_count() -> None:
    clock = Clock()
    limiter = RateLimiter(60, clock)
    admitted(limiter, "ada", 60)
    assert admitted(limiter, "ada", 1_000) == 0
    clock.now += 1
    assert admitted(limiter, "ada", 1) == 1


def test_each_user_has_a_bucket_of_their_own() -> None:
    limiter = RateLimiter(2, Clock())
    assert [admitted(limiter, user, 3) for user in ("ada", "grace", "ada")] == [2, 2, 0]


def test_it_remembers_a_bounded_number_of_users_and_forgets_the_quiet_ones_first() -> None:
    limiter = RateLimiter(1, Clock(), most_users=2)
    for user in ("ada", "grace", "edith"):
        assert admitted(limiter, user, 1) == 1
    assert admitted(limiter, "grace", 1) == 0
    assert admitted(limiter, "edith", 1) == 0
    assert admitted(limiter, "ada", 1) == 1
