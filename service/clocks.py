"""Time that decides what is removed: a clock that jumps ahead removes nothing too early. Standard library only."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

logger = logging.getLogger(__name__)

_SLACK = timedelta(minutes=1)  # what a clock may gain between two looks at it
_DOUBT = 600.0  # seconds for which a jump ahead is not believed


def elapsed() -> float:
    """Return seconds that only go forwards, whoever sets the clock; a machine that sleeps counts them, too."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SteadyClock:
    """A clock for deadlines. It follows another, but for a jump ahead of that: which it follows 10 minutes later.

    What it says is never later than what the other says. It knows of jumps since it was made.
    """

    def __init__(self, clock: Callable[[], datetime], elapsed: Callable[[], float] = elapsed) -> None:
        self._clock, self._elapsed = clock, elapsed
        self._right, self._at = clock(), elapsed()
        self._doubtful_since: float | None = None

    def __call__(self) -> datetime:
        """Return the time."""
        told, at = self._clock(), self._elapsed()
        expected = self._right + timedelta(seconds=at - self._at)
        if told > expected + _SLACK:
            if self._doubtful_since is None:
                self._doubtful_since = at
                logger.warning(
                    "the clock is %s ahead of what it was: nothing more is due by it yet", told - expected
                )
            if at - self._doubtful_since < _DOUBT:
                return expected
            logger.warning("the clock stays %s ahead of what it was: it is believed", told - expected)
        self._right, self._at, self._doubtful_since = told, at, None
        return told
