"""The rate limit of each user's writes. Pure: it counts in memory and takes its clock as an argument."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from service.domain.errors import TooManyRequests

_MINUTE = 60.0  # seconds
_MOST_USERS = 10_000  # remembered; about 1 MB


class RateLimiter:
    """A token bucket for each user. It holds the writes of one minute and refills evenly.

    Each process counts separately. Beyond `most_users` it drops the bucket that was idle for longest: a bucket that
    is idle for a minute is full, like a new one.
    """

    def __init__(
        self, per_minute: int, clock: Callable[[], float] = time.monotonic, most_users: int = _MOST_USERS
    ) -> None:
        """Allow `per_minute` writes per user; 0 means no limit. `clock` returns monotonic seconds."""
        self._interval = _MINUTE / per_minute if per_minute else 0.0
        self._clock, self._most = clock, most_users
        self._full_at: OrderedDict[str, float] = OrderedDict()  # when a user's bucket is full again

    def admit(self, user: str) -> None:
        """Count a write. Raises TooManyRequests with the time to retry; a rejected write does not count."""
        if not self._interval:
            return
        now = self._clock()
        full_at = max(self._full_at.get(user, now), now) + self._interval
        if (wait := full_at - now - _MINUTE) > 1e-6:  # of the arithmetic
            raise TooManyRequests("The user has reached the limit of writes per minute.", math.ceil(wait))
        self._full_at[user] = full_at
        self._full_at.move_to_end(user)
        if len(self._full_at) > self._most:
            self._full_at.popitem(last=False)
