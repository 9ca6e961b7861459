"""What bytes are: their type, their size, and whether they decode whole. Pure: bytes in, facts out.

What formats are called, and what they begin with, is a table in `types`.
Pillow lives here only: it decodes (`decoding`), and makes the smaller pictures that people look at (`variants`).
What it takes on trust is surveyed first, without decoding (`surveys`, `png`, `gif` and `avif`); animated GIFs and
PNGs are drawn here (`animations`). Bytes after a picture's end are not looked at. All of it may be called from
several threads at once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from traceback import clear_frames
from typing import Literal, TypeVar

from service.domain.errors import InvalidImage, UnsupportedImage
from service.machine.memory import is_free

from .types import IMAGE_TYPES, UNKNOWN_TYPE, check_declared, declared_type, download_name, sniff

__all__ = [
    "IMAGE_TYPES",
    "UNKNOWN_TYPE",
    "Bytes",
    "Developed",
    "Encoding",
    "Picture",
    "Variant",
    "check_declared",
    "declared_type",
    "develop",
    "download_name",
    "inspect",
    "memory_to_develop",
    "sniff",
    "variant_sizes",
    "without_location",
]

T = TypeVar("T")
Bytes = bytes | bytearray | memoryview

_BESIDE = 20_000_000  # bytes that encoders and their like take


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that decodes whole.

    `width` and `height` are pixels as a browser shows them: already swapped where the EXIF orientation of a JPEG or
    PNG, or AVIF's irot, turns the picture by a quarter. `frames` is 1 for a still picture.
    """

    content_type: str
    width: int
    height: int
    frames: int


Encoding = Literal["webp", "avif"]  # of variants


@dataclass(frozen=True, slots=True)
class Variant:
    """A smaller picture of a picture: upright, in sRGB, without metadata. Pixels, and bytes."""

    content_type: str
    width: int
    height: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Developed:
    """A picture, its variants by name, and what can be shown until one of them is there (a BlurHash)."""

    picture: Picture
    variants: Mapping[str, Variant]
    placeholder: str


def memory_to_develop(data: Bytes, *, max_pixels: int) -> int:
    """Return about how many bytes of memory `develop` takes at its peak, as the header tells. Decodes nothing.

    The picture's own are among them; 20 MB for encoders and their like are not. It is 0 for what will be refused.
    """
    content_type = sniff(bytes(memoryview(data)[:64]))
    if content_type is None:
        return 0
    from .variants import memory_to_develop as memory

    try:
        return len(data) + memory(data, content_type, max_pixels)
    except Exception:  # noqa: BLE001 - whatever it is, `develop` says it better
        return 0


def preload() -> None:
    """Load all that decoding needs. Without it a picture seems damaged when no file can be opened any more."""
    from . import decoding, location, variants  # noqa: F401

    variants.preload()


def inspect(data: Bytes, *, max_pixels: int) -> Picture:
    """Return what the bytes are, having decoded them. Repeatable.

    `max_pixels` limits the area of a picture, and of each frame of an animation, before anything is decoded.
    Of an animation the first frame is decoded, and as many others as have 67 megapixels together, of which each
    counts as at least 16,384 pixels; the rest is surveyed, to the end of the file. Memory, in bytes a pixel: PNG 4,
    JPEG in one scan 0.1, in several 3 to 8, animated GIF and PNG 4 to 12, AVIF 12, WebP 16; a bytearray or
    memoryview is copied besides. Time: 3.5 s for the worst animation (a PNG of 16 bits) at 67 megapixels a frame.
    Metadata never makes a picture bad: what decoders need not see they do not, and a bad profile counts as none.
    Raises UnsupportedImage, or InvalidImage where the picture is truncated, damaged, empty or too large; and
    MemoryError where the machine is short of memory, which says nothing of the picture.
    """
    from .decoding import decode  # Pillow takes longer to import than most of what never needs it

    return _judged(decode, data, max_pixels)


def develop(data: Bytes, *, max_pixels: int, encoding: Encoding) -> Developed:
    """Return what `inspect` does, and the picture's variants, in one decode. Repeatable; raises what it does.

    Memory and time: as there, and below 20 MB and 0.1 s for a still picture, and 4 to 9 bytes a pixel for one that
    is transparent; an animation's frames are held all at once in the size of its largest variant, 4 bytes a pixel,
    unless they have more than half of `max_pixels` there, or 67 megapixels in all: then that stands still.
    """
    from .variants import developed

    return _judged(partial(developed, encoding=encoding), data, max_pixels)


def variant_sizes(size: tuple[int, int]) -> Mapping[str, tuple[int, int]]:
    """Return how large the variants of a picture of this size are, by name, in pixels."""
    from .variants import variant_sizes as sizes

    return sizes(size)


def without_location(data: Bytes, content_type: str) -> bytes:
    """Return a picture of this type without the place where it was made; see `service.media.location`.

    Raises InvalidImage where that cannot be done.
    """
    from .location import without_location as stripped

    return stripped(data, content_type)


def _judged(decode: Callable[[Bytes, str, int], T], data: Bytes, max_pixels: int) -> T:
    """Return what decoding makes of the bytes. Raises UnsupportedImage, InvalidImage, MemoryError."""
    content_type = sniff(bytes(memoryview(data)[:64]))
    if content_type is None:
        raise UnsupportedImage("The image must be JPEG, PNG, GIF, WebP or AVIF.")
    try:
        return decode(data, content_type, max_pixels)
    except (InvalidImage, MemoryError):
        raise
    except Exception as damage:
        clear_frames(damage.__traceback__)  # which hold what was decoded
        if not is_free(memory_to_develop(data, max_pixels=max_pixels) + _BESIDE):
            raise MemoryError from damage  # most decoders say the same of that as of a damaged picture
        raise InvalidImage("The image is truncated or damaged: it cannot be decoded completely.") from damage
