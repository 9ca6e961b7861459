"""Reconcile: find and repair differences between storage, database and lists that sweep cannot find.

Sweep finds every object that the service writes, by its record. An object without a record has another cause: a
database that was restored or edited by hand, or a reindex that was killed during an import. Reconcile reads
everything, so run it only occasionally.

The record of an orphan may have been lost. So reconcile deletes nothing at once: it moves orphans to quarantine. If
there are more orphans than crashes can explain, it changes nothing.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from service.domain.errors import ObjectMissing, TooManyOrphans
from service.domain.model import GRACE, Image, Mended, State, StoredObject
from service.operations.depot import Depot, batched

from .quarantine import Quarantine

logger = logging.getLogger(__name__)

_BATCH = 100  # objects checked concurrently
_FEW = 10  # this many orphans are always allowed
_SHARE = 0.1  # largest allowed share of orphans among all objects


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The result: the number of orphans, of images with a `missing` object, and the repairs of lists.

    Orphans are in quarantine now, unless it was a dry run. `purged` is the number of objects deleted from
    quarantine. `noted` is the number of originals whose note was missing or outdated (see `notes`).
    """

    orphans: int
    missing: int
    lists: Mended = field(default_factory=Mended)
    purged: int = 0
    noted: int = field(default=0, compare=False)


class Reconciler:
    """Moves orphans to quarantine, repairs lists, and logs losses.

    Safe to run while the service serves requests, and in parallel with sweepers and other reconcilers.
    """

    def __init__(self, depot: Depot) -> None:
        self._depot, self._quarantine = depot, Quarantine(depot)

    async def reconcile(self, *, dry_run: bool = False, force: bool = False) -> Reconciled:
        """Check and repair every object and every image, and return the counts. Safe to retry.

        With `dry_run` change nothing. An image with a missing object is logged with its ID and not changed, because
        only its owner can decide what to do. Raises DepotMismatch, and, without `force`, TooManyOrphans before it
        changes anything.
        """
        await self._depot.pairing.check(fresh=True, write=not dry_run)
        orphans = await self._orphans(force=force or dry_run)
        purged = 0
        if not dry_run:
            await self._set_aside(orphans)
            purged = await self._quarantine.purge()
        missing = noted = 0
        async for images in self._depot.everything():
            whole = await asyncio.gather(*map(self._is_whole, images))
            missing += whole.count(False)
            works = (self._note(each, dry_run=dry_run) for each, found in zip(images, whole, strict=True) if found)
            noted += sum(await asyncio.gather(*works))
        lists = await self._depot.records.mend_lists(self._depot.clock() - self._life, dry_run=dry_run)
        return Reconciled(len(orphans), missing, lists, purged, noted)

    async def _orphans(self, *, force: bool) -> list[StoredObject]:
        """Return the objects that have no record. Raises TooManyOrphans without `force`."""
        total, orphans = 0, []
        for prefix in ("uploads/", "images/"):
            async for batch in batched(self._depot.objects.list(prefix), _BATCH):
                total += len(batch)
                orphans += await self._unowned(batch)
        if len(orphans) > max(_FEW, total * _SHARE) and not force:
            raise TooManyOrphans(
                f"{len(orphans):,} of {total:,} objects belong to no image, more than {_SHARE:.0%}: nothing was "
                "changed. If the database is older than the storage, run `pixdepot recover`, which adds missing "
                "records. If they are really orphans, run `pixdepot reconcile --force`."
            )
        return orphans

    async def _unowned(self, batch: Sequence[StoredObject]) -> list[StoredObject]:
        owned = await asyncio.gather(*map(self._is_owned, batch))
        return [each for each, kept in zip(batch, owned, strict=True) if not kept]

    async def _set_aside(self, orphans: Sequence[StoredObject]) -> None:
        for n in range(0, len(orphans), _BATCH):
            # Check again, because `recover` may have created records meanwhile.
            still = await self._unowned(orphans[n : n + _BATCH])
            await self._quarantine.add([each.key for each in still], self._depot.times.latest())

    @property
    def _life(self) -> timedelta:
        """Return the longest time for which an upload can be in progress."""
        return timedelta(seconds=self._depot.settings.upload_ttl) + GRACE

    async def _is_owned(self, found: StoredObject) -> bool:
        """Return whether an object has a record, or is so recent that it may get one."""
        if found.modified_at > self._depot.clock() - self._life or not _is_our_key(found.key):
            return True
        upload = await self._depot.records.upload(found.key.split("/")[1])
        if upload is None:
            return False
        if upload.state is not State.READY:
            return True  # sweep handles it at its deadline
        image = await self._depot.records.image(upload.image_id)
        return image is None or found.key in image.object_keys

    async def _is_whole(self, image: Image) -> bool:
        try:
            for key in image.object_keys:
                async for _ in await self._depot.objects.open(key, 0, 1):
                    pass
        except ObjectMissing:
            # The image may have been deleted since it was listed.
            if await self._depot.records.image(image.image_id) is None:
                return True
            logger.error("an object of image %s is missing", image.image_id)  # noqa: TRY400 - no trace to tell
            return False
        return True

    async def _note(self, image: Image, *, dry_run: bool) -> bool:
        """Update the note of an original. Return whether it was missing or outdated."""
        objects, note = self._depot.objects, self._depot.note(image)
        try:
            if await objects.note(image.object_key) == note:
                return False
            if not dry_run:
                await objects.annotate(image.object_key, image.content.content_type, note)
        except ObjectMissing:
            return False  # deleted meanwhile
        return True


def _is_our_key(key: str) -> bool:
    """Return whether a key has the service's format. Other objects in the bucket belong to other programs."""
    parts = key.split("/")
    return (parts[0], len(parts)) in {("uploads", 2), ("images", 4)}
