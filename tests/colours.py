"""Pictures whose colours a file tells in one way or another, and profiles, none of them by the service's code."""

import io
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from PIL import Image

from tests.pictures import chunk

WIDTH, HEIGHT = 128, 96
Sample = tuple[int, ...]


def png(depth: int, colour_type: int, rows: Iterable[Sequence[Sample]], *chunks: bytes) -> bytes:
    """Return a PNG of these samples, at depths that Pillow does not write; the chunks are before the pixels."""
    lines = []
    for row in rows:
        bits = "".join(f"{sample:0{depth}b}" for pixel in row for sample in pixel)
        lines.append(b"\0" + int(bits + "0" * (-len(bits) % 8), 2).to_bytes(-(-len(bits) // 8), "big"))
        width = len(row)
    header = struct.pack(">IIBBBBB", width, len(lines), depth, colour_type, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"".join(lines)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + pixels + chunk(b"IEND")


def shades(depth: int, *chunks: bytes, alpha: bool = False) -> bytes:
    """Return a PNG of all that there is between black and white, at this depth."""
    last = 2**depth - 1
    row = [(round(x * last / (WIDTH - 1)), *((last * 2 // 3,) * alpha)) for x in range(WIDTH)]
    return png(depth, 4 if alpha else 0, [row] * HEIGHT, *chunks)


def colours(depth: int, *chunks: bytes) -> bytes:
    """Return a PNG in which colours go over into others, at this depth."""
    scale = 257 if depth == 16 else 1
    rows = [[tuple(scale * each for each in _colour(x, y)) for x in range(WIDTH)] for y in range(HEIGHT)]
    return png(depth, 2, rows, *chunks)


def _colour(x: int, y: int) -> Sample:
    return x * 255 // (WIDTH - 1), y * 255 // (HEIGHT - 1), (x + y) * 255 // (WIDTH + HEIGHT - 2)


def saved(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    """Return the same colours in another format."""
    file = io.BytesIO()
    image = Image.open(io.BytesIO(colours(8))).convert(mode)
    image.save(file, kind, **({"lossless": True} if kind == "WEBP" else {"quality": 95}), **options)
    return file.getvalue()


def avif(primaries: int, transfer: int, **options: Any) -> bytes:
    """Return an AVIF that says so in its first colr box and in its last."""
    data = bytearray(saved("AVIF", **options))
    for at in (data.index(b"colrnclx"), data.rindex(b"colrnclx")):
        data[at + 8 : at + 12] = struct.pack(">HH", primaries, transfer)
    return bytes(data)


# ---------------------------------------------------------------- chunks of a PNG


def gama(gamma: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(gamma * 100_000)))


def chrm(*points: tuple[float, float]) -> bytes:
    """Return the chunk of white, red, green and blue."""
    return chunk(b"cHRM", struct.pack(">8I", *(round(each * 100_000) for point in points for each in point)))


def cicp(primaries: int, transfer: int, matrix: int = 0, full: int = 1) -> bytes:
    return chunk(b"cICP", bytes((primaries, transfer, matrix, full)))


def srgb() -> bytes:
    return chunk(b"sRGB", b"\0")


def iccp(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"any\0\0" + zlib.compress(profile))


D65 = (0.3127, 0.329)
CHRM_OF_P3 = chrm(D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06))


# ---------------------------------------------------------------- profiles

XYZ_OF_SRGB = (0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)
XYZ_OF_P3 = (0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(each * 65536) for each in values))


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def power(exponent: float) -> bytes:
    return b"para\0\0\0\0\0\0\0\0" + _fixed(exponent)


SRGB_CURVE = b"para\0\0\0\0\0\3\0\0" + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def icc(tags: Mapping[bytes, bytes], space: bytes = b"RGB ", pcs: bytes = b"XYZ ", kind: bytes = b"mntr") -> bytes:
    """Return a profile of these tags."""
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, each in tags.items():
        table += name + struct.pack(">II", start + len(body), len(each))
        body += each + bytes(-len(each) % 4)
    header = struct.pack(">I4xI", start + len(body), 0x0430_0000) + kind + space + pcs + bytes(12) + b"acsp"
    header = header.ljust(68, b"\0") + _fixed(0.9642, 1, 0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def named(name: str) -> dict[bytes, bytes]:
    """Return the tag that has a profile's name."""
    text = name.encode("utf-16-be")
    return {b"desc": b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(text), 28) + text}


def rgb(colorants: Sequence[tuple[float, float, float]], curve: bytes, name: str = "any", **options: Any) -> bytes:
    """Return a profile of a matrix and a curve."""
    letters = (b"r", b"g", b"b")
    matrix = {each + b"XYZ": xyz(*colorant) for each, colorant in zip(letters, colorants, strict=True)}
    return icc({**named(name), **matrix, **{each + b"TRC": curve for each in letters}}, **options)


def grey(curve: bytes, **options: Any) -> bytes:
    """Return a profile of greys."""
    return icc({**named("grey"), b"kTRC": curve}, space=b"GRAY", **options)


def table(
    space: bytes, lab: Callable[[Sequence[int]], tuple[int, int, int]], tag: bytes = b"A2B0", points: int = 2
) -> bytes:
    """Return a profile of a table (lut8Type) by a function from samples to Lab, all of 0 to 255."""
    inputs, same = len(space.strip()), bytes(range(256))
    places: list[list[int]] = [[]]
    for _ in range(inputs):
        places = [[*place, at * 255 // (points - 1)] for place in places for at in range(points)]
    grid = bytes(value for place in places for value in lab(place))
    head = b"mft1" + bytes(4) + bytes((inputs, 3, points, 0)) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    return icc({tag: head + same * inputs + grid + same * 3}, space=space, pcs=b"Lab ", kind=b"prtr")


P3 = rgb(XYZ_OF_P3, SRGB_CURVE, "Display P3 Gamut with sRGB Transfer")
LINEAR = rgb(XYZ_OF_SRGB, power(1), "linear sRGB")
SRGB = rgb(XYZ_OF_SRGB, SRGB_CURVE, "c2")
INK = table(b"CMYK", lambda ink: (max(255 - (3 * ink[0] + 5 * ink[1] + 2 * ink[2]) // 10 - ink[3], 30), 128, 128))
