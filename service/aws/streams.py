"""Sorted lists of rows that are read page by page, and merges of several lists."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain.model import Position

from .items import Item
from .session import together

# Reads so many rows from a start (None: the list's own), and returns them with the next start (None: the end).
Read = Callable[[int, Any], Awaitable[tuple[list["Row"], Any]]]

_FEW = 3  # rows: what one of several lists reads at least when it runs out


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a list: an image's position and its attributes."""

    position: Position
    item: Item


class Spent:
    """The number of rows that a request may still read. It is negative if the last read exceeded it."""

    def __init__(self, budget: int) -> None:
        self.left = budget


class Stream:
    """One list, newest first. `rows` are the rows that were read but not taken yet.

    With `tied`, rows with equal times arrive in any order and can begin before `after`. They are held back until
    all rows of that time are read, and then sorted.
    """

    def __init__(self, read: Read, after: Position | None, *, start: Any = None, tied: bool = False) -> None:
        self.rows: deque[Row] = deque()
        self.ended = False
        self._read, self._start, self._after, self._tied = read, start, after, tied
        self._held: list[Row] = []

    async def more(self, count: int) -> None:
        """Read about `count` rows on, and in any case until there is one, or the list has ended."""
        if self._tied:  # one shows that those before it are all of their time; one may be the last page's
            count += 1 if self._after is None or self._held else 2
        while not self.ended:
            found, self._start = await self._read(count, self._start)
            self.ended = not self._start
            self._release(found)
            if self.rows:
                return

    def _release(self, found: list[Row]) -> None:
        rows = self._held + found
        self._held = []
        if self._tied:
            if rows and not self.ended:
                latest = rows[-1].position.created_at
                self._held = [row for row in rows if row.position.created_at == latest]
                rows = rows[: len(rows) - len(self._held)]
            rows.sort(key=lambda row: row.position.key, reverse=True)
            rows = [row for row in rows if self._after is None or row.position.key < self._after.key]
        self.rows.extend(rows)


class Merged:
    """A merge of several lists, newest first, without duplicates."""

    def __init__(self, streams: Sequence[Stream], spent: Spent) -> None:
        self._streams, self._spent = streams, spent
        self._last: Position | None = None
        self._begun = False

    @property
    def several(self) -> bool:
        """Return whether it is more than one list. These read ahead, so one row more tells what follows."""
        return len(self._streams) > 1

    @property
    def ended(self) -> bool:
        """Return whether all rows were taken."""
        return all(each.ended and not each.rows for each in self._streams)

    async def reach(self, count: int) -> Position | None:
        """Return how far back about `count` rows go; None when these are all there are."""
        await self._fill(count)
        open_ends = [each.rows[-1].position for each in self._streams if not each.ended]
        return max(open_ends, key=lambda each: each.key, default=None)

    async def take(self, count: int) -> list[Row]:
        """Return the next rows, `count` of them unless the lists end or the budget does; one in any case."""
        rows: list[Row] = []
        while len(rows) < count and not self.ended:
            if any(not each.rows and not each.ended for each in self._streams):
                if rows and self._spent.left <= 0:
                    break
                await self._fill(max(count - len(rows), count // 4))
            heads = [each for each in self._streams if each.rows]
            while len(rows) < count and heads:
                head = heads[0] if len(heads) == 1 else max(heads, key=lambda each: each.rows[0].position.key)
                row = head.rows.popleft()
                if self._last is None or row.position.key != self._last.key:
                    rows.append(row)
                self._last = row.position
                if not head.rows:
                    break  # what follows there may come first
        return rows

    async def _fill(self, count: int) -> None:
        """Read on where nothing is left, so much that `count` rows are likely to be there."""
        size = count
        if self.several:
            size = max(count // len(self._streams) + (1 if self._begun else 2), _FEW)
        size = max(1, min(size, self._spent.left // len(self._streams)))
        self._begun = True
        await together(*(each.more(size) for each in self._streams if not each.rows and not each.ended))
