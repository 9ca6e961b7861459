"""What the client takes and gives back, as frozen values. Times are aware, in UTC; sizes are bytes."""

import os
from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import IO, Any, Literal, TypeAlias, TypeVar

from .errors import PixdepotError
from .formats import download_name

Source: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | AsyncIterable[bytes]
"""Where a picture comes from: a path, its bytes, a file that is open for reading bytes, or an async iterable."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the bytes that are done, and with all there are. What is sent again begins again at 0."""

Visibility: TypeAlias = Literal["private", "public"]
VariantName: TypeAlias = Literal["original", "display", "thumb"]

ImageT = TypeVar("ImageT", bound="Image")


@dataclass(frozen=True, slots=True)
class NewImage:
    """A picture to be, and what to say of it.

    Where they are left out, `filename` is the source's own, `title` the filename without its ending, `content_type`
    what the first bytes show, and `strip_location` what the service is set to. `sha256` (lower-case hexadecimal)
    spares reading the source twice where it is known already.
    """

    source: Source
    title: str | None = None
    filename: str | None = None
    description: str = ""
    tags: tuple[str, ...] = ()
    visibility: Visibility = "private"
    strip_location: bool | None = None
    content_type: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A published image: all there is to know of it.

    `width` and `height` are pixels, as a viewer shows it; `placeholder` is a BlurHash, empty where none was made.
    `etag` is for `Client.update(if_match=...)`; it is None where the service gives none, as in lists.
    """

    image_id: str
    user_id: str
    title: str
    description: str
    tags: tuple[str, ...]
    filename: str
    visibility: str
    content_type: str
    file_size: int
    created_at: datetime
    updated_at: datetime
    sha256: str
    width: int
    height: int
    placeholder: str
    etag: str | None = field(default=None, compare=False)

    @property
    def download_name(self) -> str:
        """Return the filename with the extension of what the bytes are, as a download is saved."""
        return download_name(self.filename, self.content_type)


@dataclass(frozen=True, slots=True)
class Variant:
    """A smaller picture of an image. `width` and `height` are pixels."""

    url: str = field(repr=False)
    content_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedImage(Image):
    """An image and its links: whoever has one has the picture, until `url_expires_at`."""

    url: str = field(repr=False, compare=False)
    url_expires_at: datetime = field(compare=False)
    variants: Mapping[str, Variant] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a picture, for anyone who has it, until it expires."""

    url: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list. `next_cursor` is None at the end."""

    images: tuple[LinkedImage, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What became of one of several uploads: an image, or the error."""

    source: Source | NewImage
    image: Image | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Deleted:
    """What became of one of several deletes: `error` is None where the image is gone."""

    image_id: str
    error: PixdepotError | None = None


def image_from(kind: type[ImageT], document: Mapping[str, Any], **more: Any) -> ImageT:
    """Return an image of the API's document. Members that this version does not know are left out."""
    values = {each.name: document[each.name] for each in fields(kind) if each.name in document}
    times = {name: datetime.fromisoformat(values[name]) for name in values if name.endswith("_at")}
    return kind(**{**values, **times, "tags": tuple(values["tags"]), **more})


def linked_image_from(document: Mapping[str, Any], metadata: Mapping[str, Any], **more: Any) -> LinkedImage:
    """Return an image whose links are in `document`."""
    variants = {name: Variant(**_known(Variant, each)) for name, each in document["variants"].items()}
    links = {"url": document["url"], "url_expires_at": document["url_expires_at"]}
    return image_from(LinkedImage, {**metadata, **links}, variants=variants, **more)


def _known(kind: type[Variant], document: Mapping[str, Any]) -> dict[str, Any]:
    return {each.name: document[each.name] for each in fields(kind)}
