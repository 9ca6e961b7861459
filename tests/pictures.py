"""Pictures to test with: real ones, made here, as small or as large as a test needs."""

import base64
import hashlib
import io
import math
import random
from typing import Any

from PIL import Image, ImageDraw

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


def painted(size: tuple[int, int], *, seed: int = 0) -> bytes:
    """Return a JPEG that a person takes for a picture: hills before an evening sky."""
    chance, (width, height) = random.Random(seed), size
    sky = Image.merge("HSV", [Image.new("L", size, chance.randrange(256)), *_shades(size)])
    image = sky.convert("RGB")
    draw, hue = ImageDraw.Draw(image), chance.randrange(256)
    for layer in range(5):
        base, waves = height * (0.45 + 0.12 * layer), [chance.uniform(1, 6) for _ in range(6)]
        ridge = [(x, base - height * _ridge(x / width, waves)) for x in range(0, width + 8, 8)]
        colour = f"hsv({hue * 360 // 256}, 45%, {70 - 14 * layer}%)"
        draw.polygon([*ridge, (width, height), (0, height)], fill=colour)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    return file.getvalue()


def _ridge(x: float, waves: list[float]) -> float:
    return sum(0.05 / n * math.sin(n * x * often + often) for n, often in enumerate(waves, 1))


def _shades(size: tuple[int, int]) -> tuple[Image.Image, Image.Image]:
    down = Image.linear_gradient("L").resize(size)
    return down.point(lambda value: 150 - value // 2), down.point(lambda value: 160 + value // 3)


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
