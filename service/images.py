"""Published images: putting them there, finding them, giving them out, changing and deleting them.

The two ports that every backend implements stand here, beside their consumers.
"""

import asyncio
import hashlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol
from weakref import WeakValueDictionary

import uuid_utils

from . import media, model
from .errors import Forbidden, IdempotencyMismatch, ImageGone, InFlight, NotFound, PreconditionFailed, QuotaExceeded
from .http import content_disposition
from .inspection import Inspected, Inspector
from .metrics import Metrics
from .model import (
    Adopt,
    ByteStream,
    Claim,
    Content,
    Details,
    Downloads,
    Expected,
    Image,
    ImageQuery,
    Mended,
    Page,
    Position,
    Reindexed,
    SignedUpload,
    State,
    StoredObject,
    Upload,
    Variant,
    Visibility,
)
from .settings import Settings
from .tracing import Tracer

logger = logging.getLogger(__name__)

ORIGINAL = "original"  # the last part of an original's key; a variant's is its name

_BATCH = 100  # images looked at together, where all are
_CHECK_SECONDS = 5
A_REQUEST = timedelta(minutes=1)  # none takes longer
_TOO_LATE = A_REQUEST  # before its deadline an upload is left to sweep
_UNDER_WAY = timedelta(seconds=2)  # for so long another process's request is taken to be at work; then it is joined
_TIDY_SECONDS = 2  # for tidying up at the end of a request, when the client waits for its answer


class ObjectStore(Protocol):
    """Bytes under keys. Clients can write below `uploads/` only, and read below `images/` only.

    `origin` is where its links lead (scheme, host and port); empty where that is the service itself.
    """

    origin: str

    async def put(self, key: str, data: bytes, content_type: str, sha256: str | None = None) -> None:
        """Store the bytes durably, replacing what was there. Repeatable.

        Whoever knows their digest (hexadecimal) says it, so that nobody has to find it out again.
        """

    async def copy(self, source: str, target: str, content_type: str) -> None:
        """Store the source's bytes under the target, durably, as one version. Raises ObjectMissing."""

    async def open(self, key: str, start: int = 0, stop: int | None = None) -> ByteStream:
        """Return the bytes from `start` up to `stop`, in chunks. Raises ObjectMissing before the first."""

    async def read(self, key: str, most: int) -> bytes:
        """Return the first bytes, `most` of them if there are as many. Raises ObjectMissing."""

    async def delete(self, *keys: str) -> None:
        """Remove the objects, durably; keys with nothing under them count as removed. Repeatable."""

    def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Yield the objects whose key begins with `prefix`, in no promised order."""

    async def presign_upload(
        self, key: str, expected: Expected, max_bytes: int, signed_at: datetime, expires_at: datetime
    ) -> SignedUpload:
        """Return a link that takes exactly what is expected, under this key, once.

        Equal arguments give an equal link, as long as the credentials that sign it are the same.
        """

    async def presign_downloads(self, signed_at: datetime, expires_at: datetime) -> Downloads:
        """Return what makes links to any objects; equal times give equal links, as long as the credentials last."""

    async def check(self) -> None:
        """Raise Unavailable unless the store can do its work."""


class ImageRepository(Protocol):
    """What is known of each image, and the transitions of its life (see `model.State`).

    Every transition is atomic, durable when it returns, and names the state it starts from.
    """

    async def secret(self) -> bytes:
        """Return 32 random bytes, made on first use and the same ever after for all who share the repository.

        Asked for by every list: only the first call may take time.
        """

    async def claim(self, claim: Claim) -> Claim:
        """Store a claim, unless its user's key has one that lives when this one begins; return the one that counts.

        Repeatable: the second time it returns the same.
        """

    async def begin(self, upload: Upload) -> None:
        """Store a new PENDING upload, unless there is a record with its id, in any state. Repeatable."""

    async def prepare(self, upload: Upload) -> None:
        """Store what lists will need of it, as far as it can be stored before it is published. Repeatable."""

    async def upload(self, image_id: str) -> Upload | None:
        """Return the upload with this id, whatever its state."""

    async def image(self, image_id: str) -> Image | None:
        """Return the READY image with this id."""

    async def extend(self, image_id: str, expires_at: datetime) -> Upload | None:
        """Move the end of a PENDING upload; None when it is not PENDING."""

    async def publish(self, image: Image, *, settled: bool) -> Image | None:
        """Make a PENDING upload READY, and return the image that is READY then: another's, if it came first.

        It stays due at its deadline, unless it is `settled`: nobody has a link to upload it by. None when there is
        nothing PENDING or READY. Repeatable: the second time it returns the same image.
        """

    async def fail(self, image_id: str, failure: model.Failure) -> bool:
        """Make a PENDING upload FAILED. False when it is not PENDING."""

    async def edit(self, image: Image, *, seen: Image) -> bool:
        """Store new details of a READY image. False when it is no longer as `seen`."""

    async def exchange_variants(self, image: Image, *, seen: Image, deadline: datetime) -> bool:
        """Give a READY image other variants and their placeholder. False when its variants are no longer as `seen`.

        It is due at `deadline`, or at its own if that is later: what it had before is swept then.
        """

    async def retire(
        self, image_id: str, states: Collection[State], deadline: datetime, *, due: datetime | None = None
    ) -> bool:
        """Make an image or upload in one of `states` DELETED; False when it is in none.

        It is swept at `deadline`, or at its own if that is later.
        With `due`, only when its deadline has come by then.
        """

    async def find(self, query: ImageQuery, after: Position | None, limit: int) -> Page:
        """Return up to `limit` READY images that match, newest first, from just after a position.

        A short page with a next when it would read more than the repository's budget of rows.
        """

    async def usage(self, user_id: str) -> int:
        """Return how many bytes a user's READY images take.

        It may be off by what was under way when a process died, until `mend_lists`.
        """

    async def mend_lists(self, young: datetime, *, dry_run: bool) -> Mended:
        """Compare lists with images, both ways, and make them agree. Repeatable; it walks everything.

        The same for counts of usage, where the repository keeps any.
        What was written since `young` is left alone: it may belong to something under way.
        """

    def reindex(self, adopt: Adopt) -> AsyncIterator[Reindexed]:
        """Write what lists need of every image, taking over what another service left, and yield the counts so far.

        Repeatable, and when cut off it goes on where it was. It walks everything.
        """

    async def due(self, now: datetime, limit: int) -> Sequence[Upload]:
        """Return up to `limit` uploads, in any state, whose deadline has come."""

    async def settle(self, image_id: str, now: datetime) -> None:
        """Take its deadline, if that has come, from a READY image: nothing is left to sweep. Repeatable."""

    async def forget(self, image_id: str, now: datetime) -> bool:
        """Remove a DELETED record whose deadline has come. False when there is none."""

    async def check(self) -> None:
        """Raise Unavailable unless the repository can do its work."""


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

    def new_upload(self, details: Details, expected: Expected) -> Upload:
        """Return a fresh upload. Its id is a UUID of version 7 (RFC 9562) and sorts by time."""
        created = self.clock()
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
        if counts.fingerprint != claim.fingerprint:
            raise IdempotencyMismatch("Use a new key for another request.")
        created_at, expires_at = counts.created_at, counts.upload_expires_at
        upload = replace(upload, image_id=counts.image_id, created_at=created_at, expires_at=expires_at)
        found = await self.records.upload(upload.image_id)
        # Until its deadline a record outlives everything, so without one before that there never was any.
        swept = found is None and self.clock() >= upload.deadline - _TOO_LATE
        if swept or (found and found.state is State.DELETED):
            raise ImageGone("It was deleted, or never finished: use a new key to upload it again.")
        state, ours = found.state if found else None, counts.process == self.process
        return Claimed(upload, state, first=False, ours=ours)

    def _claim(self, operation: str, key: str, upload: Upload) -> Claim:
        asked = json.dumps([operation, asdict(upload.details), asdict(upload.expected)])
        fingerprint = hashlib.sha256(asked.encode()).hexdigest()
        decided = upload.image_id, upload.created_at, upload.expires_at
        return Claim(upload.details.user_id, key, fingerprint, self.process, *decided)

    def expiry(self) -> datetime:
        """Return when a link that is signed now dies: at a full second, since S3 counts no finer."""
        ends = self.clock() + timedelta(seconds=self.settings.upload_ttl)
        return ends.replace(microsecond=0) + timedelta(seconds=ends.microsecond > 0)

    def upload_key(self, image_id: str) -> str:
        """Return the key that the client's link writes to. It is never served."""
        return f"uploads/{image_id}"

    def sealed_key(self, image_id: str) -> str:
        """Return a new key that nobody outside can write to, for one attempt at publishing."""
        return f"images/{image_id}/{secrets.token_hex(8)}/{ORIGINAL}"

    async def check_quota(self, user_id: str, more: int) -> None:
        """Raise QuotaExceeded when so many bytes more are more than a user may have.

        Requests at once may each find room that there is but once: the quota is passed by them at most.
        """
        quota = self.settings.user_quota_bytes
        if quota and await self.records.usage(user_id) + more > quota:
            raise QuotaExceeded(f"A user's images may take {quota:,} bytes: delete some first.")

    async def states(self) -> dict[str, str]:
        """Return "ok" or "unavailable" for each backend, within 5 seconds."""
        checks = {"database": self.records.check(), "storage": self.objects.check()}
        timed = (asyncio.wait_for(check, _CHECK_SECONDS) for check in checks.values())
        outcomes = await asyncio.gather(*timed, return_exceptions=True)
        return {name: "unavailable" if error else "ok" for name, error in zip(checks, outcomes, strict=True)}

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

    async def erase(self, image_id: str, *, keep: Collection[str] = (), before: datetime | None = None) -> None:
        """Remove every object of an image or upload, but for those with the keys `keep`. Repeatable.

        With `before` only those that were there by then, and what its link has taken whenever that was.
        """
        found = [each async for each in self.objects.list(f"images/{image_id}/")]
        old = (each.key for each in found if before is None or each.modified_at < before)
        await self.objects.delete(self.upload_key(image_id), *(key for key in old if key not in keep))

    def puts(self, image: Image, made: Inspected, *, original: bool) -> list[Awaitable[None]]:
        """Return the writes of an image's objects: its variants, and before them the `original` if asked for."""
        content, put = image.content, self.objects.put
        first = [put(image.object_key, made.data, content.content_type, content.sha256)] if original else []
        variants = ((each, made.variants[each.name].data) for each in image.variants)
        return [*first, *(put(each.object_key, data, each.content_type) for each, data in variants)]


class ImageService:
    """The operations on images. Everything raises Unavailable when a backend does not answer."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot
        self._objects, self._records = depot.objects, depot.records
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def upload(
        self,
        details: Details,
        data: bytes,
        declared_type: str | None = None,
        *,
        strip_location: bool = False,
        idempotency_key: str | None = None,
    ) -> Image:
        """Verify, store and publish a picture whose bytes are here, and return it once it is durable.

        With a key it is repeatable for 24 hours, and returns the image as it was first published.
        Raises what `Inspector.inspected` raises, and QuotaExceeded; nothing is stored then. With a key also what
        `Depot.claimed` raises, and InFlight.
        """
        declared = (declared_type, media.declared_type(details.filename))
        made = await self._depot.inspector.inspected(data, *declared, strip_location=strip_location)
        if idempotency_key is not None:
            return await self._upload_once(idempotency_key, details, made)
        await self._depot.check_quota(details.user_id, made.content.file_size)
        upload = self._new_upload(details, made.content)
        image = sealed(upload, made, self._depot.sealed_key(upload.image_id))
        try:
            await self._write(upload, image, made)
        except Exception:
            await discard(self._depot, upload)
            raise
        published = await self._records.publish(image, settled=True)
        if published is None:
            raise NotFound("The image was deleted while it was being published.")
        return published

    async def _upload_once(self, key: str, details: Details, made: Inspected) -> Image:
        # In one process equal requests take turns: they get the first one's answer in place of a conflict, and who
        # finds a claim of this process unfinished knows that it failed.
        async with self._turns.setdefault((details.user_id, key), asyncio.Lock()):
            claimed = await self._depot.claimed("upload_image", key, self._new_upload(details, made.content))
            if claimed.state is State.READY:
                image = await self._records.image(claimed.upload.image_id)
            elif not claimed.ours and self._depot.clock() < claimed.upload.created_at + _UNDER_WAY:
                raise InFlight("It will be over in a moment.")
            else:
                image = await self._publish_once(claimed, made)
        if image is None:
            raise ImageGone("It was deleted: use a new key to upload it again.")
        # It may have been edited since.
        return replace(image, details=details, updated_at=image.created_at)

    async def _publish_once(self, claimed: Claimed, made: Inspected) -> Image | None:
        """Publish what a key stands for, or return the image that another request published; None if it is gone.

        What fails here leaves the upload pending, for the next request with the key, or for sweep.
        """
        upload = claimed.upload
        await self._depot.check_quota(upload.details.user_id, made.content.file_size)
        image = sealed(upload, made, self._depot.sealed_key(upload.image_id))
        try:
            await self._write(upload, image, made, begun=claimed.state is not None)
        except Exception:
            await delete_or_leave(self._depot, *image.object_keys)
            raise
        # Only the first can know that nobody else's object is left.
        published = await self._records.publish(image, settled=claimed.first)
        if published is None or published.object_key != image.object_key:
            await delete_or_leave(self._depot, *image.object_keys)
        return published

    def _new_upload(self, details: Details, content: Content) -> Upload:
        expected = Expected("PUT", content.content_type, content.file_size, content.sha256)
        return self._depot.new_upload(details, expected)

    async def _write(self, upload: Upload, image: Image, made: Inspected, *, begun: bool = False) -> None:
        """Write what comes before publishing: the objects, the record unless it was `begun`, what lists need."""
        # At the same time, for the client waits: should this process die in between, reconcile finds the objects.
        # The original goes first, being the longest.
        writes = self._depot.puts(image, made, original=True)
        if not begun:
            writes.append(self._records.begin(upload))
        writes.append(self._records.prepare(upload))
        await together(*writes)

    async def image(self, image_id: str, viewer: str | None) -> Image:
        """Return a published image that this user sees (None sees everything). Raises NotFound."""
        image = await self._records.image(image_id)
        if image is None or not image.details.visible_to(viewer):
            raise NotFound("There is no image with this id.")
        return image

    async def find(self, query: ImageQuery, after: Position | None, limit: int) -> Page:
        """Return a page of published images, newest first; see `ImageRepository.find` for when it is full."""
        return await self._records.find(query, after, limit)

    async def read(self, image: Image, start: int = 0, stop: int | None = None) -> ByteStream:
        """Return the picture's bytes from `start` up to `stop`, in chunks. Raises ObjectMissing."""
        return await self._objects.open(image.object_key, start, stop)

    async def links(self) -> "Links":
        """Return what links to pictures, as of now.

        A link is the same for a whole window of `url_ttl` seconds, and works for at least another window after
        that, so that browsers and CDNs can cache by URL.
        """
        window = self._depot.settings.url_ttl
        opened = int(self._depot.clock().timestamp()) // window * window
        signed_at = datetime.fromtimestamp(opened, UTC)
        return Links(await self._objects.presign_downloads(signed_at, signed_at + timedelta(seconds=2 * window)))

    async def edit(
        self,
        image_id: str,
        caller: str,
        *,
        viewer: str | None,
        unless_changed: Callable[[Image], bool] = lambda _: True,
        title: str | None = None,
        description: str | None = None,
        tags: tuple[str, ...] | None = None,
        visibility: Visibility | None = None,
    ) -> Image:
        """Change what is said about an image; None leaves a detail as it is. Repeatable.

        Raises NotFound (also for what the `viewer` does not see) and Forbidden, and PreconditionFailed where
        `unless_changed` does not hold of the image as it is. Two edits at once both take effect, one after the
        other.
        """
        while True:
            seen = await self.image(image_id, viewer)
            _check_owner(seen.details, caller)
            if not unless_changed(seen):
                raise PreconditionFailed("It has been changed since: look at it again.")
            # Strictly later than before, so that every state of the details has a time of its own.
            updated_at = max(self._depot.clock(), seen.updated_at + timedelta(milliseconds=1))
            details = replace(
                seen.details,
                title=seen.details.title if title is None else title,
                description=seen.details.description if description is None else description,
                tags=seen.details.tags if tags is None else tags,
                visibility=seen.details.visibility if visibility is None else visibility,
            )
            edited = replace(seen, details=details, updated_at=updated_at)
            if await self._records.edit(edited, seen=seen):
                return edited

    async def delete(self, image_id: str, caller: str, *, viewer: str | None) -> None:
        """Delete an image for good. Acknowledged means gone: what is left of it is swept.

        Raises NotFound (also the second time, and for what the `viewer` does not see) and Forbidden.
        """
        upload = await self._records.upload(image_id)
        if upload is None or upload.state is not State.READY or not upload.details.visible_to(viewer):
            raise NotFound("There is no image with this id.")
        _check_owner(upload.details, caller)
        # As long as a request with the same idempotency key would go on with an upload that has no record.
        deadline = max(self._depot.clock(), upload.deadline)
        if not await self._records.retire(image_id, {State.READY}, deadline):
            raise NotFound("There is no image with this id.")
        await erase_or_leave(self._depot, image_id)


@dataclass(frozen=True, slots=True)
class Links:
    """Links to pictures, of one moment."""

    downloads: Downloads

    @property
    def expires_at(self) -> datetime:
        """Return when they stop working."""
        return self.downloads.expires_at

    def original(self, image: Image) -> str:
        """Return a link to the picture as it was uploaded."""
        disposition = content_disposition("inline", image.details.filename)
        return self.downloads.url(image.object_key, image.content.content_type, disposition)

    def variant(self, variant: Variant) -> str:
        """Return a link to a variant."""
        return self.downloads.url(variant.object_key, variant.content_type, "inline")


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


def _check_owner(details: Details, caller: str) -> None:
    if details.user_id != caller:
        raise Forbidden("Only the owner of an image may change or delete it.")


async def together(*writes: Awaitable[None]) -> None:
    """Do all of it at once, and raise what the first that failed raised, when all have ended.

    So no write arrives after its undoing.
    """
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def discard(depot: Depot, upload: Upload) -> None:
    """Undo an upload that came to nothing, as far as possible now; sweep does the rest."""
    async with _or_left_for_sweep():
        await depot.records.retire(upload.image_id, {State.PENDING}, depot.clock())
        await depot.erase(upload.image_id)


async def erase_or_leave(depot: Depot, image_id: str) -> None:
    """Remove all of an image's objects now, or leave them to sweep."""
    async with _or_left_for_sweep():
        await depot.erase(image_id)


async def delete_or_leave(depot: Depot, *keys: str) -> None:
    """Remove these objects now, or leave them to sweep."""
    async with _or_left_for_sweep():
        await depot.objects.delete(*keys)


@asynccontextmanager
async def _or_left_for_sweep() -> AsyncIterator[None]:
    """Give the block a short time, and let it fail: what the client asked for is decided, the deadline stands."""
    try:
        async with asyncio.timeout(_TIDY_SECONDS):
            yield
    except Exception as error:
        logger.warning("something is left for sweep: %s", type(error).__name__, exc_info=error)
