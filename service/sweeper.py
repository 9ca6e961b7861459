"""Finishing what crashes, cancelled uploads and clients that never came back have left behind."""

import asyncio
import logging
from contextlib import nullcontext
from dataclasses import dataclass

from .depot import A_REQUEST, Depot
from .model import State, Upload

logger = logging.getLogger(__name__)

_BATCH = 100  # records


@dataclass(frozen=True, slots=True)
class Swept:
    """What one round did, of what it found due."""

    due: int
    removed: int
    failed: int


class Sweeper:
    """Removes uploads whose deadline has come. Safe beside live traffic and beside other sweepers."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot

    async def sweep(self) -> Swept:
        """Remove everything that is due now, and return the counts. Repeatable.

        One that fails stays due, and is counted, not raised.
        """
        tracer = self._depot.tracer
        try:
            with tracer.work("sweep") if tracer else nullcontext():
                swept = await self._round()
        except Exception:
            self._depot.metrics.sweeps.outcomes["failed"] += 1
            raise
        self._depot.metrics.sweeps.ended(swept.due, swept.removed, swept.failed)
        return swept

    async def _round(self) -> Swept:
        found = removed = failed = 0
        while due := await self._depot.records.due(self._depot.clock(), _BATCH):
            outcomes = await asyncio.gather(*map(self._remove, due), return_exceptions=True)
            errors = [each for each in outcomes if isinstance(each, BaseException)]
            for error in errors:
                logger.warning("sweep could not remove an upload", exc_info=error)
            found += len(due)
            removed += sum(each is True for each in outcomes)
            failed += len(errors)
            if len(due) < _BATCH or errors:
                break
        return Swept(found, removed, failed)

    async def _remove(self, upload: Upload) -> bool:
        depot, image_id = self._depot, upload.image_id
        if upload.state is State.READY:
            return await self._settle(image_id)
        # Retired first: a complete that is under way finds it gone and takes its own copy away.
        now = depot.clock()
        if upload.state is not State.DELETED and not await depot.records.retire(
            image_id, {State.PENDING, State.FAILED}, now, due=now
        ):
            return False
        await depot.erase(image_id)
        return await depot.records.forget(image_id, now)

    async def _settle(self, image_id: str) -> bool:
        """Remove what was sent through a published image's old links, and copies of completes that died."""
        image = await self._depot.records.image(image_id)
        if image is None:
            return False
        # What is young may be about to become the image's: its variants are being made anew.
        now = self._depot.clock()
        await self._depot.erase(image_id, keep=image.object_keys, before=now - A_REQUEST)
        await self._depot.records.settle(image_id, now)
        return True

    async def run(self, interval: float) -> None:
        """Sweep every `interval` seconds until cancelled. A failed round is logged and the next one tries again."""
        while True:
            await asyncio.sleep(interval)
            try:
                await self.sweep()
            except Exception:
                logger.warning("a round of sweep failed", exc_info=True)
