"""Image bytes: detect their type and size, decode them, make variants and remove the GPS location. Pure functions.

`types` has the table of formats. Only this wing imports Pillow, for decoding (`decoding`) and variants
(`variants`). `surveys`, `png`, `gif` and `avif` check the container before anything is decoded, where Pillow would
trust it. `animations` renders animated GIFs and PNGs. Bytes after the end of an image are ignored. All functions
are thread-safe.
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

_BESIDE = 20_000_000  # bytes of memory for encoders


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that decodes completely.

    `width` and `height` are in pixels as a browser shows them: swapped if the EXIF orientation of a JPEG or PNG, or
    the irot property of an AVIF, rotates the image by 90 or 270 degrees. `frames` is 1 for a still image.
    """

    content_type: str
    width: int
    height: int
    frames: int


Encoding = Literal["webp", "avif"]  # of variants


@dataclass(frozen=True, slots=True)
class Variant:
    """A smaller copy of an image: upright, in sRGB, without metadata. Width and height are in pixels."""

    content_type: str
    width: int
    height: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Developed:
    """An image, its variants by name, and its placeholder (a BlurHash)."""

    picture: Picture
    variants: Mapping[str, Variant]
    placeholder: str


def memory_to_develop(data: Bytes, *, max_pixels: int) -> int:
    """Estimate the peak memory of `develop` in bytes, from the image's header. Decodes nothing.

    The estimate includes the image's own bytes, but not 20 MB for encoders. It is 0 for bytes that `develop`
    rejects.
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
    """Load all modules for decoding, because a process without free file descriptors could not load them later."""
    from . import decoding, location, variants  # noqa: F401

    variants.preload()


def inspect(data: Bytes, *, max_pixels: int) -> Picture:
    """Decode an image and return its properties.

    `max_pixels` limits the area of an image, and of each frame of an animation, before anything is decoded. Of an
    animation, the first frame is decoded, and more frames up to a total of 67 megapixels, where each frame counts
    as at least 16,384 pixels; the other frames are only surveyed, to the end of the file.

    Memory in bytes per pixel: PNG 4, JPEG with one scan 0.1, JPEG with several scans 3 to 8, animated GIF and PNG 4
    to 12, AVIF 12, WebP 16; a bytearray or memoryview is also copied. Time: 3.5 s for the slowest animation (a
    16-bit PNG) at 67 megapixels per frame.

    Invalid metadata never makes an image invalid: decoders do not see metadata that they do not need, and an
    invalid color profile counts as none. Raises UnsupportedImage; InvalidImage if the image is truncated, damaged,
    empty or too large; and MemoryError if the machine has too little memory, when the image can still be valid.
    """
    from .decoding import decode  # Pillow takes longer to import than most of what never needs it

    return _judged(decode, data, max_pixels)


def develop(data: Bytes, *, max_pixels: int, encoding: Encoding) -> Developed:
    """Decode an image once, and return its properties and its variants. Raises the errors of `inspect`.

    Memory and time are those of `inspect`, plus less than 20 MB and 0.1 s for a still image, and 4 to 9 bytes per
    pixel for a transparent one. The frames of an animation are all held in the size of its largest variant, at 4
    bytes per pixel. If they exceed half of `max_pixels` in that size, or 67 megapixels in all, that variant is a
    still image.
    """
    from .variants import developed

    return _judged(partial(developed, encoding=encoding), data, max_pixels)


def variant_sizes(size: tuple[int, int]) -> Mapping[str, tuple[int, int]]:
    """Return the sizes of the variants of an image of this size in pixels, by name."""
    from .variants import variant_sizes as sizes

    return sizes(size)


def without_location(data: Bytes, content_type: str) -> bytes:
    """Remove the GPS location from an image of this type; see `service.media.location`.

    Raises InvalidImage if the location cannot be removed.
    """
    from .location import without_location as stripped

    return stripped(data, content_type)


def _judged(decode: Callable[[Bytes, str, int], T], data: Bytes, max_pixels: int) -> T:
    """Decode the bytes, and convert errors. Raises UnsupportedImage, InvalidImage, MemoryError."""
    content_type = sniff(bytes(memoryview(data)[:64]))
    if content_type is None:
        raise UnsupportedImage("The image must be JPEG, PNG, GIF, WebP or AVIF.")
    try:
        return decode(data, content_type, max_pixels)
    except (InvalidImage, MemoryError):
        raise
    except Exception as damage:
        clear_frames(damage.__traceback__)  # frees the decoded pixels
        if not is_free(memory_to_develop(data, max_pixels=max_pixels) + _BESIDE):
            raise MemoryError from damage  # because most decoders do not distinguish it from a damaged image
        raise InvalidImage("The image is truncated or damaged: it cannot be decoded completely.") from damage
