"""Time that decides what is removed: a clock that jumps removes nothing too early. Standard library only."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

logger = logging.getLogger(__name__)

_SLACK = timedelta(minutes=1)  # what a clock may gain or lose between two looks at it
_DOUBT = 600.0  # seconds for which a jump is not believed


def elapsed() -> float:
    """Return seconds that only go forwards, whoever sets the clock; a machine that sleeps counts them, too."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SteadyClock:
    """A clock that doubts jumps of another, either way, for 10 minutes; a jump that stays is then believed.

    Meanwhile it is not known which time is right: the one that is told, or the one that was expected. So there
    are both to ask for. It knows of jumps since it was made. It belongs to one event loop.
    """

    def __init__(self, clock: Callable[[], datetime], elapsed: Callable[[], float] = elapsed) -> None:
        self._clock, self._elapsed = clock, elapsed
        self._right, self._at = clock(), elapsed()
        self._doubtful_since: float | None = None

    def earliest(self) -> datetime:
        """Return the time that it is at least: for deciding that a deadline has come."""
        return min(self._times())

    def latest(self) -> datetime:
        """Return the time that it is at most: for granting time, and for deciding that it is not too late."""
        return max(self._times())

    def likely(self) -> datetime:
        """Return the time that was to be expected: for what is written down, and compared with other processes'."""
        return self._times()[1]

    def _times(self) -> tuple[datetime, datetime]:
        """Return the time that is told, and the one that was to be expected."""
        told, at = self._clock(), self._elapsed()
        expected = self._right + timedelta(seconds=at - self._at)
        if abs(told - expected) > _SLACK:
            if self._doubtful_since is None:
                self._doubtful_since = at
                logger.warning("the clock jumped: it is off by %s; it is not trusted yet", told - expected)
            if at - self._doubtful_since < _DOUBT:
                return told, expected
            logger.warning("the clock is still off by %s; the new time is trusted now", told - expected)
        self._right, self._at, self._doubtful_since = told, at, None
        return told, told
