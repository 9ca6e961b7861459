"""Decoding pictures, by Pillow. Nothing else imports it."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO, cast

from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.WebPImagePlugin import WebPImageFile

from service.domain.errors import InvalidImage

from . import Bytes, Picture
from .animations import Animation
from .avif import plays_of_avif, survey_avif
from .exif import exif_orientation
from .gif import gif_picture
from .jpeg import decode_scans, memory_of, survey_jpeg
from .parts import Spliced, decodable
from .png import png_picture, survey_png
from .surveys import FRAME_FLOOR, check_size, measure_webp, survey_webp

Image.MAX_IMAGE_PIXELS = None  # `inspect` keeps a limit of its own; Pillow only warns at half of what it refuses
# Pillow warns of every odd EXIF tag in words of its own: one upload could write 65,535 lines into the log.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
# How many blocks, of 16 MiB at most, Pillow keeps for the next picture. It would keep none, and the system clear
# what it asks for again page by page: a fifteenth of the time that a photograph takes.
# https://pillow.readthedocs.io/en/stable/reference/block_allocator.html
Image.core.set_blocks_max(1)  # type: ignore[attr-defined] # as said there, but the stubs do not know it

# Pixels of an animation that are decoded, to see that they can be; further frames are only surveyed. They take 2 to
# 45 ns each, so 3 s at most. That is 32 frames of 1920 x 1080, 279 of 600 x 400, or 4,096 of whatever is small.
WORK = 2**26
_SLACK = 4  # times the picture may a decoder allocate: for a tile that is larger than its grid, an alpha plane


class _JpegFile(JpegImageFile):
    """Pillow's own, decoded scan by scan, and at three eighths as well: Pillow asks for powers of two only."""

    def load(self) -> Any:
        """See Pillow; raises InvalidImage where a scan has less data than pixels, or much more."""
        if self.tile:
            self.load_prepare()
            *head, coded = cast(Spliced, self.fp).pieces
            (tile,) = self.tile
            settings = (*cast(tuple[Any, ...], tile.args), *self.decoderconfig)
            decoder = Image.core.jpeg_decoder(self.mode, *settings)  # type: ignore[attr-defined]
            try:
                decoder.setimage(self.im, tile.extents)
                decode_scans(decoder.decode, b"".join(head), coded)
            finally:
                decoder.cleanup()
            self.tile, self.fp = [], None
        return Image.Image.load(self)

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


def opened(data: bytes | bytearray | memoryview, content_type: str, max_pixels: int) -> Image.Image:
    """Return a picture that has not been decoded yet, and will not be larger than it may.

    Raises InvalidImage, and whatever Pillow raises for what it cannot read.
    """
    survey, undecoded = _FORMATS[content_type]
    largest = survey(memoryview(data), max_pixels)
    picture = undecoded(data, max_pixels)
    width, height = picture.size
    check_size(width, height, max_pixels)
    if largest > max(_SLACK * width * height, FRAME_FLOOR):
        raise InvalidImage("The image has more pixels than its header declares.")
    return picture


def frames_of(picture: Image.Image) -> Iterator[Image.Image]:
    """Decode every frame, or as many as are worth the work, and yield the picture at each."""
    work = 0
    for number in range(getattr(picture, "n_frames", 1)):
        picture.seek(number)
        area = picture.area if isinstance(picture, Animation) else picture.width * picture.height
        work += max(area, FRAME_FLOOR)
        if number and work > WORK:
            return
        picture.load()
        yield picture


def facts_of(picture: Image.Image, size: tuple[int, int], content_type: str) -> Picture:
    """Return what is known of a picture that is decoded, and is shown in this size."""
    return Picture(content_type, *size, getattr(picture, "n_frames", 1))


def shown_size(picture: Image.Image) -> tuple[int, int]:
    """Return the size in which browsers show a picture that is opened and not decoded yet."""
    width, height = picture.size
    return (height, width) if orientation(picture) > 4 else (width, height)


def orientation(picture: Image.Image) -> int:
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
    _, undecoded = _FORMATS[content_type]
    if content_type == "image/webp":  # opening it would take half of the memory already
        width, height, frames = measure_webp(memoryview(data), max_pixels)
        return Weight((_WEBP * width + _PER_ROW) * height, (width, height), frames)
    if content_type == "image/jpeg":
        (width, height), coefficients = memory_of(memoryview(data))
        check_size(width, height, max_pixels)
        drafted = max(min(width * height, _LARGEST_DRAFT), width * height // 64)
        return Weight(coefficients + 4 * drafted + _PER_ROW * height, (width, height), 1)
    picture = undecoded(data, max_pixels)
    width, height = picture.size
    check_size(width, height, max_pixels)
    memory = (_bytes_per_pixel(picture, content_type) * width + _PER_ROW) * height
    return Weight(memory, (width, height), getattr(picture, "n_frames", 1))


def _bytes_per_pixel(picture: Image.Image, content_type: str) -> int:
    if isinstance(picture, Animation):
        return _ANIMATED
    costs = _PNG.get(picture.mode, _OTHERS) if content_type == "image/png" else _PER_PIXEL[content_type]
    return costs[picture.has_transparency_data]


# Pixels of a JPEG that is decoded at the least scale at which it is large enough for its display size, of 1080:
# always less than twice that, unless an eighth is more.
_LARGEST_DRAFT = 2160**2
# Bytes for each pixel of a picture, as measured; then those of one that is transparent (it is weighted by its alpha
# before it is made smaller).
_PER_PIXEL: Mapping[str, tuple[int, int]] = MappingProxyType({"image/gif": (8, 12), "image/avif": (12, 20)})
_PNG: Mapping[str, tuple[int, int]] = MappingProxyType(  # by mode: what is made smaller as it is takes least
    {"1": (7, 11), "L": (3, 12), "P": (7, 11), "LA": (14, 14), "RGB": (6, 14), "RGBA": (10, 10)}
)
_OTHERS = (11, 15)
_WEBP = 20
_ANIMATED = 16  # a canvas, what a frame covers of it, and the frame in two modes
_PER_ROW = 16  # a picture has a table of its rows, and its copy another

_Opening = Callable[[Bytes, int], Image.Image]  # may be as large as so many pixels, and is not decoded yet


def _file(content_type: str, plugin: Callable[[BinaryIO], ImageFile]) -> _Opening:
    """Return what opens pictures of a type that Pillow understands as browsers do."""
    return lambda data, _: plugin(decodable(data, content_type))


def _avif(data: Bytes, _: int) -> Image.Image:
    picture = AvifImageFile(decodable(data, "image/avif"))
    picture.info["loop"] = plays_of_avif(memoryview(data))
    return picture


_FORMATS: Mapping[str, tuple[Callable[[memoryview, int], int], _Opening]] = MappingProxyType(
    {  # Pillow's own classes, not Image.open: it imports more plugins as it goes, and makes an MPO of some JPEGs
        "image/jpeg": (survey_jpeg, _file("image/jpeg", _JpegFile)),
        "image/png": (survey_png, png_picture),
        "image/gif": (lambda *_: 0, gif_picture),
        "image/webp": (survey_webp, _file("image/webp", WebPImageFile)),
        "image/avif": (survey_avif, _avif),
    }
)
