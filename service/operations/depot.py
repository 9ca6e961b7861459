"""The depot: what all operations share, and how object keys and image IDs are created."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import uuid_utils

from service.domain import model
from service.domain.clocks import SteadyClock
from service.domain.errors import DepotMismatch, IdempotencyMismatch, ImageGone, QuotaExceeded, exact
from service.domain.fingerprints import fingerprint, matches
from service.domain.model import (
    Claim,
    Details,
    Expected,
    Image,
    ImageQuery,
    Original,
    Position,
    State,
    StoredObject,
    Upload,
    Variant,
)
from service.domain.notes import Note, encoded
from service.domain.ports import ImageRepository, ObjectStore
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import Tracer

from .inspection import Inspected, Inspector
from .pairing import Pairing

UPLOADS = "uploads/"  # prefix of the keys that clients can write
ORIGINAL = "original"  # last part of an original's key; the last part of a variant's key is its name

_BATCH = 100  # images per page when all images are read
_CHECK_SECONDS = 5
A_REQUEST = timedelta(minutes=1)  # upper bound of a request's duration
_TOO_LATE = A_REQUEST  # before an upload's deadline no request continues it, because sweep is about to remove it


@dataclass(frozen=True, slots=True)
class Claimed:
    """The upload of an idempotency key, as first requested.

    `state` is the state of its record, or None if it has none yet. `first` tells whether this request made the
    claim, and `ours` whether this process did.
    """

    upload: Upload
    state: State | None
    first: bool
    ours: bool


@dataclass(frozen=True, slots=True)
class Depot:
    """The shared parts of all operations: ports, settings, limits, clocks, metrics, object keys and IDs."""

    objects: ObjectStore
    records: ImageRepository
    settings: Settings
    inspector: Inspector
    clock: Callable[[], datetime] = model.now
    process: str = field(default_factory=lambda: secrets.token_hex(8))
    metrics: Metrics = field(default_factory=Metrics)
    tracer: Tracer | None = None
    times: SteadyClock = field(init=False)
    pairing: Pairing = field(init=False)

    def __post_init__(self) -> None:
        """Create the clock and the pairing of this depot."""
        object.__setattr__(self, "times", SteadyClock(self.clock))
        object.__setattr__(self, "pairing", Pairing(self.objects, self.records))

    def new_upload(self, details: Details, expected: Expected) -> Upload:
        """Return a new upload. Its ID is a version 7 UUID (RFC 9562), which sorts by time."""
        created = self.times.likely()
        milliseconds = (created - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        image_id = str(uuid_utils.uuid7(nanoseconds=milliseconds * 1_000_000))
        return Upload(image_id, details, expected, created, self.expiry())

    async def claimed(self, operation: str, key: str, upload: Upload) -> Claimed:
        """Claim an idempotency key for this new upload, or return the upload that an equal request claimed before.

        Call it before you write anything else. All requests with the key then work on the same upload, and only one
        can publish it. So the key is no lock that a failed request must release: the next request continues.

        Raises IdempotencyMismatch for another request, and ImageGone if the upload was deleted, cancelled or left
        unfinished for too long.
        """
        claim = self._claim(operation, key, upload)
        counts = await self.records.claim(claim)
        if counts.image_id == claim.image_id:
            return Claimed(upload, None, first=True, ours=True)
        if not matches(counts.fingerprint, operation, upload.details, upload.expected):
            raise IdempotencyMismatch("Use a new Idempotency-Key for each different request.")
        created_at, expires_at = counts.created_at, counts.upload_expires_at
        upload = replace(upload, image_id=counts.image_id, created_at=created_at, expires_at=expires_at)
        found = await self.records.upload(upload.image_id)
        # A record stays until its deadline at least. So before the deadline, no record means that none was stored.
        swept = found is None and self.is_left_to_sweep(upload)
        if swept or (found and found.state is State.DELETED):
            raise ImageGone("The image is deleted or its upload failed: to upload it again, use a new key.")
        state, ours = found.state if found else None, counts.process == self.process
        return Claimed(upload, state, first=False, ours=ours)

    def _claim(self, operation: str, key: str, upload: Upload) -> Claim:
        asked = fingerprint(operation, upload.details, upload.expected)
        decided = upload.image_id, upload.created_at, upload.expires_at
        return Claim(upload.details.user_id, key, asked, self.process, *decided)

    def is_left_to_sweep(self, upload: Upload) -> bool:
        """Return whether it is too late to continue an upload, because sweep may remove it at the same time."""
        return self.times.latest() >= upload.deadline - _TOO_LATE

    def expiry(self) -> datetime:
        """Return the expiry time of a link signed now, rounded up to a second, the precision of S3."""
        ends = self.times.latest() + timedelta(seconds=self.settings.upload_ttl)
        return ends.replace(microsecond=0) + timedelta(seconds=ends.microsecond > 0)

    def earliest_purge(self) -> datetime:
        """Return the earliest time to purge a tombstone created now: after all retries of its request.

        A retry that finds no tombstone would assume that the image never existed.
        """
        return self.times.latest() + 2 * A_REQUEST

    def upload_key(self, image_id: str) -> str:
        """Return the key that the client's upload link writes to. The service never serves it."""
        return f"{UPLOADS}{image_id}"

    def sealed_key(self, image_id: str) -> str:
        """Return a new sealed key, which no client can write to, for one attempt to publish."""
        return f"images/{image_id}/{secrets.token_hex(8)}/{ORIGINAL}"

    def note(self, image: Image | Original | Upload) -> bytes:
        """Return the encoded note of an original, or of an upload before it is published."""
        said = Note(image.image_id, image.details, image.created_at, image.created_at)
        if isinstance(image, Image):
            said = replace(said, updated_at=image.updated_at, sha256=image.content.sha256)
        return encoded(said)

    async def check_quota(self, user_id: str, more: int) -> None:
        """Raise QuotaExceeded if `more` bytes would exceed the user's quota.

        Concurrent requests can each pass the check and together exceed the quota by their own sizes.
        """
        quota = self.settings.user_quota_bytes
        if quota and await self.records.usage(user_id) + more > quota:
            raise QuotaExceeded(f"The user's images would exceed the quota of {exact(quota)}: delete images first.")

    async def states(self) -> dict[str, str]:
        """Return "ok" or "unavailable" for each backend, within 5 seconds.

        A storage that belongs to another database is also unavailable; `pairing.told` then has the reason.
        """
        failures = await self.failures()
        return {name: "unavailable" if name in failures else "ok" for name in ("database", "storage")}

    async def failures(self) -> dict[str, BaseException]:
        """Return the failures of "database" and "storage" by name, within 5 seconds. Omit those available."""
        checks = (self.records.check(), self.objects.check(), self.pairing.check(fresh=True))
        timed = (asyncio.wait_for(check, _CHECK_SECONDS) for check in checks)
        database, storage, pairing = await asyncio.gather(*timed, return_exceptions=True)
        # The pairing calls both backends. If one does not answer, that backend's own check reports it.
        failed = {"database": database, "storage": storage or (isinstance(pairing, DepotMismatch) and pairing)}
        return {name: failure for name, failure in failed.items() if isinstance(failure, BaseException)}

    async def everything(self) -> AsyncIterator[Sequence[Image]]:
        """Yield all published images in pages, newest first."""
        after: Position | None = None
        while True:
            page = await self.records.find(ImageQuery(), after, _BATCH)
            yield page.images
            if page.next is None:
                return
            after = page.next

    async def whole(self, key: str) -> bytes:
        """Return an object's bytes, at most one more than the size limit. Raises ObjectMissing."""
        return await self.objects.read(key, self.settings.max_image_bytes + 1)

    async def erase(self, image_id: str, *, keep: Collection[str] = (), before: datetime | None = None) -> bool:
        """Delete all objects of an image or upload, except the keys in `keep`. Safe to retry.

        With `before`, delete only sealed objects older than that, and the client's uploaded bytes of any age.
        Return whether nothing but `keep` is left.
        """
        found = [each async for each in self.objects.list(f"images/{image_id}/") if each.key not in keep]
        old = [each.key for each in found if before is None or each.modified_at < before]
        await self.objects.delete(self.upload_key(image_id), *old)
        return len(old) == len(found)

    async def erase_beside(self, sealed_key: str) -> None:
        """Delete all objects of one attempt to publish: those under a sealed key and beside it. Safe to retry."""
        beside = self.objects.list(sealed_key.removesuffix(ORIGINAL))
        await self.objects.delete(*[each.key async for each in beside])

    def puts(self, image: Image, made: Inspected, *, original: bool) -> list[Awaitable[None]]:
        """Return the writes of an image's variants, preceded by the write of its original if `original` is true."""
        content, put = image.content, self.objects.put
        first = []
        if original:
            note = self.note(image)
            first = [put(image.object_key, made.data, content.content_type, content.sha256, note=note)]
        variants = ((each, made.variants[each.name].data) for each in image.variants)
        return [*first, *(put(each.object_key, data, each.content_type) for each, data in variants)]


def sealed(upload: Upload, made: Inspected, key: str) -> Image:
    """Return the image that an upload becomes. Its original has this key, and its variants have keys beside it."""
    variants = variants_beside(key, made)
    return Image(upload.image_id, upload.details, made.content, key, upload.created_at, upload.created_at, variants)


def variants_beside(key: str, made: Inspected) -> tuple[Variant, ...]:
    """Return the variants of an inspected image, with keys beside this one."""
    place = key.removesuffix(ORIGINAL)
    return tuple(
        Variant(name, f"{place}{name}", each.content_type, each.width, each.height)
        for name, each in made.variants.items()
    )


async def batched(objects: AsyncIterator[StoredObject], size: int) -> AsyncIterator[list[StoredObject]]:
    """Yield the objects in batches of `size`. The last batch can be smaller or empty."""
    batch: list[StoredObject] = []
    async for each in objects:
        batch.append(each)
        if len(batch) == size:
            yield batch
            batch = []
    yield batch


async def together(*writes: Awaitable[None]) -> None:
    """Run all writes concurrently, wait until all have ended, and then raise the first error.

    So no write arrives after its cleanup.
    """
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
