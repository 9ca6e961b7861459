"""The clock for cleanup. It tolerates jumps of the system clock, so that nothing is removed too early."""

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta

logger = logging.getLogger(__name__)

_SLACK = timedelta(minutes=1)  # larger differences between two readings count as a jump
_DOUBT = 600.0  # seconds until a jump is accepted


def elapsed() -> float:
    """Return a monotonic time in seconds, which includes the time when the machine is suspended, if supported."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class SteadyClock:
    """A clock that accepts a jump of the system clock, in either direction, only after 10 minutes.

    Until then, either the system time or the expected time is right, so callers choose between `earliest`, `latest`
    and `likely`. It detects only jumps after its creation. Not thread-safe: use it in one event loop.
    """

    def __init__(self, clock: Callable[[], datetime], elapsed: Callable[[], float] = elapsed) -> None:
        self._clock, self._elapsed = clock, elapsed
        self._right, self._at = clock(), elapsed()
        self._doubtful_since: float | None = None

    def earliest(self) -> datetime:
        """Return the earlier possible time. Use it to decide whether a deadline has passed."""
        return min(self._times())

    def latest(self) -> datetime:
        """Return the later possible time. Use it to set an expiry, and to decide whether it is too late."""
        return max(self._times())

    def likely(self) -> datetime:
        """Return the expected time. Use it for stored times that other processes compare."""
        return self._times()[1]

    def _times(self) -> tuple[datetime, datetime]:
        """Return the system time and the expected time."""
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
