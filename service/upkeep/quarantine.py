"""Quarantine: orphans, objects without a record, are kept for some days because the record may have been lost.

They are moved below a hidden key that contains the time of the move. No link leads there.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from service.domain.errors import ObjectMissing
from service.domain.model import StoredObject
from service.operations.depot import Depot

_PLACE = "images/.quarantine/"  # below `images/`, so that the same permissions and backups apply
_STAMP = "%Y%m%dT%H%M%SZ"
_quarantined = re.compile(rf"{re.escape(_PLACE)}([0-9]{{8}}T[0-9]{{6}}Z)/(.+)").fullmatch


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An object in quarantine: its key, its original key, and the time when it was moved."""

    key: str
    original_key: str
    since: datetime


class Quarantine:
    """The quarantine of a depot. Safe to use in parallel."""

    def __init__(self, depot: Depot) -> None:
        self._depot, self._objects = depot, depot.objects

    async def add(self, keys: Sequence[str], now: datetime) -> None:
        """Move objects to the quarantine. Skip objects that no longer exist. Safe to retry."""
        place = f"{_PLACE}{now.astimezone(UTC).strftime(_STAMP)}/"
        await asyncio.gather(*(self._move(key, place + key) for key in keys))

    async def purge(self) -> int:
        """Delete objects that are older than PIXDEPOT_QUARANTINE_DAYS, and return their number."""
        before = self._depot.times.earliest() - timedelta(days=self._depot.settings.quarantine_days)
        purged = 0
        async for each in self.everything():
            if each.since < before:
                await self._objects.delete(each.key)
                purged += 1
        return purged

    async def restore(self, each: Quarantined) -> None:
        """Move an object back to its original key. Safe to retry."""
        await self._move(each.key, each.original_key)

    async def everything(self) -> AsyncIterator[Quarantined]:
        """Yield all objects in quarantine."""
        async for each in self._objects.list(_PLACE):
            if found := _read(each):
                yield found

    async def _move(self, source: str, target: str) -> None:
        try:
            await self._objects.move(source, target)
        except ObjectMissing:
            return


def _read(found: StoredObject) -> Quarantined | None:
    if not (parts := _quarantined(found.key)):
        return None
    return Quarantined(found.key, parts[2], datetime.strptime(parts[1], _STAMP).replace(tzinfo=UTC))
