"""What a decode is weighed before it begins is what it takes."""

import os
import struct
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from tests.colours import table
from tests.jpegs import Pass, grey, jpeg_of
from tests.pictures import chunk, picture
from tests.process.servers import run

SIDE = 2400
BESIDE = 25_000_000  # bytes: both variants, their encoders, and what an allocator keeps

_DEVELOP = """
import os, sys
from pathlib import Path
from service import media
from tests.process.memory import forget_peak, resident

data, small = (Path(each).read_bytes() for each in sys.argv[1:])
media.develop(small, max_pixels=2**26, encoding="webp")
weight = media.memory_to_develop(data, max_pixels=2**26) - len(data)
before = resident(os.getpid())
forget_peak(os.getpid())
media.develop(data, max_pixels=2**26, encoding="webp")
print(weight, resident(os.getpid(), "VmHWM") - before)
"""


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(mode: str = "RGB") -> Image.Image:
    image = Image.effect_noise((SIDE, SIDE), 30)
    image = image.convert("RGB" if mode == "RGBA" else mode)
    if mode in {"LA", "RGBA"}:
        image.putalpha(Image.effect_noise((SIDE, SIDE), 30))
    return image


def sixteen(colour_type: int, width: int, *chunks: bytes) -> bytes:
    """Return a PNG of 16 bits a sample; a pixel has so many bytes."""
    rows = b"".join(b"\0" + os.urandom(width * SIDE) for _ in range(SIDE))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 16, colour_type, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND")


def ink(points: int) -> bytes:
    """Return a profile of inks that is as large as it may be."""
    return table(b"CMYK", lambda inks: (max(inks), 128, 128), points=points)


def moving(mode: str, kind: str, **options: object) -> bytes:
    first = noise(mode)
    return saved(first, kind, save_all=True, append_images=[first.rotate(90)], **options)


def one_by_one(components: int, sampling: int = 0x11) -> bytes:
    """Return a baseline JPEG with a scan for each component; the others are halved where that says so."""
    blocks = (SIDE // 8) ** 2
    first = (sampling >> 4) * (sampling & 15)
    sizes = [blocks, *[blocks // first] * (components - 1)]
    passes = [Pass((number,), data=grey(size)) for number, size in enumerate(sizes)]
    return jpeg_of((SIDE, SIDE), *passes, sampling=(sampling, *[0x11] * (components - 1)))


def interlaced(mode: int, bits: int) -> bytes:
    """Return an interlaced PNG of this colour type, and so many bits per pixel, all the same."""
    rows = [
        bytes(1 + (-(-(SIDE - left) // across) * bits + 7) // 8) * -(-(SIDE - top) // down)
        for left, top, across, down in ADAM7
    ]
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, mode, 0, 0, 1)
    pixels = zlib.compress(b"".join(rows), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND")


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
PICTURES: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: saved(noise(), "JPEG"),
    "JPEG, grey": lambda: saved(noise("L"), "JPEG"),
    "JPEG, all colours": lambda: saved(noise(), "JPEG", subsampling=0),
    "JPEG for print": lambda: saved(noise("CMYK"), "JPEG"),
    "JPEG for print, with a large profile": lambda: saved(noise("CMYK"), "JPEG", icc_profile=ink(26)),
    "progressive JPEG": lambda: saved(noise(), "JPEG", progressive=True),
    "progressive JPEG, grey": lambda: saved(noise("L"), "JPEG", progressive=True),
    "progressive JPEG, all colours": lambda: saved(noise(), "JPEG", progressive=True, subsampling=0),
    "progressive JPEG for print": lambda: saved(noise("CMYK"), "JPEG", progressive=True),
    "JPEG in three scans": lambda: one_by_one(3, 0x22),
    "JPEG in three scans, all colours": lambda: one_by_one(3),
    "JPEG in four scans": lambda: one_by_one(4),
    "PNG": lambda: saved(noise(), "PNG", compress_level=1),
    "PNG of single bits": lambda: saved(noise("1"), "PNG", compress_level=1),
    "PNG, grey": lambda: saved(noise("L"), "PNG", compress_level=1),
    "PNG, grey of 16 bits": lambda: saved(noise("I;16"), "PNG", compress_level=1),
    "PNG, interlaced": lambda: interlaced(2, 24),
    "PNG, interlaced and transparent": lambda: interlaced(6, 32),
    "PNG of a palette": lambda: saved(noise("P"), "PNG", compress_level=1),
    "PNG of a palette, transparent": lambda: saved(noise("P"), "PNG", compress_level=1, transparency=0),
    "PNG, grey and transparent": lambda: saved(noise("LA"), "PNG", compress_level=1),
    "PNG, transparent": lambda: saved(noise("RGBA"), "PNG", compress_level=1),
    "PNG, one colour transparent": lambda: saved(noise(), "PNG", compress_level=1, transparency=(0, 0, 0)),
    "PNG of 16 bits, grey": lambda: sixteen(0, 2),
    "PNG of 16 bits, grey, one transparent": lambda: sixteen(0, 2, chunk(b"tRNS", bytes(2))),
    "PNG of 16 bits": lambda: sixteen(2, 6),
    "PNG of 16 bits, one transparent": lambda: sixteen(2, 6, chunk(b"tRNS", bytes(6))),
    "PNG of 16 bits, transparent": lambda: sixteen(6, 8),
    "PNG, transparent and moving": lambda: moving("RGBA", "PNG", compress_level=1),
    "GIF": lambda: saved(noise("P"), "GIF"),
    "PNG of 16 bits, moving": lambda: moving("I;16", "PNG", compress_level=1),
    "GIF, moving": lambda: moving("P", "GIF"),
    "GIF, transparent and moving": lambda: moving("P", "GIF", transparency=0, disposal=2),
    "WebP": lambda: saved(noise(), "WEBP", method=0),
    "WebP, lossless": lambda: saved(noise(), "WEBP", lossless=True, quality=0, method=0),
    "WebP, transparent": lambda: saved(noise("RGBA"), "WEBP", method=0),
    "WebP, lossless and transparent": lambda: saved(noise("RGBA"), "WEBP", lossless=True, quality=0, method=0),
    "WebP, transparent and moving": lambda: moving("RGBA", "WEBP", method=0),
    "AVIF": lambda: saved(noise(), "AVIF", speed=10),
    "AVIF, all colours": lambda: saved(noise(), "AVIF", speed=10, subsampling="4:4:4"),
    "AVIF, transparent": lambda: saved(noise("RGBA"), "AVIF", speed=10),
    "AVIF, transparent, all colours": lambda: saved(noise("RGBA"), "AVIF", speed=10, subsampling="4:4:4"),
}
TIGHT = tuple(kind for kind in PICTURES if "JPEG" in kind)


@pytest.mark.parametrize("kind", PICTURES)
async def test_a_decode_takes_no_more_memory_than_it_was_weighed(kind: str, tmp_path: Path) -> None:
    large, small = tmp_path / "large", tmp_path / "small"
    large.write_bytes(PICTURES[kind]())
    small.write_bytes(picture("PNG"))
    here = str(Path(__file__).parents[2])
    told = await run(sys.executable, "-c", _DEVELOP, str(large), str(small), directory=tmp_path, PYTHONPATH=here)
    assert told.code == 0, told.error
    weight, taken = map(int, told.out.split())
    assert taken <= weight + BESIDE, f"{taken / SIDE**2:.1f} bytes a pixel"
    if kind in TIGHT:
        assert weight <= 1.25 * taken + BESIDE, "memory that nobody needs is kept from others"
