"""Comparing storage and database, both ways, for what no deadline leads to.

A record leads sweep to every object that the service writes. What has no record all the same comes from elsewhere:
a database that was restored or changed by hand, a reindex that was killed while it took an image over. This walks
everything, so it is for now and then.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import timedelta

from .depot import Depot, batched
from .errors import ObjectMissing
from .model import GRACE, Image, Mended, State, StoredObject

logger = logging.getLogger(__name__)

_BATCH = 100  # objects looked at together


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was found: objects that belong to nothing, images whose object is gone, what lists had wrong."""

    orphans: int
    missing: int
    lists: Mended = field(default_factory=Mended)


class Reconciler:
    """Removes orphans, and tells of losses. Safe beside live traffic, sweepers and other reconcilers."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot

    async def reconcile(self, *, dry_run: bool = False) -> Reconciled:
        """Look at every object and every image, and return the counts; with `dry_run` nothing is removed.

        Repeatable. An image whose object is gone is logged by its id and left as it is, since only its owner
        can say what shall become of it.
        """
        orphans = missing = 0
        for prefix in ("uploads/", "images/"):
            async for batch in batched(self._depot.objects.list(prefix), _BATCH):
                owned = await asyncio.gather(*map(self._is_owned, batch))
                lost = [each.key for each, kept in zip(batch, owned, strict=True) if not kept]
                orphans += len(lost)
                if not dry_run:
                    await self._depot.objects.delete(*lost)
        async for images in self._depot.everything():
            whole = await asyncio.gather(*map(self._is_whole, images))
            missing += whole.count(False)
        lists = await self._depot.records.mend_lists(self._depot.clock() - self._life, dry_run=dry_run)
        return Reconciled(orphans, missing, lists)

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


def _is_our_key(key: str) -> bool:
    """Return whether the service makes such keys; what else is in the bucket is somebody else's."""
    parts = key.split("/")
    return (parts[0], len(parts)) in {("uploads", 2), ("images", 4)}
