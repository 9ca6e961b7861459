"""Waits that are not counted in the time that a request has. Standard library only."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_limit: ContextVar[asyncio.Timeout | None] = ContextVar("limit", default=None)


@contextmanager
def limited(limit: asyncio.Timeout) -> Iterator[None]:
    """Let what is waited for inside the block, in this task, stop this limit."""
    token = _limit.set(limit)
    try:
        yield
    finally:
        _limit.reset(token)


@contextmanager
def untimed() -> Iterator[None]:
    """Let the request's time stand still inside the block, where a request has any."""
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
