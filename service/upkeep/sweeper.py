"""Sweep: clean up after crashes, cancelled uploads, deleted images and uploads that were never completed."""

import asyncio
import logging
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta

from service.domain.errors import DepotMismatch, Unavailable, explained
from service.domain.model import State, Upload, is_image_id
from service.operations.depot import A_REQUEST, UPLOADS, Depot, batched
from service.telemetry import logs

from .quarantine import Quarantine

logger = logging.getLogger(__name__)

_BATCH = 100  # records, or objects
_UNDER_WAY = timedelta(minutes=5)  # most uploads are completed within this time after their bytes arrive
_UNFINISHED = timedelta(hours=1)  # since the last write, when every request that wrote has ended long ago
_PURGED_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Swept:
    """The counts of one round: how many uploads were due, removed and failed."""

    due: int
    removed: int
    failed: int


class Sweeper:
    """Removes uploads whose deadline has passed, and bytes that arrived after it.

    Safe to run while the service serves requests, and in parallel with other sweepers.
    """

    def __init__(self, depot: Depot) -> None:
        self._depot, self._quarantine = depot, Quarantine(depot)
        self._now = depot.clock
        self._next_purge = depot.clock()

    async def sweep(self) -> Swept:
        """Run one round: remove everything that is due, and return the counts. Safe to retry.

        A removal that fails is counted, not raised, and stays due. Raises DepotMismatch.
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
        await self._depot.pairing.check()
        found = removed = failed = 0
        while due := await self._depot.records.due(self._now(), _BATCH):
            outcomes = await asyncio.gather(*map(self._remove, due), return_exceptions=True)
            errors = [each for each in outcomes if isinstance(each, BaseException)]
            for error, times in _distinct(errors):
                failed_at = "an upload" if times == 1 else f"{times} uploads"
                logs.failed(logger, f"sweep could not remove {failed_at}", error)
            found += len(due)
            removed += sum(each is True for each in outcomes)
            failed += len(errors)
            if len(due) < _BATCH or errors or True not in outcomes:
                break
        strays = 0
        try:
            strays = await self._remove_strays()
        except Exception as error:  # noqa: BLE001 - told of, whatever it is
            logs.failed(logger, "sweep could not check for late uploads", error)
            failed += 1
        return Swept(found + strays, removed + strays, failed + await self._tidy() + await self._purge())

    async def _tidy(self) -> int:
        """Remove the remains of unfinished writes from the store, and return the number of failures."""
        try:
            await self._depot.objects.tidy(_UNFINISHED)
        except Exception as error:  # noqa: BLE001 - told of, whatever it is
            logs.failed(logger, "sweep could not remove unfinished writes", error)
            return 1
        return 0

    async def _purge(self) -> int:
        """Purge the quarantine at most once an hour, and return the number of failures."""
        now = self._now()
        if now < self._next_purge:
            return 0
        try:
            await self._quarantine.purge()
        except Exception as error:  # noqa: BLE001 - told of, whatever it is
            logs.failed(logger, "sweep could not purge the quarantine", error)
            return 1
        self._next_purge = now + _PURGED_EVERY
        return 0

    async def _remove(self, upload: Upload) -> bool:
        depot, image_id = self._depot, upload.image_id
        if upload.state is State.READY:
            return await self._clean_published(image_id)
        # Retire it first, so that a concurrent complete finds it deleted and removes its own copy.
        now = self._now()
        if upload.state is not State.DELETED and not await depot.records.retire(
            image_id, {State.PENDING, State.FAILED}, now, due=now
        ):
            return False
        await self._erase(image_id)
        return await depot.records.forget(image_id, now)

    async def _erase(self, image_id: str) -> None:
        """Delete the objects of a deleted image or of an upload that was never published.

        If the database was restored from an older backup, the upload may have been published after the backup. So
        sealed objects of an image that was not deleted go to quarantine.
        """
        depot = self._depot
        sealed = [each.key async for each in depot.objects.list(f"images/{image_id}/")]
        if sealed and not await depot.records.is_deleted(image_id):
            await self._quarantine.add(sealed, depot.clock())
            sealed = []
        await depot.objects.delete(depot.upload_key(image_id), *sealed)

    async def _clean_published(self, image_id: str) -> bool:
        """Remove bytes sent through old upload links of a published image, and copies of interrupted completes."""
        image = await self._depot.records.image(image_id)
        if image is None:
            return False
        # Recent objects may be new variants that a rebuild is about to publish. The image stays due then.
        now = self._now()
        if not await self._depot.erase(image_id, keep=image.object_keys, before=now - A_REQUEST):
            return False
        await self._depot.records.settle(image_id, now)
        return True

    async def _remove_strays(self) -> int:
        """Delete uploaded bytes that arrived too late, and return the number of objects.

        S3 accepts a PUT that began before its link expired, however long it takes: the upload may be purged or
        published by then. A record exists before its link, so bytes without a record belong to no upload.
        """
        removed = 0
        async for batch in batched(self._depot.objects.list(UPLOADS), _BATCH):
            # The time is no safety condition here. It only saves a read of the record for most uploads in progress.
            old = [each.key for each in batch if each.modified_at < self._depot.clock() - _UNDER_WAY]
            unexpected = await asyncio.gather(*map(self._is_unexpected, old))
            strays = [key for key, stray in zip(old, unexpected, strict=True) if stray]
            await self._depot.objects.delete(*strays)
            removed += len(strays)
        return removed

    async def _is_unexpected(self, key: str) -> bool:
        image_id = key.removeprefix(UPLOADS)
        if not is_image_id(image_id):
            return False  # not an object of the service
        upload = await self._depot.records.upload(image_id)
        return upload is None or upload.state is State.READY

    async def run(self, interval: float) -> None:
        """Sweep every `interval` seconds until cancelled. Log a failed round and continue with the next one.

        A clock that jumps ahead makes nothing due until it has stayed there for 10 minutes. Before the first round,
        check that the database and the storage belong together.
        """
        self._now = self._depot.times.earliest
        try:
            await self._depot.pairing.check()
        except DepotMismatch as mismatch:
            logger.error("%s", mismatch.detail)  # noqa: TRY400 - the trace tells nothing
        except Unavailable:
            logger.warning("cannot check yet whether the database and the storage belong together")
        while True:
            await asyncio.sleep(interval)
            try:
                await self.sweep()
            except Exception as error:  # noqa: BLE001 - told of, whatever it is
                logs.failed(logger, "sweep failed", error)


def _distinct(errors: Iterable[BaseException]) -> list[tuple[BaseException, int]]:
    """Return each distinct error with its count, because a missing permission repeats the same error."""
    kinds: dict[str, list[BaseException]] = {}
    for error in errors:
        kinds.setdefault(explained(error), []).append(error)
    return [(same[0], len(same)) for same in kinds.values()]
