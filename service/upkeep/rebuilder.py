"""Rebuild: create the variants of images again, after a change of format or size, or if they are missing."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

from service import media
from service.domain.errors import PixdepotError
from service.domain.model import GRACE, Image
from service.operations import undoing
from service.operations.depot import Depot, together, variants_beside

logger = logging.getLogger(__name__)

_AT_ONCE = 2  # images in memory, few because clients take precedence


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The progress: the number of images checked, with `outdated` variants, and `failed`.

    Outdated variants are rebuilt, unless they failed or it is a dry run.
    """

    looked_at: int = 0
    outdated: int = 0
    failed: int = 0


class Rebuilder:
    """Rebuilds variants that do not match the settings.

    Safe to run while the service serves requests, and in parallel with other rebuilders.
    """

    def __init__(self, depot: Depot) -> None:
        self._depot = depot
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def rebuild(self, *, dry_run: bool = False) -> AsyncIterator[Rebuilt]:
        """Rebuild outdated variants of all images, and yield the progress. With `dry_run` change nothing.

        Safe to retry, and fast if nothing is outdated. A failure is logged and counted, and the image keeps its
        variants. Links to old variants work until they expire. Raises DepotMismatch.
        """
        await self._depot.pairing.check(fresh=True, write=not dry_run)
        done = Rebuilt()
        async for images in self._depot.everything():
            outdated = [each for each in images if self._is_outdated(each)]
            made = [True] * len(outdated) if dry_run else await asyncio.gather(*map(self._remake, outdated))
            done = Rebuilt(
                done.looked_at + len(images), done.outdated + len(outdated), done.failed + made.count(False)
            )
            yield done

    def _is_outdated(self, image: Image) -> bool:
        asked = {
            (name, f"image/{self._depot.settings.variant_format}", *size)
            for name, size in media.variant_sizes((image.content.width, image.content.height)).items()
        }
        has = {(each.name, each.content_type, each.width, each.height) for each in image.variants}
        return asked != has or not image.content.placeholder

    async def _remake(self, image: Image) -> bool:
        """Rebuild the variants of an image, and return whether it succeeded."""
        async with self._turns:
            try:
                await self._exchange(image)
            except PixdepotError as error:
                if await self._depot.records.image(image.image_id) is None:
                    return True  # deleted meanwhile
                logger.warning("variants of image %s not rebuilt: %s", image.image_id, error.detail)
                return False
        return True

    async def _exchange(self, image: Image) -> None:
        depot = self._depot
        async with depot.inspector.admitted(image.content.file_size):
            data = await depot.whole(image.object_key)
            made = await depot.inspector.inspected(data, sha256=image.content.sha256)
        key = depot.sealed_key(image.image_id)
        variants = variants_beside(key, made)
        # Update the size, too, because an earlier version may have applied the EXIF rotation in another way.
        remade = replace(image, content=made.content, variants=variants)
        # From here on sweep checks the image, and removes objects that do not belong to it at its deadline.
        if not await depot.records.schedule_sweep(image.image_id, depot.clock() + GRACE):
            return  # deleted
        async with undoing.unless_done(depot, key):
            await together(*depot.puts(remade, made, original=False))
        # Clients may still use links to the old variants.
        links_end = depot.clock() + timedelta(seconds=2 * depot.settings.url_ttl)
        if not await depot.records.exchange_variants(remade, seen=image, deadline=links_end):
            await undoing.abandon(depot, key)  # another rebuilder, or a delete, was first
