"""Memory, lent by weight: who is going to fill some asks first, and is turned away while too much is in use."""

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
# While others wait, what arrives more slowly keeps only what it fills, and asks again for the rest.
_SLOW = 256 * 1024  # bytes a second
_WINDOW = 2.0  # seconds that are looked at
_LEAST = 64 * 1024  # bytes


@dataclass(slots=True, eq=False)
class Loan:
    """What one has borrowed of a budget: `held` of the `weight` bytes that it is to fill."""

    budget: "Budget"
    weight: int
    held: int
    received: int = 0
    _arriving: bool = False
    _mark: tuple[float, int] = (0.0, 0)

    async def metered(self, chunks: ByteStream) -> ByteStream:
        """Yield the chunks of a body as they arrive. While others wait, a slow one holds what it has filled only.

        Raises Unavailable when there is no room for more of it in time: what has arrived is lost then.
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
        # A buffer that is full takes twice its room.
        return min(max(2 * self.received, _LEAST), self.weight)

    def spared(self, now: float) -> int:
        """Return the bytes to take back, for they arrive too slowly; what arrives in time is measured anew."""
        since, before = self._mark
        if not self._arriving or now - since < _WINDOW:
            return 0
        slow = self.received - before < _SLOW * (now - since)
        self._mark = now, self.received
        return max(self.held - self._filled(), 0) if slow else 0


class Budget:
    """So many bytes, lent in the order in which they are asked for. It belongs to one event loop.

    `total` is how many there are, `refused` how often somebody has asked and got none.
    """

    def __init__(self, total: int, patience: float) -> None:
        """Lend `total` bytes at most, and let nobody wait for more than `patience` seconds."""
        self.total, self._free, self._patience = total, total, patience
        self.refused = 0
        self._loans: set[Loan] = set()
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._look: asyncio.TimerHandle | None = None

    @property
    def lent(self) -> int:
        """Return how many bytes are in use now."""
        return self.total - self._free

    @property
    def lending(self) -> Lending:
        """Return the counts, as they are now."""
        return Lending(self.total, self.lent, self.refused)

    @asynccontextmanager
    async def admitted(self, weight: int) -> AsyncIterator[Loan]:
        """Hold so many bytes inside the block; what is heavier than the whole budget waits until it is alone.

        The wait is not counted in the time that a request has. Raises Unavailable when they do not come free in
        time, or too many wait for theirs already.
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
        """Lend a loan again what was taken back. Who waits for that holds little, so no two wait for each other.

        Raises Unavailable as `admitted` does.
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
                self._give(0)  # it may have kept lighter ones from theirs
            else:  # its turn came in the same moment
                self._give(weight)
            if isinstance(gone, TimeoutError):
                raise self._refusal() from gone
            raise

    def _refusal(self) -> Unavailable:
        self.refused += 1
        return Unavailable("Too many uploads are in progress; retry later.")

    def _take_back(self) -> None:
        """Take back what arrives too slowly, now and then, for as long as somebody waits."""
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
        """Take bytes back, and lend them to those whose turn it is."""
        self._free += weight
        while self._waiting and self._waiting[0][0] <= self._free:
            weight, turn = self._waiting[0]
            if turn.done():  # it is about to leave the queue by itself
                return
            self._waiting.popleft()
            self._free -= weight
            turn.set_result(None)
