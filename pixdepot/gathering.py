"""Many things at once, and what becomes of each as soon as it is known."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def as_they_end(works: Iterable[Awaitable[T]], at_once: int) -> AsyncGenerator[T]:
    """Yield results in the order in which they come, with so many at work. `works` is read as they begin.

    Close it when leaving early: that gives up those under way.
    """
    running: set[asyncio.Future[T]] = set()
    waiting = iter(works)
    try:
        while True:
            while len(running) < at_once and (work := next(waiting, None)) is not None:
                running.add(asyncio.ensure_future(work))
            if not running:
                return
            ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for each in ended:
                yield each.result()
    finally:
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
