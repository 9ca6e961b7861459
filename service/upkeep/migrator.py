"""Migrate: copy all images to another backend through the two ports. Images keep their IDs.

Migrate reads each copy back and compares it before it publishes the image. So after a killed process, an image at
the target is complete or pending. The next run continues; sweep removes uploads that are never completed.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from service.domain.errors import Conflict, InvalidImage, ObjectMissing, PixdepotError, Unavailable
from service.domain.model import Expected, Image, State, Upload
from service.domain.ports import ObjectStore
from service.operations.depot import Depot, together

logger = logging.getLogger(__name__)

_AT_ONCE = 8  # images copied concurrently, all of them in memory

Outcome = Literal["copied", "updated", "there", "deleted", "failed"]


@dataclass(frozen=True, slots=True)
class Migrated:
    """The progress: the number of images by outcome, of `total`. `copied_bytes` is the size of copied originals.

    `copied` images were missing or damaged at the target, `updated` images had older metadata there, and `there`
    images needed no change. `deleted` images were deleted at the target at any time, or at the source meanwhile,
    and stay deleted. `failed` images are logged with their ID.
    """

    total: int
    copied: int = 0
    updated: int = 0
    there: int = 0
    deleted: int = 0
    failed: int = 0
    copied_bytes: int = 0

    @property
    def looked_at(self) -> int:
        """Return the number of images that have an outcome."""
        return self.copied + self.updated + self.there + self.deleted + self.failed

    def further(self, image: Image, outcome: Outcome) -> "Migrated":
        """Return the counts with this outcome added."""
        size = image.content.file_size if outcome == "copied" else 0
        count = {outcome: getattr(self, outcome) + 1}
        return replace(self, **count, copied_bytes=self.copied_bytes + size)


class Migrator:
    """Copies published images. Safe to run while both sides serve requests, and in parallel."""

    def __init__(self, source: Depot, target: Depot, *, share_records: bool = False) -> None:
        """Create a migrator. With `share_records` both depots have one database: copy only objects."""
        self._source, self._target = source, target
        self._share_records = share_records

    async def migrate(self, *, dry_run: bool = False) -> AsyncIterator[Migrated]:
        """Migrate all images of the source, newest first, and yield the progress. Safe to retry.

        Images that exist at the target are read and compared, and copied again if damaged. With `dry_run` read
        everything and write nothing. Raises DepotMismatch before it starts. Raises Unavailable after the copies in
        progress have ended; the next run continues.
        """
        await self._source.pairing.check(fresh=True, write=not dry_run)
        # A new storage does not have the database's images yet, so pair them only after the copy.
        if self._share_records:
            await self._target.pairing.check_storage()
        else:
            await self._target.pairing.check(fresh=True, write=not dry_run)
        total = 0
        async for images in self._source.everything():
            total += len(images)
        done = Migrated(total)
        yield done
        async for images in self._source.everything():
            for n in range(0, len(images), _AT_ONCE):
                some = images[n : n + _AT_ONCE]
                for image, outcome in zip(some, await self._outcomes(some, dry_run=dry_run), strict=True):
                    done = done.further(image, outcome)
                yield done
        if self._share_records and not dry_run:
            await self._target.pairing.check(fresh=True)

    async def _outcomes(self, images: Sequence[Image], *, dry_run: bool) -> list[Outcome]:
        outcomes: list[Outcome] = []
        works = (self._attempt(each, dry_run=dry_run) for each in images)
        for outcome in await asyncio.gather(*works, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
            outcomes.append(outcome)
        return outcomes

    async def _attempt(self, image: Image, *, dry_run: bool) -> Outcome:
        try:
            return await self._migrate(image, dry_run=dry_run)
        except Unavailable:
            raise
        except PixdepotError as error:
            if await self._source.records.image(image.image_id) is None:
                return "deleted"
            logger.error("image %s not copied: %s", image.image_id, error.detail)  # noqa: TRY400 - no trace to tell
            return "failed"

    async def _migrate(self, image: Image, *, dry_run: bool) -> Outcome:
        if await self._target.records.is_deleted(image.image_id):
            return "deleted"
        upload = await self._target.records.upload(image.image_id)
        if upload is None or upload.state is State.PENDING:
            return await self._copy(image, upload, dry_run=dry_run)
        present = await self._target.records.image(image.image_id)
        return "deleted" if present is None else await self._compare(image, present, dry_run=dry_run)

    async def _copy(self, image: Image, begun: Upload | None, *, dry_run: bool) -> Outcome:
        """Copy an image that is missing at the target. A killed run may have `begun` its upload."""
        objects = {key: await self._read(image, key) for key in image.object_keys}
        if dry_run:
            return "copied"
        if not await publish_copy(self._target, image, begun, lambda: [self._put(image, objects)]):
            await self._target.erase(image.image_id)
            return "deleted"
        return "copied"

    async def _compare(self, image: Image, present: Image, *, dry_run: bool) -> Outcome:
        """Repair an image that exists at the target. Keep its metadata if it was edited there later."""
        if present.content.sha256 != image.content.sha256:
            raise Conflict("The target has another image with this ID.")
        damaged = await self._damaged(image, present)
        outdated = image.updated_at > present.updated_at
        if damaged and not dry_run:
            await self._put(image, damaged)
        if outdated and not dry_run:
            edited = replace(present, details=image.details, updated_at=image.updated_at)
            await self._target.records.edit(edited, seen=present)
        return "copied" if damaged else "updated" if outdated else "there"

    async def _damaged(self, image: Image, present: Image) -> Mapping[str, bytes]:
        """Return the source's bytes of objects that are missing or different at the target, by key.

        Ignore variants that were rebuilt on one side, because they have other keys there.
        """
        damaged = {}
        for key in image.object_keys:
            if key not in present.object_keys:
                continue
            there = await _digest(self._target.objects, key)
            if there is None or key != image.object_key or there != image.content.sha256:
                data = await self._read(image, key)
                if there != hashlib.sha256(data).hexdigest():
                    damaged[key] = data
        return damaged

    async def _read(self, image: Image, key: str) -> bytes:
        """Read an object of the source. Raises ObjectMissing, and InvalidImage for a damaged original."""
        data = b"".join([chunk async for chunk in await self._source.objects.open(key)])
        if key == image.object_key and hashlib.sha256(data).hexdigest() != image.content.sha256:
            raise InvalidImage("The bytes in the source do not match the published SHA-256.")
        return data

    async def _put(self, image: Image, objects: Mapping[str, bytes]) -> None:
        """Store objects of an image under their keys, and read them back. Raises InvalidImage if they differ."""
        types = {each.object_key: each.content_type for each in image.variants}
        types[image.object_key] = image.content.content_type
        digests = {key: hashlib.sha256(data).hexdigest() for key, data in objects.items()}
        target, notes = self._target.objects, {image.object_key: self._target.note(image)}
        puts = (
            target.put(key, data, types[key], digests[key], note=notes.get(key, b""))
            for key, data in objects.items()
        )
        await together(*puts)
        for key, digest in digests.items():
            if await _digest(target, key) != digest:
                raise InvalidImage("The target stored different bytes than were sent.")


async def _digest(objects: ObjectStore, key: str) -> str | None:
    """Return the SHA-256 of an object, or None if it does not exist."""
    digest = hashlib.sha256()
    try:
        async for chunk in await objects.open(key):
            digest.update(chunk)
    except ObjectMissing:
        return None
    return digest.hexdigest()


async def publish_copy(
    depot: Depot, image: Image, begun: Upload | None, puts: Callable[[], Sequence[Awaitable[None]]]
) -> bool:
    """Publish a copy of an image after `puts` have stored its objects.

    A killed run may have `begun` its upload. Return False if the image was deleted meanwhile.
    """
    records, content, expiry = depot.records, image.content, depot.expiry()
    expected = Expected("PUT", content.content_type, content.file_size, content.sha256)
    upload = begun or Upload(image.image_id, image.details, expected, image.created_at, expiry)
    await (records.extend(upload.image_id, expiry) if begun else records.begin(upload))
    await together(*puts(), records.prepare(upload))
    # Publish the image as its upload began, then edit it to its current metadata and time, which may have changed
    # since a killed run.
    published = replace(image, details=upload.details, updated_at=image.created_at)
    if await records.publish(published, settled=True) is None:
        return False
    if published != image:
        await records.edit(image, seen=published)
    return True
