"""Whether the database and the storage belong together: both keep the depot's ID.

With a database that is empty, or another depot's, every object looks like an orphan, and with another storage every
image looks lost. So a pair that does not match is refused before anything is cleaned up, repaired or written.
"""

import json
import re
from uuid import uuid4

from service.domain.errors import DepotMismatch, ObjectMissing, Unavailable
from service.domain.model import Image, ImageQuery
from service.domain.ports import ImageRepository, ObjectStore

# The object that keeps the ID in the storage: hidden, but below `images/`, so that a copy of those has it, too.
MARK = "images/.depot"

_SAMPLE = 20  # images, or IDs of objects, that are looked at where only one side has an ID
_MOST = 1024  # bytes of the mark
_sealed = re.compile(r"images/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/[0-9a-f]{16}/[a-z]+").fullmatch

_RECOVER = "or rebuild the database from the storage with `pixdepot recover`"
_SETTINGS = (
    "check PIXDEPOT_STORAGE, PIXDEPOT_DATABASE and PIXDEPOT_DATA_DIR, or PIXDEPOT_BUCKET, PIXDEPOT_TABLE and "
    "PIXDEPOT_INDEX_TABLE"
)


class Pairing:
    """Compares the IDs, gives one to a depot that has none yet, and remembers the result."""

    def __init__(self, objects: ObjectStore, records: ImageRepository) -> None:
        self._objects, self._records = objects, records
        self._is_paired = False
        self._mismatch: DepotMismatch | None = None

    async def check(self, *, fresh: bool = False, write: bool = True) -> None:
        """Raise DepotMismatch unless both belong together; ask them again only if `fresh`, or before they matched.

        Without `write` no ID is stored. Repeatable.
        """
        if self._is_paired and not fresh:
            return
        try:
            self._is_paired = await self._compare(write=write)
        except DepotMismatch as error:
            self._is_paired, self._mismatch = False, error
            raise
        self._mismatch = None

    async def check_storage(self) -> None:
        """Raise DepotMismatch where the storage is another depot's; one without an ID may be filled."""
        self._compared(await self._records.identity(), await self._marked())

    @property
    def told(self) -> str:
        """Return what clients are told of a mismatch; empty where none is known."""
        return "" if self._mismatch is None else f"{self._mismatch.title}: the operator must repair it."

    def check_writable(self) -> None:
        """Raise Unavailable where a mismatch is known. Asks nobody, so it costs a request nothing."""
        if self._mismatch is not None:
            raise Unavailable(self.told)

    async def join(self, *, force: bool = False) -> None:
        """Make both belong together, so that a new database is rebuilt from the storage.

        A database that knows no image takes the storage's ID. Raises DepotMismatch for one that does, unless both
        match, or with `force`.
        """
        try:
            await self.check(fresh=True)
        except DepotMismatch:
            if not force and await self._newest():
                raise
            kept, marked = await self._records.identity(), await self._marked()
            identity = marked or kept or str(uuid4())
            await self._records.identify(identity, replacing=kept)
            await self._mark(identity)
            await self._settled(identity)

    async def _settled(self, identity: str) -> None:
        if await self._records.identity() != identity:
            raise Unavailable("Another process set the database's depot ID at the same time; retry.")
        self._is_paired, self._mismatch = True, None

    async def _compare(self, *, write: bool) -> bool:
        """Return whether both have the same ID; give it to those that have none, if they belong together."""
        kept, marked = await self._records.identity(), await self._marked()
        if self._compared(kept, marked):
            return True
        await self._check_known()
        if not write:
            return False
        identity = await self._records.identify(marked or kept or str(uuid4()))
        if marked is None:
            await self._mark(identity)
        return identity == (marked or identity)

    def _compared(self, kept: str | None, marked: str | None) -> bool:
        """Return whether both have the same ID. Raises DepotMismatch where they have two."""
        if kept and marked and kept != marked:
            raise DepotMismatch(
                f"The database belongs to the depot {kept}, the storage to {marked}: {_SETTINGS}; restore the "
                f"wrong one from its backup, {_RECOVER}."
            )
        return bool(kept) and kept == marked

    async def _check_known(self) -> None:
        """Raise DepotMismatch unless what the one has is known to the other, at least some of it."""
        images = await self._newest()
        if images:
            if await self._are_lost(images):
                raise DepotMismatch(
                    f"The database has images, but the storage has none of the newest {len(images)}: {_SETTINGS}; "
                    "or restore the storage from its backup."
                )
            return
        ids = await self._stored_ids()
        if ids and not any([await self._is_known(each) for each in ids]):
            raise DepotMismatch(
                f"The storage has images, but the database has no record of them: {_SETTINGS}; restore the "
                f"database from its backup, {_RECOVER}."
            )

    async def _newest(self) -> tuple[Image, ...]:
        return (await self._records.find(ImageQuery(), None, _SAMPLE)).images

    async def _are_lost(self, images: tuple[Image, ...]) -> bool:
        """Return whether the storage has none of these images, and some were not just deleted meanwhile."""
        lost = False
        for each in images:
            try:
                await self._objects.read(each.object_key, 1)
            except ObjectMissing:
                lost = lost or await self._records.image(each.image_id) is not None
            else:
                return False
        return lost

    async def _is_known(self, image_id: str) -> bool:
        return await self._records.upload(image_id) is not None or await self._records.is_deleted(image_id)

    async def _stored_ids(self) -> set[str]:
        """Return the IDs of some images that have objects."""
        found: set[str] = set()
        async for each in self._objects.list("images/"):
            if key := _sealed(each.key):
                found.add(key[1])
            if len(found) == _SAMPLE:
                break
        return found

    async def _marked(self) -> str | None:
        """Return the storage's ID; None where it has none."""
        try:
            found = json.loads(await self._objects.read(MARK, _MOST))
            return str(found["depot_id"])
        except ObjectMissing:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise DepotMismatch(
                f"The object {MARK} in the storage is damaged: restore it from a backup."
            ) from error

    async def _mark(self, identity: str) -> None:
        await self._objects.put(MARK, json.dumps({"depot_id": identity}).encode(), "application/json")
