"""Colours as sRGB, which is what variants are in, from whatever a file says of its own: as Chromium shows them.

A profile's name proves nothing ("Display P3 Gamut with sRGB Transfer"), so each is tried: a few dozen colours go
through it, and only if they stay what they are is a picture left alone. A profile that is bad, or for other colours
than the picture's, counts as none.
"""

import struct
from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO
from itertools import product

from PIL import Image, ImageChops, ImageCms
from PIL.ImageCms import ImageCmsProfile, ImageCmsTransform

from . import Bytes
from .avif import code_points
from .png_pixels import png_profiles
from .profiles import BT709, PRIMARIES, SRGB, TRANSFERS, as_in_browsers, profile

_GREY = frozenset({0, 4})  # colour types of PNG, without alpha and with it
_HDR = frozenset({16, 18})  # transfer functions of H.273 that need more than a profile
_VIDEO = frozenset({1, 6, 11, 14, 15})  # those of video, which Chromium shows as sRGB in an AVIF
_SAME = 2  # of 255 a colour may be off by, and is the same to whoever looks
_TRIED = [*product((0, 85, 170, 255), repeat=3), *((grey,) * 3 for grey in range(8, 256, 8))]
_KEPT = 64 * 1024  # bytes of a profile, and of its transform four times as many at most
_TO = ImageCmsProfile(BytesIO(profile(BT709, SRGB)))
_BAD = (ImageCms.PyCMSError, OSError, ValueError, IndexError, struct.error)


def profiles_of(picture: Image.Image, data: Bytes, content_type: str) -> Sequence[bytes]:
    """Return the profiles that a picture may have its colours by: the first that is good counts.

    It is open and not yet decoded; data is its file. A profile of greys is only for what is stored in grey. What a
    JPEG's EXIF says of colours (Adobe RGB, by interoperability) does not count, as in browsers.
    """
    embedded = picture.info.get("icc_profile")
    grey = data[25] in _GREY if content_type == "image/png" else picture.mode == "L"
    own = [embedded] if isinstance(embedded, bytes) and (grey or embedded[16:20] != b"GRAY") else []
    if content_type == "image/png":
        return png_profiles(memoryview(data), own)
    if content_type == "image/avif" and not own and (points := code_points(memoryview(data))):
        primaries, transfer = points
        if transfer not in _HDR:
            curve = SRGB if transfer in _VIDEO else TRANSFERS.get(transfer, SRGB)
            return [profile(PRIMARIES.get(primaries, BT709), curve)]
    return own


def in_srgb(picture: Image.Image, profiles: Sequence[bytes]) -> Image.Image:
    """Return a picture of mode L, RGB, RGBA or CMYK as sRGB, in RGB or RGBA."""
    for each in profiles:
        try:
            return _converted(picture, as_in_browsers(each))
        except _BAD:
            pass
    return _plain(picture)


def _plain(picture: Image.Image) -> Image.Image:
    return picture if picture.mode in {"RGB", "RGBA"} else picture.convert("RGB")


def _converted(picture: Image.Image, source: bytes) -> Image.Image:
    """Raises one of _BAD."""
    if source[16:20] == b"GRAY" and picture.mode == "RGBA":
        made = _converted(picture.getchannel(0), source)
        made.putalpha(picture.getchannel("A"))
        return made
    if source[16:20] == b"RGB " and picture.mode == "L":
        picture = picture.convert("RGB")
    small = len(source) <= _KEPT and picture.mode != "CMYK"
    transform = (_transform if small else _transform.__wrapped__)(source, picture.mode)
    return _plain(picture) if transform is None else transform.apply(picture)


@lru_cache(maxsize=16)  # it takes 2 ms to make one, or 30 of tables, and most pictures have one of few profiles
def _transform(source: bytes, mode: str) -> ImageCmsTransform | None:
    """Return what makes sRGB of a picture of this mode, None if there is nothing to do. Raises one of _BAD."""
    to = "RGBA" if mode == "RGBA" else "RGB"
    transform = ImageCmsTransform(ImageCmsProfile(BytesIO(source)), _TO, mode, to)
    if mode == "CMYK":
        return transform
    tried = Image.new("RGB", (len(_TRIED), 1))
    tried.putdata(_TRIED)
    tried = tried.convert(mode)
    off = ImageChops.difference(transform.apply(tried).convert("RGB"), tried.convert("RGB"))
    return transform if any(off.point(lambda value: value > _SAME).histogram()[1::256]) else None
