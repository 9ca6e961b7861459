"""Memory budgets: an upload or decode reserves its memory first, and is rejected if too much is in use."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.domain.errors import Unavailable
from service.domain.model import ByteStream
from service.telemetry.metrics import Lending

from .patience import untimed

_MOST_WAITING = 400
# While others wait, a body slower than this keeps only the memory that it fills, and must reserve the rest again.
_SLOW = 256 * 1024  # bytes per second
_WINDOW = 2.0  # seconds over which the speed is measured
_LEAST = 64 * 1024  # bytes


@dataclass(slots=True, eq=False)
class Loan:
    """A reservation in a budget: it needs `weight` bytes and holds `held` of them."""

    budget: "Budget"
    weight: int
    held: int
    received: int = 0
    _arriving: bool = False
    _mark: tuple[float, int] = (0.0, 0)

    async def metered(self, chunks: ByteStream) -> ByteStream:
        """Yield the chunks of a body as they arrive. While others wait, a slow body holds only what it has filled.

        Raises Unavailable if it cannot reserve more memory in time; the received bytes are then lost.
        """
        self._begin()
        try:
            async for chunk in chunks:
                self.received += len(chunk)
                if self._filled() > self.held:
                    self._arriving = False
                    await self.budget.refill(self)
                    self._begin()
                yield chunk
        finally:
            self._arriving = False

    def _begin(self) -> None:
        self._arriving, self._mark = True, (asyncio.get_running_loop().time(), self.received)

    def _filled(self) -> int:
        # A full buffer doubles its size.
        return min(max(2 * self.received, _LEAST), self.weight)

    def spared(self, now: float) -> int:
        """Return how many bytes to take back from a slow body, and start the next measurement."""
        since, before = self._mark
        if not self._arriving or now - since < _WINDOW:
            return 0
        slow = self.received - before < _SLOW * (now - since)
        self._mark = now, self.received
        return max(self.held - self._filled(), 0) if slow else 0


class Budget:
    """A budget of bytes, lent in the order of the requests. Not thread-safe: use it in one event loop.

    `total` is its size in bytes, and `refused` counts the rejected requests.
    """

    def __init__(self, total: int, patience: float) -> None:
        """Create a budget of `total` bytes, where each request waits at most `patience` seconds."""
        self.total, self._free, self._patience = total, total, patience
        self.refused = 0
        self._loans: set[Loan] = set()
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._look: asyncio.TimerHandle | None = None

    @property
    def lent(self) -> int:
        """Return the number of bytes in use."""
        return self.total - self._free

    @property
    def lending(self) -> Lending:
        """Return the current counts."""
        return Lending(self.total, self.lent, self.refused)

    @asynccontextmanager
    async def admitted(self, weight: int) -> AsyncIterator[Loan]:
        """Reserve `weight` bytes for the block. A weight over the whole budget waits until it is alone.

        The wait does not count towards the request's time limit. Raises Unavailable if the bytes are not free in
        time, or if too many requests already wait.
        """
        weight = min(weight, self.total)
        await self._borrow(weight)
        loan = Loan(self, weight, held=weight)
        self._loans.add(loan)
        try:
            yield loan
        finally:
            self._loans.discard(loan)
            self._give(loan.held)

    async def refill(self, loan: Loan) -> None:
        """Reserve again the bytes that were taken back. A waiting loan holds little, so that loans cannot deadlock.

        Raises Unavailable like `admitted`.
        """
        missing = loan.weight - loan.held
        await self._borrow(missing)
        loan.held += missing

    async def _borrow(self, weight: int) -> None:
        if weight <= self._free and not self._waiting:
            self._free -= weight
            return
        if len(self._waiting) >= _MOST_WAITING:
            raise self._refusal()
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((weight, turn))
        self._take_back()
        try:
            with untimed():
                async with asyncio.timeout(self._patience):
                    await turn
        except BaseException as gone:
            if turn.cancelled():
                self._waiting.remove((weight, turn))
                self._give(0)  # it may have blocked smaller requests behind it
            else:  # it got its bytes at the same moment
                self._give(weight)
            if isinstance(gone, TimeoutError):
                raise self._refusal() from gone
            raise

    def _refusal(self) -> Unavailable:
        self.refused += 1
        return Unavailable("Too many uploads are in progress; retry later.")

    def _take_back(self) -> None:
        """Take memory back from slow bodies, and repeat this regularly while requests wait."""
        loop = asyncio.get_running_loop()
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if not self._waiting:
            return
        for loan in self._loans:
            spared = loan.spared(loop.time())
            loan.held -= spared
            self._free += spared
        self._give(0)
        self._look = loop.call_later(_WINDOW / 4, self._take_back)

    def _give(self, weight: int) -> None:
        """Return bytes to the budget, and lend them to the next requests in the queue."""
        self._free += weight
        while self._waiting and self._waiting[0][0] <= self._free:
            weight, turn = self._waiting[0]
            if turn.done():  # cancelled: it is about to leave the queue itself
                return
            self._waiting.popleft()
            self._free -= weight
            turn.set_result(None)
