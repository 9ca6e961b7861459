"""A check that is cached and shared by concurrent callers."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

_SECONDS = 2.0  # that a good outcome counts


class Recent:
    """Runs a check once for all concurrent callers, and caches a success for 2 seconds.

    So any number of readiness probes causes few writes, and only one check waits for a disk that hangs.
    """

    def __init__(self, check: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._check = check
        self._task: asyncio.Task[None] | None = None
        self._good_until = 0.0  # of the event loop's clock

    async def __call__(self) -> None:
        """Run the check and raise its error, unless it succeeded within the last 2 seconds."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._good_until:
            return
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._check())
            self._task.add_done_callback(self._ended)
        await asyncio.shield(self._task)

    def expire(self) -> None:
        """Discard the last good result, so that the next call checks again."""
        self._good_until = 0.0

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._good_until = task.get_loop().time() + _SECONDS
