"""Variants: smaller copies of an image, made in the same decode that verifies it.

Variants are upright, in sRGB and without metadata. A JPEG is decoded at the smallest of libjpeg's scales (an eighth
to four) that is large enough, from all of its data. The thumbnail is made from the display size. An animation stays
animated in the display size.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from types import MappingProxyType
from typing import Any

from blurhash_rs import blurhash_encode
from PIL import Image
from PIL.Image import Resampling, Transpose

from . import Bytes, Developed, Encoding, Variant
from .avif import with_plays
from .colour import in_srgb, profiles_of
from .decoding import WORK, facts_of, frames_of, opened, orientation, shown_size, weight_of
from .resizing import resized

THUMB, DISPLAY = 320, 1080  # pixels of the longer side at most; images are never enlarged

_QUALITY = 75
_PLACEHOLDER = 32  # pixels: a BlurHash has 4 x 3 waves, and needs no more to find them
_MOVING = 0.5  # of the pixel limit may be held for an animation in its display size; a longer one stands still
_CANVASES = 5  # more in the display size, that encoders of an animation have
_SHORTEST, _DURATION = 10, 100  # milliseconds: browsers show frames that are as short as this for so long
_MAX_PLAYS = 65_535  # that WebP has room for
# What encoders are asked for. Time counts: the client waits. WebP's method 0 takes a quarter of the default's time,
# for an eighth more bytes.
_ENCODERS: Mapping[Encoding, Mapping[str, Any]] = MappingProxyType(
    {"webp": {"method": 0, "quality": _QUALITY}, "avif": {"speed": 9, "quality": 65, "max_threads": 1}}
)
_UPRIGHT = MappingProxyType(  # by the EXIF orientation (TIFF 6.0 section 2), on what was decoded
    {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
)
_BESIDE = ThreadPoolExecutor(2, "pixdepot-thumbnail")  # encoders let go of the interpreter


def preload() -> None:
    """Load what Pillow loads when it first writes a picture."""
    Image.preinit()


def developed(data: Bytes, content_type: str, max_pixels: int, *, encoding: Encoding) -> Developed:
    """Return a picture of this type with its variants; see `service.media.develop`."""
    picture = opened(data, content_type, max_pixels)
    shown, turned, size = shown_size(picture), orientation(picture), _fitting(picture.size, DISPLAY)
    profiles = profiles_of(picture, data, content_type)
    count = getattr(picture, "n_frames", 1)
    moves = _may_move(count, picture.size, size, max_pixels)
    picture.draft(None, size)
    frames: list[Image.Image] = []
    durations: list[int] = []
    for frame in frames_of(picture):
        if moves or not frames:
            frames.append(_shown(frame, size, profiles, turned))
            duration = round(frame.info.get("duration", 0))
            durations.append(duration if duration > _SHORTEST else _DURATION)
    del frames[1 if len(frames) < count else count :]  # it moves as a whole, or not
    animated = {"durations": durations, "plays": picture.info.get("loop", 0)} if len(frames) > 1 else {}
    smaller = _BESIDE.submit(_smaller, frames[0], encoding)
    display = _encoded(frames, encoding, **animated)
    thumb, placeholder = smaller.result()
    return Developed(facts_of(picture, shown, content_type), {"thumb": thumb, "display": display}, placeholder)


def _smaller(display: Image.Image, encoding: Encoding) -> tuple[Variant, str]:
    """Return a picture's thumbnail, made of its display size, and its placeholder."""
    thumb = resized(display, _fitting(display.size, THUMB))
    return _encoded([thumb], encoding), _placeholder(thumb)


def memory_to_develop(data: Bytes, content_type: str, max_pixels: int) -> int:
    """Return about how many bytes of memory `developed` takes beside the picture's own. Raises as it does."""
    weight = weight_of(data, content_type, max_pixels)
    width, height = _fitting(weight.size, DISPLAY)
    moves = weight.frames > 1 and _may_move(weight.frames, weight.size, (width, height), max_pixels)
    return weight.memory + (4 * (weight.frames + _CANVASES) * width * height if moves else 0)


def variant_sizes(size: tuple[int, int]) -> Mapping[str, tuple[int, int]]:
    """Return how large the variants of a picture of this size are, by name, in pixels."""
    display = _fitting(size, DISPLAY)
    return {"thumb": _fitting(display, THUMB), "display": display}


def _may_move(frames: int, whole: tuple[int, int], size: tuple[int, int], max_pixels: int) -> bool:
    """Return whether so many frames may be made smaller to this size, and held at once."""
    return frames * size[0] * size[1] <= max_pixels * _MOVING and frames * whole[0] * whole[1] <= WORK


def _fitting(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Return the size of a picture whose longer side has so many pixels at most."""
    scale = min(longest / max(size), 1)
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _shown(picture: Image.Image, size: tuple[int, int], profiles: Sequence[bytes], turned: int) -> Image.Image:
    """Return a decoded frame as it is to be seen, and nothing of it but pixels."""
    seen = in_srgb(resized(_plain(picture), size), profiles)
    if turned in _UPRIGHT:
        seen = seen.transpose(_UPRIGHT[turned])
    seen.info = {}
    return seen


def _plain(picture: Image.Image) -> Image.Image:
    """Return a picture in a mode that can be made smaller: no palette, no single bits."""
    if picture.has_transparency_data:
        return picture if picture.mode == "RGBA" else picture.convert("RGBA")
    return picture if picture.mode in {"L", "RGB", "CMYK"} else picture.convert("RGB")


def _encoded(
    frames: list[Image.Image], encoding: Encoding, durations: list[int] | None = None, plays: int = 0
) -> Variant:
    """Return a picture, or an animation that plays so often; 0 is without end."""
    first, *others = frames
    loop = min(plays, _MAX_PLAYS)
    several = {"save_all": True, "append_images": others, "duration": durations, "loop": loop} if others else {}
    file = BytesIO()
    first.save(file, encoding.upper(), **_ENCODERS[encoding], **several)
    data = with_plays(file.getvalue(), loop) if others and encoding == "avif" else file.getvalue()
    return Variant(f"image/{encoding}", *first.size, data)


def _placeholder(thumb: Image.Image) -> str:
    """Return the BlurHash of a picture, on white where it is transparent."""
    small = thumb.resize((_PLACEHOLDER, _PLACEHOLDER), Resampling.BOX)
    if small.mode == "RGBA":
        ground = Image.new("RGBA", small.size, "white")
        small = Image.alpha_composite(ground, small).convert("RGB")
    across, down = (4, 3) if thumb.width >= thumb.height else (3, 4)
    return blurhash_encode(small, x_components=across, y_components=down)
