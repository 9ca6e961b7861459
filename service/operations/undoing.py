"""Cleanup after an operation: immediate if it is quick, otherwise by sweep.

Two rules make it safe to fail or to be interrupted: a record with a deadline exists before any of its objects, and
a record is purged only after its objects. So a response does not depend on its cleanup: a request only registers
cleanup work, and `Api.dispatch` runs all of it after the response is decided.
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

# Time limit of a request's whole cleanup, because the client waits for it. It is shorter after a failure, because a
# backend that has just failed is likely to fail again.
_SECONDS, _SECONDS_AFTER_FAILURE = 2, 1
_AT_ONCE = 10

_Work = Callable[[], Awaitable[object]]
_noted: ContextVar[list[_Work] | None] = ContextVar("noted", default=None)


@asynccontextmanager
async def afterwards() -> AsyncIterator[None]:
    """Defer all cleanup in the block until the block has ended, with or without an error.

    The cleanup takes at most 2 seconds, or 1 second after an error, and raises nothing. The caller waits for it,
    because AWS Lambda freezes the process after the response.
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
    """Delete all objects of an image or upload that is not published, or leave them to sweep."""
    await _clean(partial(depot.erase, image_id))


async def delete(depot: Depot, *keys: str) -> None:
    """Delete these objects, or leave them to sweep."""
    await _clean(partial(depot.objects.delete, *keys))


async def abandon(depot: Depot, sealed_key: str) -> None:
    """Delete all objects of one attempt to publish, under this key and beside it, or leave them to sweep."""
    await _clean(partial(depot.erase_beside, sealed_key))


@asynccontextmanager
async def unless_done(depot: Depot, sealed_key: str) -> AsyncIterator[None]:
    """Abandon the attempt to publish under this key if the block raises."""
    try:
        yield
    except BaseException:  # also for CancelledError, which a request timeout raises
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
        except Exception as error:  # noqa: BLE001 - logged, whatever it is
            _tell(error)

    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*map(one, works))
    except TimeoutError as error:
        _tell(error)


def _tell(error: Exception) -> None:
    logs.failed(logger, "cleanup of a request failed; sweep will retry", error)
