"""Making the variants of images anew: after a change of their format or size, or where there are none yet."""

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

_AT_ONCE = 2  # images held in memory; clients go first


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How far it came: images looked at, those whose variants are not what the settings ask for, and what failed.

    `outdated` ones have been made anew, unless they `failed` or nothing was to be changed.
    """

    looked_at: int = 0
    outdated: int = 0
    failed: int = 0


class Rebuilder:
    """Makes variants as the settings ask for them now. Safe beside live traffic and beside another rebuilder."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def rebuild(self, *, dry_run: bool = False) -> AsyncIterator[Rebuilt]:
        """Go through all images, and yield the counts so far. Repeatable, and quick where nothing is outdated.

        One that fails keeps the variants it has; it is logged, and counted. Links to old variants work until they
        expire. Raises DepotMismatch.
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
        """Make an image's variants anew, and return whether that is done."""
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
        # Also the size: how a picture is turned may have been decided otherwise when it was published.
        remade = replace(image, content=made.content, variants=variants)
        # From here on sweep looks beside the image, and removes what is not its own by then.
        if not await depot.records.schedule_sweep(image.image_id, depot.clock() + GRACE):
            return  # deleted
        async with undoing.unless_done(depot, key):
            await together(*depot.puts(remade, made, original=False))
        # Whoever has a link to an old one may still follow it.
        links_end = depot.clock() + timedelta(seconds=2 * depot.settings.url_ttl)
        if not await depot.records.exchange_variants(remade, seen=image, deadline=links_end):
            await undoing.abandon(depot, key)  # another rebuilder, or a delete, was first
