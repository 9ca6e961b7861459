"""How often one user may write. Pure: it counts in memory, by a clock that is given."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from service.domain.errors import TooManyRequests

_MINUTE = 60.0  # seconds
_MOST_USERS = 10_000  # remembered; about 1 MB


class RateLimiter:
    """A token bucket for each user: it holds a minute's writes, and fills up evenly.

    Each process counts for itself. Users beyond the most that are remembered are forgotten, the one that was quiet
    for longest first: a bucket that nobody has drawn from for a minute is full, as a new one is.
    """

    def __init__(
        self, per_minute: int, clock: Callable[[], float] = time.monotonic, most_users: int = _MOST_USERS
    ) -> None:
        """Allow so many writes a minute; 0 is no limit. `clock` counts seconds, forwards only."""
        self._interval = _MINUTE / per_minute if per_minute else 0.0
        self._clock, self._most = clock, most_users
        self._full_at: OrderedDict[str, float] = OrderedDict()  # when a user's bucket is full again

    def admit(self, user: str) -> None:
        """Count a write. Raises TooManyRequests, with when to try again; what is refused does not count."""
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
