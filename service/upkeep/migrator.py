"""Copying a library to another backend, through the two ports: every image as it is, under the id that it has.

What arrived is read back and compared before it is published there, so a process that is killed leaves an image
there whole, or pending. The next run goes on; what never comes to an end is swept, as any upload is.
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

_AT_ONCE = 8  # images, which are in memory meanwhile

Outcome = Literal["copied", "updated", "there", "deleted", "failed"]


@dataclass(frozen=True, slots=True)
class Migrated:
    """How far it came: of `total` images, how many had which outcome. `copied_bytes` are those of originals.

    `copied` ones were not there, or not whole; `updated` ones had older details there; `there` is what was left as
    it is; `deleted` ones were ever deleted at the target, or meanwhile at the source, and stay so; `failed` ones
    are logged by their id.
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
        """Return how many images there is an outcome of."""
        return self.copied + self.updated + self.there + self.deleted + self.failed

    def further(self, image: Image, outcome: Outcome) -> "Migrated":
        """Return the counts with one more."""
        size = image.content.file_size if outcome == "copied" else 0
        count = {outcome: getattr(self, outcome) + 1}
        return replace(self, **count, copied_bytes=self.copied_bytes + size)


class Migrator:
    """Copies what is published. Safe beside live traffic on both sides, and beside another migrator."""

    def __init__(self, source: Depot, target: Depot, *, share_records: bool = False) -> None:
        """With `share_records` both depots have one database: only objects are copied."""
        self._source, self._target = source, target
        self._share_records = share_records

    async def migrate(self, *, dry_run: bool = False) -> AsyncIterator[Migrated]:
        """Go through all images of the source, newest first, and yield the counts so far. Repeatable.

        What is there is read and compared, and copied again where it is damaged. With `dry_run` everything is
        looked at, and nothing written. Raises Unavailable, when those under way have ended; the next run goes on;
        DepotMismatch before that.
        """
        await self._source.pairing.check(fresh=True, write=not dry_run)
        # The database knows images that a storage which is filled first lacks: those belong together afterwards.
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
        """Copy an image that is not there; a run that was killed may have `begun` it."""
        objects = {key: await self._read(image, key) for key in image.object_keys}
        if dry_run:
            return "copied"
        if not await publish_copy(self._target, image, begun, lambda: [self._put(image, objects)]):
            await self._target.erase(image.image_id)
            return "deleted"
        return "copied"

    async def _compare(self, image: Image, present: Image, *, dry_run: bool) -> Outcome:
        """Mend an image that is there; details that were changed there later than here stay."""
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
        """Return the objects that are missing there, or have other bytes, as they are at the source.

        Variants that were made anew on one side have other keys there, and are that side's own.
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
        """Return an object of the source, the original only as it was verified. Raises ObjectMissing."""
        data = b"".join([chunk async for chunk in await self._source.objects.open(key)])
        if key == image.object_key and hashlib.sha256(data).hexdigest() != image.content.sha256:
            raise InvalidImage("The bytes in the source do not match the published SHA-256.")
        return data

    async def _put(self, image: Image, objects: Mapping[str, bytes]) -> None:
        """Store objects of an image under their keys, and read them back."""
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
    """Return the sha256 of an object; None when there is none."""
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
    """Publish an image that was published elsewhere, or before, when `puts` have stored its objects.

    A run that was killed may have `begun` it. Returns False when it was deleted meanwhile.
    """
    records, content, expiry = depot.records, image.content, depot.expiry()
    expected = Expected("PUT", content.content_type, content.file_size, content.sha256)
    upload = begun or Upload(image.image_id, image.details, expected, image.created_at, expiry)
    await (records.extend(upload.image_id, expiry) if begun else records.begin(upload))
    await together(*puts(), records.prepare(upload))
    # As it was begun, then as it is: an edit is what moves the time and, since a killed run, the details.
    published = replace(image, details=upload.details, updated_at=image.created_at)
    if await records.publish(published, settled=True) is None:
        return False
    if published != image:
        await records.edit(image, seen=published)
    return True
