"""A check that many may ask for, and that is made seldom."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

_SECONDS = 2.0  # that a good outcome counts


class Recent:
    """Makes a check once for all who ask meanwhile. For 2 seconds after it went well, it is not made again.

    So any number of probes costs a few writes, and behind a disk that hangs one check waits, not one a probe.
    """

    def __init__(self, check: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._check = check
        self._task: asyncio.Task[None] | None = None
        self._good_until = 0.0  # of the event loop's clock

    async def __call__(self) -> None:
        """Raise what the check raises, unless it went well a moment ago."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._good_until:
            return
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._check())
            self._task.add_done_callback(self._ended)
        await asyncio.shield(self._task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._good_until = task.get_loop().time() + _SECONDS
