"""What all operations share: the ports, the limits, the clock; how keys and ids are made."""

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

UPLOADS = "uploads/"  # what the keys begin with that clients write to
ORIGINAL = "original"  # the last part of an original's key; a variant's is its name

_BATCH = 100  # images looked at together, where all are
_CHECK_SECONDS = 5
A_REQUEST = timedelta(minutes=1)  # none takes longer
_TOO_LATE = A_REQUEST  # before its deadline an upload is left to sweep


@dataclass(frozen=True, slots=True)
class Claimed:
    """The upload that an idempotency key stands for, as it was first asked for.

    `state` is that of its record, None where it has none yet. `first` is whether this request made the claim,
    `ours` whether this process did.
    """

    upload: Upload
    state: State | None
    first: bool
    ours: bool


@dataclass(frozen=True, slots=True)
class Depot:
    """What all operations share: the ports, the limits, the clock, the counts, and how keys and ids are made."""

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
        """Begin to watch the clock, and make what is of this depot alone."""
        object.__setattr__(self, "times", SteadyClock(self.clock))
        object.__setattr__(self, "pairing", Pairing(self.objects, self.records))

    def new_upload(self, details: Details, expected: Expected) -> Upload:
        """Return a fresh upload. Its id is a UUID of version 7 (RFC 9562) and sorts by time."""
        created = self.times.likely()
        milliseconds = (created - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        image_id = str(uuid_utils.uuid7(nanoseconds=milliseconds * 1_000_000))
        return Upload(image_id, details, expected, created, self.expiry())

    async def claimed(self, operation: str, key: str, upload: Upload) -> Claimed:
        """Return what a user's idempotency key stands for: this new upload, or what an equal request began before.

        Nothing is written before that is decided, and whoever has the key then works on the very same upload, one
        after the other or at once: only one can publish it. So nothing has to be released when a request fails, or
        the process dies: the next one goes on.

        Raises IdempotencyMismatch, and ImageGone when it was deleted, cancelled, or left unfinished for too long.
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
        # Until its deadline a record outlives everything, so without one before that there never was any.
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
        """Return whether it is too late to go on with an upload: sweep may come to it before that is done."""
        return self.times.latest() >= upload.deadline - _TOO_LATE

    def expiry(self) -> datetime:
        """Return when a link that is signed now dies: at a full second, since S3 counts no finer."""
        ends = self.times.latest() + timedelta(seconds=self.settings.upload_ttl)
        return ends.replace(microsecond=0) + timedelta(seconds=ends.microsecond > 0)

    def earliest_purge(self) -> datetime:
        """Return until when a tombstone that is made now stays at least: every retry of its request is over then.

        A retry that found none would take the image for one that was never there.
        """
        return self.times.latest() + 2 * A_REQUEST

    def upload_key(self, image_id: str) -> str:
        """Return the key that the client's link writes to. It is never served."""
        return f"{UPLOADS}{image_id}"

    def sealed_key(self, image_id: str) -> str:
        """Return a new key that nobody outside can write to, for one attempt at publishing."""
        return f"images/{image_id}/{secrets.token_hex(8)}/{ORIGINAL}"

    def note(self, image: Image | Original | Upload) -> bytes:
        """Return the note that is kept with an image's original, or with what will be one."""
        said = Note(image.image_id, image.details, image.created_at, image.created_at)
        if isinstance(image, Image):
            said = replace(said, updated_at=image.updated_at, sha256=image.content.sha256)
        return encoded(said)

    async def check_quota(self, user_id: str, more: int) -> None:
        """Raise QuotaExceeded when so many bytes more are more than a user may have.

        Requests at once may each find room that there is but once: the quota is passed by them at most.
        """
        quota = self.settings.user_quota_bytes
        if quota and await self.records.usage(user_id) + more > quota:
            raise QuotaExceeded(f"The user's images would exceed the quota of {exact(quota)}: delete images first.")

    async def states(self) -> dict[str, str]:
        """Return "ok" or "unavailable" for each backend, within 5 seconds.

        A storage that belongs to another database is unavailable, too; `pairing` tells of it then.
        """
        failures = await self.failures()
        return {name: "unavailable" if name in failures else "ok" for name in ("database", "storage")}

    async def failures(self) -> dict[str, BaseException]:
        """Return why "database" and "storage" are unavailable, of those that are, within 5 seconds."""
        checks = (self.records.check(), self.objects.check(), self.pairing.check(fresh=True))
        timed = (asyncio.wait_for(check, _CHECK_SECONDS) for check in checks)
        database, storage, pairing = await asyncio.gather(*timed, return_exceptions=True)
        # The pairing asks both: of a backend that does not answer it, that backend's own check tells.
        failed = {"database": database, "storage": storage or (isinstance(pairing, DepotMismatch) and pairing)}
        return {name: failure for name, failure in failed.items() if isinstance(failure, BaseException)}

    async def everything(self) -> AsyncIterator[Sequence[Image]]:
        """Yield all published images, newest first, so many at a time."""
        after: Position | None = None
        while True:
            page = await self.records.find(ImageQuery(), after, _BATCH)
            yield page.images
            if page.next is None:
                return
            after = page.next

    async def whole(self, key: str) -> bytes:
        """Return an object's bytes; of one that is larger than a picture may be, enough to tell.

        Raises ObjectMissing.
        """
        return await self.objects.read(key, self.settings.max_image_bytes + 1)

    async def erase(self, image_id: str, *, keep: Collection[str] = (), before: datetime | None = None) -> bool:
        """Remove every object of an image or upload, but for those with the keys `keep`. Repeatable.

        With `before` only those that were there by then, and what its link has taken whenever that was. Returns
        whether nothing but `keep` is left.
        """
        found = [each async for each in self.objects.list(f"images/{image_id}/") if each.key not in keep]
        old = [each.key for each in found if before is None or each.modified_at < before]
        await self.objects.delete(self.upload_key(image_id), *old)
        return len(old) == len(found)

    async def erase_beside(self, sealed_key: str) -> None:
        """Remove what is under a sealed key and beside it: all that one attempt at publishing wrote. Repeatable."""
        beside = self.objects.list(sealed_key.removesuffix(ORIGINAL))
        await self.objects.delete(*[each.key async for each in beside])

    def puts(self, image: Image, made: Inspected, *, original: bool) -> list[Awaitable[None]]:
        """Return the writes of an image's objects: its variants, and before them the `original` if asked for."""
        content, put = image.content, self.objects.put
        first = []
        if original:
            note = self.note(image)
            first = [put(image.object_key, made.data, content.content_type, content.sha256, note=note)]
        variants = ((each, made.variants[each.name].data) for each in image.variants)
        return [*first, *(put(each.object_key, data, each.content_type) for each, data in variants)]


def sealed(upload: Upload, made: Inspected, key: str) -> Image:
    """Return the image that an upload becomes, with its original under this key and its variants beside that."""
    variants = variants_beside(key, made)
    return Image(upload.image_id, upload.details, made.content, key, upload.created_at, upload.created_at, variants)


def variants_beside(key: str, made: Inspected) -> tuple[Variant, ...]:
    """Return what is known of variants, each under a key beside this one."""
    place = key.removesuffix(ORIGINAL)
    return tuple(
        Variant(name, f"{place}{name}", each.content_type, each.width, each.height)
        for name, each in made.variants.items()
    )


async def batched(objects: AsyncIterator[StoredObject], size: int) -> AsyncIterator[list[StoredObject]]:
    """Yield the objects, so many at a time."""
    batch: list[StoredObject] = []
    async for each in objects:
        batch.append(each)
        if len(batch) == size:
            yield batch
            batch = []
    yield batch


async def together(*writes: Awaitable[None]) -> None:
    """Do all of it at once, and raise what the first that failed raised, when all have ended.

    So no write arrives after its undoing.
    """
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
