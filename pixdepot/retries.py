"""Which failures are worth asking again, and how long to wait before."""

import asyncio
import logging
import random

from .errors import APIError, ConnectionFailed, PixdepotError, StorageRefused

logger = logging.getLogger("pixdepot")

_FIRST_WAIT, _LONGEST_WAIT = 0.25, 8.0  # seconds, of which any part is waited
_PATIENCE = 60.0  # seconds that a service may ask for; beyond that its refusal is raised
_PASSING = {408, 425, 429, 500, 502, 503, 504}
# And a body that came too slowly, or not whole (400); a link that expired (403); another write meanwhile (409).
_PASSING_IN_STORAGE = _PASSING | {400, 403, 409}


class Attempts:
    """The attempts at one request.

    `lost` is whether one of them may have been done without our hearing of it.
    """

    def __init__(self, retries: int) -> None:
        self.lost = False
        self._retries = retries
        self._made = 0

    async def again(self, error: PixdepotError) -> None:
        """Wait until it is time for the next attempt. Raises the error where that is in vain, or was the last."""
        if not is_passing(error):
            raise error
        await self.wait(error)

    async def wait(self, error: PixdepotError) -> None:
        """Wait until it is time for the next attempt, whatever the error. Raises it after the last attempt.

        Waits are random up to a bound that doubles ("full jitter"), so that clients that failed together do not
        come back together; a Retry-After is waited on top of that.
        """
        self._made += 1
        asked = getattr(error, "retry_after", None) or 0.0
        if self._made > self._retries or asked > _PATIENCE:
            raise error
        self.lost = self.lost or _may_be_done(error)
        bound = min(_FIRST_WAIT * 2 ** (self._made - 1), _LONGEST_WAIT)
        wait = asked + random.uniform(0, bound)  # noqa: S311 - not a secret
        logger.debug("attempt %d failed (%s), the next in %.2f s", self._made, type(error).__name__, wait)
        await asyncio.sleep(wait)

    def progressed(self) -> None:
        """Count anew: the last attempt got further than those before."""
        self._made = 0


def is_passing(error: PixdepotError) -> bool:
    """Return whether the same request may well succeed later."""
    match error:
        case ConnectionFailed():
            return True
        case APIError():
            return error.status in _PASSING or error.code == "in_flight"
        case StorageRefused():
            return error.status in _PASSING_IN_STORAGE
    return False


def _may_be_done(error: PixdepotError) -> bool:
    if isinstance(error, ConnectionFailed):
        return error.sent
    return getattr(error, "status", 0) >= 500


def retry_after(text: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, None where it names none (dates are not read)."""
    return float(text) if text and text.isascii() and text.isdigit() else None
