"""Reindex: build the lists of a table that has none, and import images of the original service."""

import logging
from collections.abc import AsyncIterator

from service.domain.errors import InvalidImage, ObjectMissing, TooLarge, TypeMismatch, UnsupportedImage
from service.domain.model import Image, Original, Reindexed
from service.media import UNKNOWN_TYPE
from service.operations import undoing
from service.operations.depot import Depot, together, variants_beside

logger = logging.getLogger(__name__)


class Reindexer:
    """Builds the lists of a table. Safe to run while the service serves requests, and safe to retry."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot

    async def reindex(self) -> AsyncIterator[Reindexed]:
        """Reindex every record, and yield the progress. An interrupted reindex continues where it stopped.

        Raises DepotMismatch.
        """
        await self._depot.pairing.check(fresh=True)
        async for each in self._depot.records.reindex(self._adopted):
            yield each

    async def _adopted(self, original: Original) -> Image | None:
        """Import an image of the original service: verify its bytes and seal them under a new key.

        Return None, and change nothing, if its object is missing or is not a supported image.
        """
        sealed = self._depot.sealed_key(original.image_id)
        try:
            # There is no record yet, so only reconcile finds what a killed process leaves.
            async with undoing.unless_done(self._depot, sealed):
                return await self._sealed(original, sealed)
        except (ObjectMissing, TooLarge, UnsupportedImage, InvalidImage, TypeMismatch) as error:
            logger.warning("image %s not imported: %s", original.image_id, error.detail)
            return None

    async def _sealed(self, original: Original, sealed: str) -> Image:
        kind, note = original.content_type or UNKNOWN_TYPE, self._depot.note(original)
        await self._depot.objects.copy(original.object_key, sealed, kind, note=note)
        made = await self._depot.inspector.inspected(await self._depot.whole(sealed))
        variants = variants_beside(sealed, made)
        times = (original.created_at, original.updated_at)
        image = Image(original.image_id, original.details, made.content, sealed, *times, variants)
        # The copy has the declared media type. If the bytes have another type, write them again with theirs.
        mistyped = made.content.content_type != original.content_type
        await together(*self._depot.puts(image, made, original=mistyped))
        return image
