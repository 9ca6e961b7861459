"""Pictures to test with: real ones, made here, as small or as large as a test needs."""

import base64
import hashlib
import io
import random
import struct
import zlib
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


def base64_of(data: bytes) -> str:
    """Return the bytes as base64 text."""
    return base64.b64encode(data).decode()


def sha256_of(data: bytes) -> str:
    """Return the digest as lower-case hexadecimal text."""
    return hashlib.sha256(data).hexdigest()
