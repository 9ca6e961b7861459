"""Comparing storage and database, both ways, for what no deadline leads to.

A record leads sweep to every object that the service writes. What has no record all the same comes from elsewhere:
a database that was restored or changed by hand, a reindex that was killed while it took an image over. This walks
everything, so it is for now and then.

An object without a record may as well have lost it. So nothing is deleted at once: orphans go to quarantine, and
where they are too many to be what crashes leave, nothing is done at all.
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

_BATCH = 100  # objects looked at together
_FEW = 10  # orphans that are never too many
_SHARE = 0.1  # of all objects, that crashes leave at most


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was found: objects that belong to nothing, images whose object is gone, what lists had wrong.

    Orphans are in quarantine now, unless it was a dry run; `purged` ones had been there for long enough. `noted`
    originals had no note of their image, or an old one (see `notes`).
    """

    orphans: int
    missing: int
    lists: Mended = field(default_factory=Mended)
    purged: int = 0
    noted: int = field(default=0, compare=False)


class Reconciler:
    """Puts orphans in quarantine, and tells of losses. Safe beside live traffic, sweepers and other reconcilers."""

    def __init__(self, depot: Depot) -> None:
        self._depot, self._quarantine = depot, Quarantine(depot)

    async def reconcile(self, *, dry_run: bool = False, force: bool = False) -> Reconciled:
        """Look at every object and every image, and return the counts; with `dry_run` nothing is changed.

        Repeatable. An image whose object is gone is logged by its id and left as it is, since only its owner
        can say what shall become of it. Raises DepotMismatch, and, without `force`, TooManyOrphans before anything
        is changed.
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
        """Return the objects that belong to nothing."""
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
            # A process that recovers records may have made some meanwhile.
            still = await self._unowned(orphans[n : n + _BATCH])
            await self._quarantine.add([each.key for each in still], self._depot.times.latest())

    @property
    def _life(self) -> timedelta:
        """Return for how long something may be under way."""
        return timedelta(seconds=self._depot.settings.upload_ttl) + GRACE

    async def _is_owned(self, found: StoredObject) -> bool:
        """Return whether an object belongs to something, or is so young that it soon may."""
        if found.modified_at > self._depot.clock() - self._life or not _is_our_key(found.key):
            return True
        upload = await self._depot.records.upload(found.key.split("/")[1])
        if upload is None:
            return False
        if upload.state is not State.READY:
            return True  # sweep comes to it at its deadline
        image = await self._depot.records.image(upload.image_id)
        return image is None or found.key in image.object_keys

    async def _is_whole(self, image: Image) -> bool:
        try:
            for key in image.object_keys:
                async for _ in await self._depot.objects.open(key, 0, 1):
                    pass
        except ObjectMissing:
            # It may have been deleted since it was listed.
            if await self._depot.records.image(image.image_id) is None:
                return True
            logger.error("an object of image %s is missing", image.image_id)  # noqa: TRY400 - no trace to tell
            return False
        return True

    async def _note(self, image: Image, *, dry_run: bool) -> bool:
        """Let an original have a note of its image as it is now; return whether it had another, or none."""
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
    """Return whether the service makes such keys; what else is in the bucket is somebody else's."""
    parts = key.split("/")
    return (parts[0], len(parts)) in {("uploads", 2), ("images", 4)}
