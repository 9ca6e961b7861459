"""The check that the database and the storage belong to the same depot. Both store the depot's ID.

With an empty or wrong database every object looks like an orphan, and with a wrong storage every image looks lost.
So the service refuses a mismatch before it cleans up, repairs or writes anything.
"""

import json
import re
from uuid import uuid4

from service.domain.errors import DepotMismatch, ObjectMissing, Unavailable
from service.domain.model import Image, ImageQuery
from service.domain.ports import ImageRepository, ObjectStore

# Key of the object with the depot's ID. It is hidden, but below `images/`, so that a copy of `images/` includes it.
MARK = "images/.depot"

_SAMPLE = 20  # images or objects to check if only one side has an ID
_MOST = 1024  # bytes, the largest size of the object with the ID
_sealed = re.compile(r"images/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/[0-9a-f]{16}/[a-z]+").fullmatch

_RECOVER = "or rebuild the database from the storage with `pixdepot recover`"
_SETTINGS = (
    "check PIXDEPOT_STORAGE, PIXDEPOT_DATABASE and PIXDEPOT_DATA_DIR, or PIXDEPOT_BUCKET, PIXDEPOT_TABLE and "
    "PIXDEPOT_INDEX_TABLE"
)


class Pairing:
    """Compares the two IDs, assigns an ID to a new depot, and caches the result."""

    def __init__(self, objects: ObjectStore, records: ImageRepository) -> None:
        self._objects, self._records = objects, records
        self._is_paired = False
        self._mismatch: DepotMismatch | None = None

    async def check(self, *, fresh: bool = False, write: bool = True) -> None:
        """Raise DepotMismatch unless the database and the storage belong together. Safe to retry.

        Use the cached result after a match, unless `fresh`. Without `write`, store no ID.
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
        """Raise DepotMismatch if the storage belongs to another depot. Accept a storage without an ID."""
        self._compared(await self._records.identity(), await self._marked())

    @property
    def told(self) -> str:
        """Return the error detail of a known mismatch for clients, or an empty string."""
        return "" if self._mismatch is None else f"{self._mismatch.title}: the operator must repair it."

    def check_writable(self) -> None:
        """Raise Unavailable if a mismatch is known. It calls no backend, so it is free for every request."""
        if self._mismatch is not None:
            raise Unavailable(self.told)

    async def join(self, *, force: bool = False) -> None:
        """Pair the database with the storage, before `recover` rebuilds the database from the storage.

        A database without images takes the storage's ID. For a database with images, raises DepotMismatch unless
        the IDs match or `force` is set.
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
        """Return whether both have the same ID. If they belong together, store the ID where it is missing."""
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
        """Return whether both have the same ID. Raises DepotMismatch if the IDs differ."""
        if kept and marked and kept != marked:
            raise DepotMismatch(
                f"The database belongs to the depot {kept}, the storage to {marked}: {_SETTINGS}; restore the "
                f"wrong one from its backup, {_RECOVER}."
            )
        return bool(kept) and kept == marked

    async def _check_known(self) -> None:
        """Raise DepotMismatch unless the database and the storage have at least some images in common."""
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
        """Return whether the storage has none of these images, not counting images deleted meanwhile."""
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
        """Return the IDs of a sample of the images in the storage."""
        found: set[str] = set()
        async for each in self._objects.list("images/"):
            if key := _sealed(each.key):
                found.add(key[1])
            if len(found) == _SAMPLE:
                break
        return found

    async def _marked(self) -> str | None:
        """Return the storage's ID, or None if it has none."""
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
