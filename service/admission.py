"""Memory, lent by weight: who is going to fill some asks first, and is turned away while too much is in use."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .errors import Unavailable

_MOST_WAITING = 100


class Budget:
    """So many bytes, lent in the order in which they are asked for. It belongs to one event loop.

    `total` is how many there are, `refused` how often somebody has asked and got none.
    """

    def __init__(self, total: int, patience: float) -> None:
        """Lend `total` bytes at most, and let nobody wait for more than `patience` seconds."""
        self.total, self._free, self._patience = total, total, patience
        self.refused = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def lent(self) -> int:
        """Return how many bytes are in use now."""
        return self.total - self._free

    @asynccontextmanager
    async def admitted(self, weight: int) -> AsyncIterator[None]:
        """Hold so many bytes inside the block; what is heavier than the whole budget waits until it is alone.

        Raises Unavailable when they do not come free in time, or too many wait for theirs already.
        """
        weight = min(weight, self.total)
        await self._borrow(weight)
        try:
            yield
        finally:
            self._give(weight)

    async def _borrow(self, weight: int) -> None:
        if weight <= self._free and not self._waiting:
            self._free -= weight
            return
        if len(self._waiting) >= _MOST_WAITING:
            raise self._refusal()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((weight, turn))
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as gone:
            if turn.cancelled():
                self._waiting.remove((weight, turn))
                self._give(0)  # it may have kept lighter ones from theirs
            else:  # its turn came in the same moment
                self._give(weight)
            if isinstance(gone, TimeoutError):
                raise self._refusal() from gone
            raise

    def _refusal(self) -> Unavailable:
        self.refused += 1
        return Unavailable("Too much is being uploaded at once.")

    def _give(self, weight: int) -> None:
        """Take bytes back, and lend them to those whose turn it is."""
        self._free += weight
        while self._waiting and self._waiting[0][0] <= self._free:
            weight, turn = self._waiting[0]
            if turn.done():  # it is about to leave the queue by itself
                return
            self._waiting.popleft()
            self._free -= weight
            turn.set_result(None)
