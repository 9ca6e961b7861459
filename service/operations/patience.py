"""Waits that do not count towards a request's time limit. Standard library only."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_limit: ContextVar[asyncio.Timeout | None] = ContextVar("limit", default=None)


@contextmanager
def limited(limit: asyncio.Timeout) -> Iterator[None]:
    """Make this the time limit that `untimed` pauses in the block, in this task."""
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)


@contextmanager
def untimed() -> Iterator[None]:
    """Pause the request's time limit in the block, if it has one."""
    limit, clock = _limit.get(), asyncio.get_running_loop().time
    when = limit.when() if limit else None
    if limit is None or when is None:
        yield
        return
    left = when - clock()
    limit.reschedule(None)
    try:
        yield
    finally:
        limit.reschedule(clock() + left)
