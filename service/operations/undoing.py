"""Cleaning up after an operation: at once as far as that is quick, by sweep in any case.

Two rules make it safe to fail at this, or to be cut off. No object is written before a record with a deadline leads
to it; and a record is forgotten only after its objects are gone. So an answer that is decided never waits for its
cleanup: within a request the work is noted, and `Api.dispatch` does all of it together when the answer stands.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial

from service.telemetry import logs

from .depot import Depot

logger = logging.getLogger(__name__)

# For everything that one request leaves: its client waits for so long at most. Where the request failed, a backend
# may have taken all of its time already, and is not likely to do better.
_SECONDS, _SECONDS_AFTER_FAILURE = 2, 1
_AT_ONCE = 10

_Work = Callable[[], Awaitable[object]]
_noted: ContextVar[list[_Work] | None] = ContextVar("noted", default=None)


@asynccontextmanager
async def afterwards() -> AsyncIterator[None]:
    """Put off the cleanup of everything in the block until the block has ended, however it ends.

    It then takes 2 seconds at most in all, 1 where the block has raised something, and raises nothing itself. It is
    awaited, since AWS Lambda freezes what goes on after the answer.
    """
    works: list[_Work] = []
    token = _noted.set(works)
    seconds = _SECONDS_AFTER_FAILURE
    try:
        yield
        seconds = _SECONDS
    finally:
        _noted.reset(token)
        await _attempt(works, seconds)


async def erase(depot: Depot, image_id: str) -> None:
    """Remove all objects of an image or upload that is not published, or leave them to sweep."""
    await _clean(partial(depot.erase, image_id))


async def delete(depot: Depot, *keys: str) -> None:
    """Remove these objects, or leave them to sweep."""
    await _clean(partial(depot.objects.delete, *keys))


async def abandon(depot: Depot, sealed_key: str) -> None:
    """Remove what one attempt at publishing wrote under this key and beside it, or leave it to sweep."""
    await _clean(partial(depot.erase_beside, sealed_key))


@asynccontextmanager
async def unless_done(depot: Depot, sealed_key: str) -> AsyncIterator[None]:
    """Abandon the attempt under this key unless the block comes to its end."""
    try:
        yield
    except BaseException:  # a request that runs out of time is cancelled, which is no Exception
        await abandon(depot, sealed_key)
        raise


async def _clean(work: _Work) -> None:
    if (works := _noted.get()) is None:
        await _attempt([work], _SECONDS)
    else:
        works.append(work)


async def _attempt(works: Sequence[_Work], seconds: int) -> None:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(work: _Work) -> None:
        try:
            async with turns:
                await work()
        except Exception as error:  # noqa: BLE001 - told of, whatever it is
            _tell(error)

    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*map(one, works))
    except TimeoutError as error:
        _tell(error)


def _tell(error: Exception) -> None:
    logs.failed(logger, "cleanup of a request failed; sweep will retry", error)
