"""The two protocols that every backend implements: `ObjectStore` and `ImageRepository`.

All methods raise Unavailable if the backend does not answer. "Safe to retry" means that a second call with the same
arguments has no further effect.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from . import model
from .model import (
    Adopt,
    ByteStream,
    Claim,
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
)


class ObjectStore(Protocol):
    """Object storage: bytes by key. Clients can write only below `uploads/`, and read only below `images/`.

    `origin` is the scheme, host and port of the storage's links. It is empty if the service itself serves them.
    """

    origin: str

    async def put(
        self, key: str, data: bytes, content_type: str, sha256: str | None = None, *, note: bytes = b""
    ) -> None:
        """Store an object durably. Overwrite an existing object. Safe to retry.

        Pass `sha256` (hexadecimal) if you know it, so that the store does not compute it again. The store keeps the
        `note` with the object.
        """

    async def copy(self, source: str, target: str, content_type: str, *, note: bytes = b"") -> None:
        """Copy an object durably, and store this note with the copy.

        The copy is one version of the source, even if a client overwrites the source meanwhile. Raises
        ObjectMissing.
        """

    async def note(self, key: str) -> bytes:
        """Return the note of an object, or empty bytes without one. Raises ObjectMissing.

        A note has at most `notes.MOST` bytes.
        """

    async def annotate(self, key: str, content_type: str, note: bytes) -> None:
        """Replace the note of an object. Raises ObjectMissing. Safe to retry."""

    async def open(self, key: str, start: int = 0, stop: int | None = None) -> ByteStream:
        """Open an object, and return its bytes from `start` (inclusive) to `stop` (exclusive) in chunks.

        Raises ObjectMissing before the first chunk.
        """

    async def read(self, key: str, most: int) -> bytes:
        """Return the first bytes of an object, at most `most`. Raises ObjectMissing."""

    async def delete(self, *keys: str) -> None:
        """Delete objects durably. Ignore keys that do not exist. Safe to retry."""

    async def move(self, source: str, target: str) -> None:
        """Rename an object durably, with its note and metadata. Raises ObjectMissing. Safe to retry.

        An interrupted move leaves the object under the source key or under both keys.
        """

    def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """List the objects whose key begins with `prefix`, in any order.

        Omit hidden objects: those where a part of the key after the prefix begins with a dot.
        """

    async def presign_upload(
        self, key: str, expected: Expected, max_bytes: int, signed_at: datetime, expires_at: datetime
    ) -> SignedUpload:
        """Sign a link that uploads the expected bytes to this key, once.

        The same arguments return the same link while the credentials that sign it stay the same.
        """

    async def presign_downloads(self, signed_at: datetime, expires_at: datetime) -> Downloads:
        """Return a signer of download links. The same times give the same links while the credentials last."""

    async def check_room(self, size: int) -> None:
        """Raise InsufficientStorage unless `size` more bytes fit. Call it before uploads and edits."""

    async def tidy(self, age: timedelta) -> None:
        """Delete the remains of unfinished writes that are older than `age` by the store's clock. Safe to retry."""

    async def check(self) -> None:
        """Raise Unavailable unless the store is ready."""


class ImageRepository(Protocol):
    """The records of images, and the transitions between their states (see `model.State`).

    Each transition is atomic, durable when it returns, and conditional on the state it starts from.
    """

    async def secret(self) -> bytes:
        """Return the repository's secret: 32 random bytes, created on first use and never changed.

        All processes that share the repository get the same secret. Only the first call may be slow, because lists
        call this often.
        """

    async def identity(self) -> str | None:
        """Return the ID of the depot that the repository belongs to, or None if it has none yet."""

    async def identify(self, identity: str, *, replacing: str | None = None) -> str:
        """Store the depot's ID unless the repository has an ID other than `replacing`, and return the stored ID.

        Safe to retry.
        """

    async def claim(self, claim: Claim) -> Claim:
        """Store a claim unless the user's key already has one that has not expired, and return the stored claim.

        Safe to retry: a second call returns the same claim.
        """

    async def begin(self, upload: Upload) -> None:
        """Store a new PENDING upload. Do nothing if a record with its ID exists in any state. Safe to retry.

        Also do nothing if an image with this ID was deleted.
        """

    async def prepare(self, upload: Upload) -> None:
        """Store the list entries that can be stored before the upload is published. Safe to retry."""

    async def upload(self, image_id: str) -> Upload | None:
        """Return the upload with this ID in any state, or None."""

    async def image(self, image_id: str) -> Image | None:
        """Return the READY image with this ID, or None."""

    async def extend(self, image_id: str, expires_at: datetime) -> Upload | None:
        """Extend a PENDING upload to `expires_at`, unless it expires later. Return None if it is not PENDING.

        Links that were already signed keep their expiry time. Safe to retry.
        """

    async def publish(self, image: Image, *, settled: bool) -> Image | None:
        """Publish: make a PENDING upload READY, and return the READY image. Safe to retry.

        If another request published the upload first, return its image. Return None if the upload is neither
        PENDING nor READY. The record keeps its deadline, so that sweep checks it, unless it is `settled`: no client
        has a link that could upload more bytes.
        """

    async def fail(self, image_id: str, failure: model.Failure) -> bool:
        """Make a PENDING upload FAILED. Return False if it is not PENDING."""

    async def edit(self, image: Image, *, seen: Image) -> bool:
        """Store the edited details of a READY image. Return False if it has changed since `seen`."""

    async def exchange_variants(self, image: Image, *, seen: Image, deadline: datetime) -> bool:
        """Replace the variants and the placeholder of a READY image. Return False if they changed since `seen`.

        The image becomes due at `deadline`, or at its own later one, when sweep deletes the previous variants.
        """

    async def schedule_sweep(self, image_id: str, deadline: datetime) -> bool:
        """Make a READY image due at `deadline`, or at its own later one. Return False if it is not READY.

        Call it before you write objects beside the image, so that sweep finds them. Safe to retry.
        """

    async def retire(
        self, image_id: str, states: Collection[State], deadline: datetime, *, due: datetime | None = None
    ) -> bool:
        """Make an image or upload DELETED if it is in one of `states`; otherwise return False.

        Sweep removes it at `deadline`, or at its own later one. With `due`, do it only if its deadline has passed
        by then.
        """

    async def find(self, query: ImageQuery, after: Position | None, limit: int) -> Page:
        """Return a page of at most `limit` READY images that match, newest first, after a position.

        The page is shorter, with a `next`, if more rows than the repository's read budget would be needed.
        """

    async def usage(self, user_id: str) -> int:
        """Return the total size of a user's READY images in bytes.

        It can be inaccurate after a process was killed, until `mend_lists` repairs it.
        """

    async def mend_lists(self, newer_than: datetime, *, dry_run: bool) -> Mended:
        """Repair the list entries and the usage counts: compare them with all images. Safe to retry.

        Ignore entries written after `newer_than`, because they can belong to a request in progress. With `dry_run`,
        count and change nothing. It reads the whole repository.
        """

    def reindex(self, adopt: Adopt) -> AsyncIterator[Reindexed]:
        """Write the list entries of every image, import images of the original service, and yield progress.

        Safe to retry: an interrupted reindex continues. It reads the whole repository.
        """

    async def due(self, now: datetime, limit: int) -> Sequence[Upload]:
        """Return at most `limit` uploads, in any state, whose deadline has passed."""

    async def settle(self, image_id: str, now: datetime) -> None:
        """Clear the deadline of a READY image if it has passed, after sweep removed its remains. Safe to retry."""

    async def forget(self, image_id: str, now: datetime) -> bool:
        """Purge a DELETED record whose deadline has passed. Return False if there is none.

        Only the ID of a published image stays: see `is_deleted`.
        """

    async def is_deleted(self, image_id: str) -> bool:
        """Return whether an image with this ID was published and then deleted, at any time in the past."""

    async def check(self) -> None:
        """Raise Unavailable unless the repository is ready."""

    async def examine(self) -> None:
        """Check all stored data for damage. Raises Unavailable if any is damaged. It can take minutes."""
