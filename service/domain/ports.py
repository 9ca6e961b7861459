"""The two ports that every backend implements, in the words of the domain."""

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
    """Bytes under keys. Clients can write below `uploads/` only, and read below `images/` only.

    `origin` is where its links lead (scheme, host and port); empty where that is the service itself.
    """

    origin: str

    async def put(
        self, key: str, data: bytes, content_type: str, sha256: str | None = None, *, note: bytes = b""
    ) -> None:
        """Store the bytes durably, replacing what was there. Repeatable.

        Whoever knows their digest (hexadecimal) says it, so that nobody has to find it out again. The `note` is
        kept with the object for as long as that is there.
        """

    async def copy(self, source: str, target: str, content_type: str, *, note: bytes = b"") -> None:
        """Store the source's bytes under the target, durably, as one version, with this note.

        Raises ObjectMissing.
        """

    async def note(self, key: str) -> bytes:
        """Return the note that is kept with an object, empty if it has none. Raises ObjectMissing.

        A note has at most `notes.MOST` bytes.
        """

    async def annotate(self, key: str, content_type: str, note: bytes) -> None:
        """Keep another note with an object. Raises ObjectMissing. Repeatable."""

    async def open(self, key: str, start: int = 0, stop: int | None = None) -> ByteStream:
        """Return the bytes from `start` up to `stop`, in chunks. Raises ObjectMissing before the first."""

    async def read(self, key: str, most: int) -> bytes:
        """Return the first bytes, `most` of them if there are as many. Raises ObjectMissing."""

    async def delete(self, *keys: str) -> None:
        """Remove the objects, durably; keys with nothing under them count as removed. Repeatable."""

    async def move(self, source: str, target: str) -> None:
        """Give an object another key, durably, with all that is kept with it. Raises ObjectMissing.

        An interrupted move leaves it under both keys, or under the first. Repeatable.
        """

    def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Yield the objects whose key begins with `prefix`, in no promised order.

        Left out are those that are hidden: a part of the key, after the prefix, begins with a dot.
        """

    async def presign_upload(
        self, key: str, expected: Expected, max_bytes: int, signed_at: datetime, expires_at: datetime
    ) -> SignedUpload:
        """Return a link that takes exactly what is expected, under this key, once.

        Equal arguments give an equal link, as long as the credentials that sign it are the same.
        """

    async def presign_downloads(self, signed_at: datetime, expires_at: datetime) -> Downloads:
        """Return what makes links to any objects; equal times give equal links, as long as the credentials last."""

    async def check_room(self, size: int) -> None:
        """Raise InsufficientStorage where so many bytes more would find no room: before uploads and edits."""

    async def tidy(self, age: timedelta) -> None:
        """Remove what unfinished writes left that last wrote so long ago, by the store's clock. Repeatable."""

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

    async def identity(self) -> str | None:
        """Return the ID of the depot that the repository belongs to; None where it has none yet."""

    async def identify(self, identity: str, *, replacing: str | None = None) -> str:
        """Store the depot's ID, unless it has another than `replacing`; return the one that counts. Repeatable."""

    async def claim(self, claim: Claim) -> Claim:
        """Store a claim, unless its user's key has one that lives when this one begins; return the one that counts.

        Repeatable: the second time it returns the same.
        """

    async def begin(self, upload: Upload) -> None:
        """Store a new PENDING upload, unless there is a record with its id, in any state. Repeatable.

        Nothing is stored, either, for an ID whose image was deleted.
        """

    async def prepare(self, upload: Upload) -> None:
        """Store what lists will need of it, as far as it can be stored before it is published. Repeatable."""

    async def upload(self, image_id: str) -> Upload | None:
        """Return the upload with this id, whatever its state."""

    async def image(self, image_id: str) -> Image | None:
        """Return the READY image with this id."""

    async def extend(self, image_id: str, expires_at: datetime) -> Upload | None:
        """Move the end of a PENDING upload to this time, unless it is later already; None when it is not PENDING.

        Links that were signed before keep the time that they have. Repeatable.
        """

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

    async def schedule_sweep(self, image_id: str, deadline: datetime) -> bool:
        """Make a READY image due at `deadline`, or at its own if that is later. False when it is not READY.

        It comes before anything is written beside the image. Repeatable.
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
        """Remove a DELETED record whose deadline has come. False when there is none.

        The ID of an image that was published stays, and nothing else of it: see `is_deleted`.
        """

    async def is_deleted(self, image_id: str) -> bool:
        """Return whether an image with this ID was published here, and deleted since, however long ago."""

    async def check(self) -> None:
        """Raise Unavailable unless the repository can do its work."""

    async def examine(self) -> None:
        """Look at all that is stored, and raise Unavailable if any of it is damaged. It may take minutes."""
