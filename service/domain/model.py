"""The words of the domain, as frozen values. Times are aware UTC, to the millisecond; sizes are bytes."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Literal
from unicodedata import combining, normalize

# Bytes as they come, in chunks of any size.
ByteStream = AsyncIterator[bytes]

# How long after its URLs have died an upload's remains are swept: a PUT that began in time may still be
# under way. Well inside the 15 minutes that the service promises.
GRACE = timedelta(minutes=10)

# How long after its link has expired a PUT that began before may end, where the service takes the bytes itself: for
# any size, there is nothing left under way when the remains are swept.
LATEST = GRACE - timedelta(minutes=1)

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# How long an idempotency key stands for the image that it made.
CLAIM_LIFE = timedelta(hours=24)


class State(StrEnum):
    """Where an image is in its life. Only READY is ever visible as an image."""

    PENDING = "pending"  # bytes are awaited, or being verified
    READY = "ready"  # verified, sealed, published
    FAILED = "failed"  # the bytes were refused; the reason is kept until the upload's URLs are dead
    DELETED = "deleted"  # a tombstone: outlives every upload URL, so that a late PUT is swept


# Whether others than its user see an image.
Visibility = Literal["private", "public"]


@dataclass(frozen=True, slots=True)
class Details:
    """What the uploader says about an image."""

    user_id: str
    title: str
    filename: str
    description: str = ""
    tags: tuple[str, ...] = ()
    visibility: Visibility = "private"

    def visible_to(self, viewer: str | None) -> bool:
        """Return whether this user sees the image; None sees everything."""
        return viewer in {None, self.user_id} or self.visibility == "public"


@dataclass(frozen=True, slots=True)
class Content:
    """What the bytes are: found by reading them, never taken from anyone's word.

    `width` and `height` are in pixels as a viewer shows the picture; `sha256` is lower-case hex; `placeholder` is a
    BlurHash, empty where none was made.
    """

    content_type: str
    file_size: int
    sha256: str
    width: int
    height: int
    placeholder: str = ""


@dataclass(frozen=True, slots=True)
class Variant:
    """A smaller picture of an image, upright and without metadata, under a key of its own. Pixels."""

    name: str
    object_key: str
    content_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Image:
    """A published image. Its bytes never change: `object_key` names them for as long as it lives."""

    image_id: str
    details: Details
    content: Content
    object_key: str
    created_at: datetime
    updated_at: datetime
    variants: tuple[Variant, ...] = ()

    @property
    def object_keys(self) -> tuple[str, ...]:
        """Return the keys of all objects that it has."""
        return (self.object_key, *(each.object_key for each in self.variants))


@dataclass(frozen=True, slots=True)
class Expected:
    """What the client declared of the bytes to come; the signed upload holds it to that.

    `content_type` is one that the service takes, or `media.UNKNOWN_TYPE` where the client declared none. A PUT has
    a `file_size`; a POST may leave it open, and is held to the service's limit. With `strip_location` the place
    where the picture was made is taken out of it before it is published.
    """

    method: Literal["PUT", "POST"]
    content_type: str
    file_size: int | None = None
    sha256: str | None = None
    strip_location: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an upload was refused, as the error's code and detail."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Upload:
    """An image-to-be, under the id it will have. Its links work until `expires_at`."""

    image_id: str
    details: Details
    expected: Expected
    created_at: datetime
    expires_at: datetime
    state: State = State.PENDING
    failure: Failure | None = None

    @property
    def deadline(self) -> datetime:
        """Return when its links have been dead for long enough that what is left can be swept."""
        return self.expires_at + GRACE


@dataclass(frozen=True, slots=True)
class Claim:
    """Which upload a user's idempotency key stands for, decided before anything of it is written.

    `fingerprint` tells what was asked for from everything else; equal requests have equal ones. `process` names
    the one that made the claim. The times are the upload's: when it was begun, and when its first links end.
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
        """Return from when on the key stands for nothing."""
        return self.created_at + CLAIM_LIFE


@dataclass(frozen=True, slots=True)
class Position:
    """Where an image stands in every list: newest first, ties broken by id.

    `lead` tells which of a query's lists was followed to here: one more than its number, 0 where none was chosen.
    """

    created_at: datetime
    image_id: str
    lead: int = 0

    @property
    def key(self) -> tuple[datetime, str]:
        """Return what lists are sorted by; the greater comes first."""
        return self.created_at, self.image_id


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """What to list. Filters are joined by "and"; None means any.

    `since` is inclusive and `until` exclusive. `tags` are folded; `title` is a folded part of a title; only cursors
    keep both as a client spelled them. `viewer` is who looks at the list: it has their own images and those that
    are public; all of them where it is None.
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
    """Some images of a list, and where the next page begins (None at the list's end).

    A page that stopped at the read budget is short, or empty, and has a next all the same.
    """

    images: tuple[Image, ...]
    next: Position | None = None


@dataclass(frozen=True, slots=True)
class Original:
    """An image as the service before this one left it: nobody knows yet what its bytes are."""

    image_id: str
    details: Details
    object_key: str
    content_type: str
    created_at: datetime
    updated_at: datetime


# Makes an image of what another service left; None where it cannot be one.
Adopt = Callable[[Original], Awaitable[Image | None]]


@dataclass(frozen=True, slots=True)
class Reindexed:
    """How far a reindex is: of about `total` records, those looked at, and what became of the images among them."""

    total: int
    looked_at: int = 0
    indexed: int = 0
    adopted: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Mended:
    """What was wrong with lists: entries that were missing, or untrue of an image; entries of no image.

    And of how many users the usage was miscounted.
    """

    missing: int = 0
    stale: int = 0
    miscounted: int = 0


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object in a store's listing; its size is in bytes."""

    key: str
    size: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class Downloads:
    """Links to objects that need no other credentials, any number of them, and when they stop working.

    `url(key, content_type, disposition)` makes one, and the answer to it has this type and Content-Disposition.
    Equal arguments give an equal URL. One that begins with "/" is relative to wherever the service was reached.
    """

    url: Callable[[str, str, str], str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SignedUpload:
    """How to send the bytes of one upload: a PUT with `headers`, or a form POST with `fields` and the file last."""

    method: Literal["PUT", "POST"]
    url: str
    expires_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


def is_hidden(key: str, prefix: str) -> bool:
    """Return whether a part of an object's key, after the prefix, begins with a dot: lists leave those out."""
    return "/." in f"/{key[len(prefix) :]}" if prefix.endswith("/") or not prefix else "/." in key[len(prefix) :]


def now() -> datetime:
    """Return the time, in the precision the service stores and shows."""
    return milliseconds(datetime.now(UTC))


def milliseconds(instant: datetime) -> datetime:
    """Return the instant in UTC, cut to whole milliseconds."""
    instant = instant.astimezone(UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def is_image_id(text: str) -> bool:
    """Return whether a text is an id as images have them: a UUID in lower case."""
    return _UUID.fullmatch(text) is not None


def fold(text: str) -> str:
    """Return the text as it is compared: tags and titles match in any case and in any Unicode form of it.

    Unicode's compatibility caseless match (chapter 3.13, D146), in NFKC: what differs in case, in composition, in
    width, or as a ligature is equal; accents are not. The i of Turkish counts as any i, so that `istanbul` finds
    `İstanbul`. Linear, and `fold(fold(text)) == fold(text)`; a character becomes at most 18. Lists keep folded
    text: a change here has to fold what is stored again (a schema version in SQLite, `reconcile` in DynamoDB).
    """
    if text.isascii():
        return text.lower()
    folded = normalize("NFKD", normalize("NFKD", text).casefold())
    return normalize("NFKC", _undotted(folded.replace("\u0131", "i")))


def _undotted(text: str) -> str:
    """Return the text, in NFKD, with no dot above an i: İ is folded to one that keeps its dot."""
    if "\u0307" not in text:
        return text
    kept, after_i = [], False
    for each in text:
        if each == "\u0307" and after_i:
            continue
        kept.append(each)
        after_i = each == "i" or (after_i and 0 < combining(each) < combining("\u0307"))
    return "".join(kept)
