"""Decoding pictures, by Pillow. Nothing else imports it."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO

from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.WebPImagePlugin import WebPImageFile

from service.errors import InvalidImage

from . import Picture
from .avif import survey_avif
from .exif import exif_orientation
from .parts import decodable
from .png import PngFile
from .surveys import (
    FRAME_FLOOR,
    check_size,
    measure_gif,
    measure_webp,
    survey_gif,
    survey_jpeg,
    survey_png,
    survey_webp,
)

Image.MAX_IMAGE_PIXELS = None  # `inspect` keeps a limit of its own; Pillow only warns at half of what it refuses
# Pillow warns of every odd EXIF tag in words of its own: one upload could write 65,535 lines into the log.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# How many blocks, of 16 MiB at most, Pillow keeps for the next picture. It would keep none, and the system clear
# what it asks for again page by page: a fifteenth of the time that a photograph takes.
# https://pillow.readthedocs.io/en/stable/reference/block_allocator.html
Image.core.set_blocks_max(1)  # type: ignore[attr-defined] # as said there, but the stubs do not know it

_SLACK = 4  # times the picture may a decoder allocate: for a tile that is larger than its grid, an alpha plane


class _JpegFile(JpegImageFile):
    """Pillow's own, decoded at three eighths of its size as well: Pillow asks libjpeg for powers of two only."""

    def draft(
        self, mode: str | None, size: tuple[int, int] | None
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """See Pillow: prepare a decode at the least scale that is large enough."""
        less = -(-3 * self.width // 8), -(-3 * self.height // 8)  # rounded up, as libjpeg does
        drafted = super().draft(mode, size)
        if drafted and size and self.decoderconfig == (2, 0) and less[0] >= size[0] and less[1] >= size[1]:
            self._size, self.decoderconfig = less, (3, 0)  # asked for a third it takes the next eighth above
            self.tile = [each._replace(extents=(0, 0, *less)) for each in self.tile]
        return drafted


def decode(data: bytes | bytearray | memoryview, content_type: str, max_pixels: int) -> Picture:
    """Return what a picture of this type is, having decoded every frame of it; see `service.media.inspect`.

    Raises InvalidImage, and whatever Pillow raises for what it cannot read.
    """
    picture = opened(data, content_type, max_pixels)
    size = shown_size(picture)
    picture.draft(None, (1, 1))  # JPEG only: an eighth of width and height, from all of the data
    for _ in frames_of(picture):
        pass
    return facts_of(picture, size, content_type)


def opened(data: bytes | bytearray | memoryview, content_type: str, max_pixels: int) -> ImageFile:
    """Return a picture that has not been decoded yet, and will not be larger than it may.

    Raises InvalidImage, and whatever Pillow raises for what it cannot read.
    """
    survey, plugin = _FORMATS[content_type]
    largest = survey(memoryview(data), max_pixels)
    picture = plugin(decodable(data, content_type))
    width, height = picture.size
    frames = getattr(picture, "n_frames", 1)
    check_size(width, height, frames, max_pixels)
    if largest > max(_SLACK * width * height, FRAME_FLOOR):
        raise InvalidImage("The picture is larger than it says.")
    return picture


def frames_of(picture: ImageFile) -> Iterator[ImageFile]:
    """Decode every frame, and yield the picture at each."""
    for number in range(getattr(picture, "n_frames", 1)):
        picture.seek(number)
        picture.load()
        yield picture


def facts_of(picture: ImageFile, size: tuple[int, int], content_type: str) -> Picture:
    """Return what is known of a picture that is decoded, and is shown in this size."""
    return Picture(content_type, *size, getattr(picture, "n_frames", 1))


def shown_size(picture: ImageFile) -> tuple[int, int]:
    """Return the size in which browsers show a picture that is opened and not decoded yet."""
    width, height = picture.size
    return (height, width) if orientation(picture) > 4 else (width, height)


def orientation(picture: ImageFile) -> int:
    """Return how browsers turn a picture that is opened and not decoded yet, 1 to 8 (EXIF 2.32 section 4.6.4).

    They believe the EXIF of a JPEG, and of a PNG where it comes before the pixels: decoding would add what comes
    after them. They do not believe that of a WebP, nor of an AVIF: its irot and imir count, which Pillow tells as
    EXIF. A browser test holds this to Chromium. Nor do they believe XMP, as Pillow's `getexif` does. Bad EXIF never
    makes a picture bad.
    """
    return 1 if isinstance(picture, WebPImageFile) else exif_orientation(picture.info.get("exif"))


@dataclass(frozen=True, slots=True)
class Weight:
    """What a picture's header tells of the work that it will be: bytes of memory to decode it; pixels; frames."""

    memory: int
    size: tuple[int, int]
    frames: int


def weight_of(data: bytes | bytearray | memoryview, content_type: str, max_pixels: int) -> Weight:
    """Return about what it takes to decode a picture, and to make it smaller. Raises as `decode` does.

    Decodes nothing.
    """
    _, plugin = _FORMATS[content_type]
    if plugin is WebPImageFile:  # opening it would take half of the memory already
        width, height, frames = measure_webp(memoryview(data), max_pixels)
        return Weight((_WEBP * width + _PER_ROW) * height, (width, height), frames)
    picture = plugin(decodable(data, content_type))
    width, height = picture.size
    check_size(width, height, 1, max_pixels)
    dear = bool(picture.info.get("progressive")) or picture.has_transparency_data
    memory = (_PER_PIXEL[content_type][dear] * width + _PER_ROW) * height
    if plugin is GifImageFile:  # Pillow counts by decoding
        return Weight(memory, (width, height), measure_gif(memoryview(data), max_pixels)[2])
    return Weight(memory, (width, height), getattr(picture, "n_frames", 1))


# Bytes for each pixel of a picture, as measured; then those of one that is transparent (it is weighted by its alpha
# before it is made smaller) or, for a JPEG, progressive (all of its coefficients are held).
_PER_PIXEL: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"image/jpeg": (1, 8), "image/png": (7, 14), "image/gif": (8, 12), "image/avif": (12, 20)}
)
_WEBP = 20
_PER_ROW = 16  # a picture has a table of its rows, and its copy another

_FORMATS: Mapping[str, tuple[Callable[[memoryview, int], int], Callable[[BinaryIO], ImageFile]]] = MappingProxyType(
    {  # Pillow's own classes, not Image.open: it imports more plugins as it goes, and makes an MPO of some JPEGs
        "image/jpeg": (survey_jpeg, _JpegFile),
        "image/png": (survey_png, PngFile),
        "image/gif": (survey_gif, GifImageFile),
        "image/webp": (survey_webp, WebPImageFile),
        "image/avif": (survey_avif, AvifImageFile),
    }
)
