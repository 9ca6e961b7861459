"""Pictures to test with: real ones, made here, as small or as large as a test needs."""

import base64
import hashlib
import io
import random
import struct
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from PIL import Image

ORIENTATION = 0x0112  # EXIF tag


def picture(
    kind: str = "JPEG", size: tuple[int, int] = (64, 48), *, seed: int = 0, noise: bool = False, **options: Any
) -> bytes:
    """Return a picture of this format; another seed gives another picture, noise one that does not compress."""
    chance = random.Random(seed)
    if noise:
        image = Image.frombytes("RGB", size, chance.randbytes(3 * size[0] * size[1]))
    else:
        image = Image.new("RGB", size, tuple(chance.randrange(256) for _ in range(3)))
        image.paste((255, 255, 255), (0, 0, size[0] // 2, size[1] // 2))
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def oriented(orientation: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """Return a JPEG whose EXIF says how to turn it."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return picture(size=size, seed=orientation, exif=exif)


def _orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif.tobytes()


def _in_exif(kind: str, image: Image.Image, orientation: int) -> bytes:
    """Return a picture with EXIF; Pillow writes an AVIF's orientation as irot and imir."""
    file = io.BytesIO()
    image.save(file, kind, exif=_orientation(orientation))
    return file.getvalue()


def _behind_the_pixels(image: Image.Image, orientation: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    whole, end = file.getvalue(), chunk(b"IEND")
    return whole.removesuffix(end) + chunk(b"eXIf", _orientation(orientation).removeprefix(b"Exif\0\0")) + end


def _only_in_exif(image: Image.Image, orientation: int) -> bytes:
    """Return an AVIF without irot and imir, whose EXIF has the orientation all the same."""
    other = Image.Exif()
    other[0x0128] = orientation  # of the same type and length, which Pillow leaves alone
    file = io.BytesIO()
    image.save(file, "AVIF", exif=other.tobytes())
    renamed = {struct.pack(order + "HH", 0x0128, 3): struct.pack(order + "HH", ORIENTATION, 3) for order in "<>"}
    data = file.getvalue()
    for old, new in renamed.items():
        data = data.replace(old, new)
    assert data != file.getvalue()
    return data


# How a picture can say that it is to be turned: what browsers do, and what they do not. A browser test keeps this.
TURNED: Mapping[str, Callable[[Image.Image, int], bytes]] = {
    "JPEG": partial(_in_exif, "JPEG"),
    "PNG": partial(_in_exif, "PNG"),
    "AVIF": partial(_in_exif, "AVIF"),
}
NOT_TURNED: Mapping[str, Callable[[Image.Image, int], bytes]] = {
    "PNG, behind the pixels": _behind_the_pixels,
    "WebP": partial(_in_exif, "WEBP"),
    "AVIF, in EXIF only": _only_in_exif,
}


def base64_of(data: bytes) -> str:
    """Return the bytes as base64 text."""
    return base64.b64encode(data).decode()


def sha256_of(data: bytes) -> str:
    """Return the digest as lower-case hexadecimal text."""
    return hashlib.sha256(data).hexdigest()
