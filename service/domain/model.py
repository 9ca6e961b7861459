"""The domain model as frozen values. Times are timezone-aware UTC in milliseconds. Sizes are in bytes."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal
from unicodedata import combining, normalize

# A stream of bytes, in chunks of any size.
ByteStream = AsyncIterator[bytes]

# Time after an upload's links expire until sweep removes its remains, because a PUT that began before may still be
# in progress. The service promises 15 minutes.
GRACE = timedelta(minutes=10)

# Time after its link expires until the service itself aborts a PUT that began before, so that no PUT is in progress
# when sweep removes the remains.
LATEST = GRACE - timedelta(minutes=1)

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# Lifetime of an idempotency key.
CLAIM_LIFE = timedelta(hours=24)


class State(StrEnum):
    """The state of an upload or image. Clients see an image only while it is READY."""

    PENDING = "pending"  # the service waits for the bytes, or verifies them
    READY = "ready"  # verified, sealed and published
    FAILED = "failed"  # the bytes were rejected; the record keeps the reason until the upload's links expire
    DELETED = "deleted"  # a tombstone: it stays until all upload links have expired, so that sweep finds a late PUT


# private: only the owner sees an image; public: everyone does.
Visibility = Literal["private", "public"]


@dataclass(frozen=True, slots=True)
class Details:
    """The metadata that the client sends with an image."""

    user_id: str
    title: str
    filename: str
    description: str = ""
    tags: tuple[str, ...] = ()
    visibility: Visibility = "private"

    def visible_to(self, viewer: str | None) -> bool:
        """Return whether this user may see the image. None may see all images."""
        return viewer in {None, self.user_id} or self.visibility == "public"


@dataclass(frozen=True, slots=True)
class Content:
    """The properties of an image's bytes. The service detects them; it never trusts the client's declaration.

    `width` and `height` are in pixels after EXIF rotation. `sha256` is lower-case hexadecimal. `placeholder` is a
    BlurHash, or empty.
    """

    content_type: str
    file_size: int
    sha256: str
    width: int
    height: int
    placeholder: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant: a smaller copy of an image, upright and without metadata. Width and height are in pixels."""

    name: str
    object_key: str
    content_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Image:
    """A published image. Its bytes never change, and neither does `object_key`, the key of its original."""

    image_id: str
    details: Details
    content: Content
    object_key: str
    created_at: datetime
    updated_at: datetime
    variants: tuple[Variant, ...] = ()

    @property
    def object_keys(self) -> tuple[str, ...]:
        """Return the keys of the original and of the variants."""
        return (self.object_key, *(each.object_key for each in self.variants))


@dataclass(frozen=True, slots=True)
class Expected:
    """The client's declaration of the bytes to upload. The signed link enforces it.

    `content_type` is a supported media type, or `media.UNKNOWN_TYPE` if the client declared none. `file_size` is in
    bytes. A PUT requires it; without it, a POST is limited by the service's maximum. With `strip_location` the
    service removes the GPS location before it publishes the image.
    """

    method: Literal["PUT", "POST"]
    content_type: str
    file_size: int | None = None
    sha256: str | None = None
    strip_location: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """The code and detail of the error that rejected an upload."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload. It has the ID of the image that it will become. Its links expire at `expires_at`."""

    image_id: str
    details: Details
    expected: Expected
    created_at: datetime
    expires_at: datetime
    state: State = State.PENDING
    failure: Failure | None = None

    @property
    def deadline(self) -> datetime:
        """Return the time when sweep may remove the remains: `GRACE` after the links expire."""
        return self.expires_at + GRACE


@dataclass(frozen=True, slots=True)
class Claim:
    """The upload of a user's idempotency key. The repository stores the claim before anything else of the upload.

    `fingerprint` is a digest of the request: equal requests have equal fingerprints. `process` is the ID of the
    process that made the claim. `created_at` and `upload_expires_at` are the upload's own times.
    """

    user_id: str
    key: str
    fingerprint: str
    process: str
    image_id: str
    created_at: datetime
    upload_expires_at: datetime

    @property
    def expires_at(self) -> datetime:
        """Return the time when the key expires."""
        return self.created_at + CLAIM_LIFE


@dataclass(frozen=True, slots=True)
class Position:
    """The position of an image in a list: newest first, then by ID.

    `lead` is the candidate list that the query followed so far: its index plus 1, or 0 if none was chosen yet.
    """

    created_at: datetime
    image_id: str
    lead: int = 0

    @property
    def key(self) -> tuple[datetime, str]:
        """Return the sort key. Lists are in descending order."""
        return self.created_at, self.image_id


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """The filters of a list. An image must match all of them. None matches any image.

    `since` is inclusive and `until` is exclusive. `tags` and `title`, a part of the title, are folded (see `fold`);
    only cursors keep the client's spelling. The list has the images that `viewer` owns and public images, or all
    images if `viewer` is None.
    """

    user_id: str | None = None
    tags: tuple[str, ...] = ()
    any_tag: bool = False
    title: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    viewer: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, and the position after which the next page begins (None at the end of the list).

    A page that reached the read budget can be short or empty and still have a next page.
    """

    images: tuple[Image, ...]
    next: Position | None = None


@dataclass(frozen=True, slots=True)
class Original:
    """An image of the original service, before import. Its bytes are not verified yet."""

    image_id: str
    details: Details
    object_key: str
    content_type: str
    created_at: datetime
    updated_at: datetime


# Imports an image of the original service. Returns None if its bytes are not a valid image.
Adopt = Callable[[Original], Awaitable[Image | None]]


@dataclass(frozen=True, slots=True)
class Reindexed:
    """The progress of a reindex: how many of about `total` records were read, indexed, imported and rejected."""

    total: int
    looked_at: int = 0
    indexed: int = 0
    adopted: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Mended:
    """The repairs of list entries: how many were `missing`, and how many were `stale` (wrong, or of no image).

    `miscounted` is the number of users whose usage count was wrong.
    """

    missing: int = 0
    stale: int = 0
    miscounted: int = 0


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object in a listing of the store. Its size is in bytes."""

    key: str
    size: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Downloads:
    """A signer of download links, and the time when the links expire. The links need no other credentials.

    `url(key, content_type, disposition)` returns a link whose response has this Content-Type and
    Content-Disposition. The same arguments return the same URL. A URL that begins with "/" is relative to the
    service's own URL.
    """

    url: Callable[[str, str, str], str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SignedUpload:
    """The signed request of an upload: a PUT with `headers`, or a form POST with `fields` and the file last."""

    method: Literal["PUT", "POST"]
    url: str
    expires_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


def is_hidden(key: str, prefix: str) -> bool:
    """Return whether a part of an object's key after the prefix begins with a dot. Listings omit these objects."""
    return "/." in f"/{key[len(prefix) :]}" if prefix.endswith("/") or not prefix else "/." in key[len(prefix) :]


def now() -> datetime:
    """Return the current time in UTC, in milliseconds."""
    return milliseconds(datetime.now(UTC))


def milliseconds(instant: datetime) -> datetime:
    """Convert a time to UTC, truncated to milliseconds."""
    instant = instant.astimezone(UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def is_image_id(text: str) -> bool:
    """Return whether the text is an image ID: a UUID in lower case."""
    return _UUID.fullmatch(text) is not None


def fold(text: str) -> str:
    """Normalize a text for comparison, so that tags and titles match in any case and any Unicode form.

    This is Unicode's compatibility caseless match (chapter 3.13, D146), in NFKC: it ignores case, composition,
    width and ligatures, but not accents. All Turkish forms of i are equal, so that `istanbul` finds `İstanbul`. It
    takes linear time and is idempotent; one character becomes at most 18. The indexes store folded text, so a
    change here requires a new index (a schema version in SQLite, `reconcile` in DynamoDB).
    """
    if text.isascii():
        return text.lower()
    folded = normalize("NFKD", normalize("NFKD", text).casefold())
    return normalize("NFKC", _undotted(folded.replace("\u0131", "i")))


def _undotted(text: str) -> str:
    """Remove the combining dot above from each i in a text in NFKD, because folding İ keeps that dot."""
    if "\u0307" not in text:
        return text
    kept, after_i = [], False
    for each in text:
        if each == "\u0307" and after_i:
            continue
        kept.append(each)
        after_i = each == "i" or (after_i and 0 < combining(each) < combining("\u0307"))
    return "".join(kept)
