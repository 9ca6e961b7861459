"""Building the lists of a table that has none, and taking over images that another service left in it."""

import logging
from collections.abc import AsyncIterator

from service.domain.errors import InvalidImage, ObjectMissing, TooLarge, TypeMismatch, UnsupportedImage
from service.domain.model import Image, Original, Reindexed
from service.media import UNKNOWN_TYPE
from service.operations import undoing
from service.operations.depot import Depot, together, variants_beside

logger = logging.getLogger(__name__)


class Reindexer:
    """Makes what is in the table visible in lists. Safe beside live traffic, and repeatable."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot

    async def reindex(self) -> AsyncIterator[Reindexed]:
        """Go through every record, and yield the counts so far. One that was cut off is gone on with.

        Raises DepotMismatch.
        """
        await self._depot.pairing.check(fresh=True)
        async for each in self._depot.records.reindex(self._adopted):
            yield each

    async def _adopted(self, original: Original) -> Image | None:
        """Return what an image of the original is here: its bytes verified, under a key that nobody can write to.

        None when its object is gone, or is no picture that the service takes; both are left as they are.
        """
        sealed = self._depot.sealed_key(original.image_id)
        try:
            # No record leads here yet: a process that is killed leaves what only reconcile finds.
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
        # The copy has the type that somebody declared: it is written again where the bytes are of another.
        mistyped = made.content.content_type != original.content_type
        await together(*self._depot.puts(image, made, original=mistyped))
        return image
