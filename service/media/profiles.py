"""ICC profiles as bytes: of colours that a file only gives numbers for, and others' cut to what browsers look at.

ICC.1:2022 sections 7 and 10 have the layout. Primaries and transfer functions are numbered by ITU-T H.273, which
PNG (cICP) and AVIF (nclx) refer to; the functions are those that Chromium takes for them. PQ and HLG (16 and 18)
are not among them: a picture of high dynamic range needs tone mapping, not only another curve.
"""

from collections.abc import Mapping
from math import prod
from struct import pack, unpack_from
from types import MappingProxyType

Point = tuple[float, float]  # x and y of CIE 1931
Primaries = tuple[Point, Point, Point, Point]  # red, green, blue and white
Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]

_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
_NTSC = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65)
BT709: Primaries = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), _D65)
PRIMARIES: Mapping[int, Primaries] = MappingProxyType(  # H.273 table 2
    {
        1: BT709,
        4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
        5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
        6: _NTSC,
        7: _NTSC,
        8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
        9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
        10: ((1, 0), (0, 1), (0, 0), (1 / 3, 1 / 3)),
        11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
        12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),  # Display P3
        22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
    }
)


def _fixed(value: float) -> int:
    """Return an s15Fixed16Number (section 4.6). Raises OverflowError."""
    if not -32768 <= value < 32768:
        raise OverflowError
    return round(value * 65536)


def _parametric(function: int, *parameters: float) -> bytes:
    """Return a curve from sample to light (section 10.18): 0 is x^g, 1 (ax+b)^g, 3 that, but cx below d."""
    return b"para\0\0\0\0" + pack(
        f">HH{len(parameters)}i", function, 0, *(round(each * 65536) for each in parameters)
    )


def power(exponent: float) -> bytes:
    """Return the curve of a power of the sample, as far as eight bits can tell it from others."""
    return _parametric(0, min(max(exponent, 0.001), 1000))


SRGB = _parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
TRANSFERS: Mapping[int, bytes] = MappingProxyType(  # H.273 table 3
    dict.fromkeys((1, 6, 11, 14, 15), power(2.4))  # how a screen shows video, not the inverse of what a camera does
    | {
        4: power(2.2),
        5: power(2.8),
        7: _parametric(3, 1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0913),
        8: power(1),
        13: SRGB,
        17: _parametric(1, 2.6, (52.37 / 48) ** (1 / 2.6), 0),
    }
)


def profile(primaries: Primaries, transfer: bytes) -> bytes:
    """Return the profile of RGB with these primaries and this curve.

    Raises ValueError or ArithmeticError where the primaries span no colours.
    """
    colorants = zip(*_to_d50(primaries), strict=True)
    tags = {
        colour + b"XYZ": b"XYZ \0\0\0\0" + pack(">3i", *(_fixed(each) for each in colorant))
        for colour, colorant in zip((b"r", b"g", b"b"), colorants, strict=True)
    }
    return _assembled(_header(), tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), transfer))


_USED = frozenset({b"A2B0", b"A2B1", b"kTRC", b"rTRC", b"gTRC", b"bTRC", b"rXYZ", b"gXYZ", b"bXYZ"})
_MAX_PROFILE = 1536 * 1024  # bytes of what is used of it; a table of four inks and 21 points each has 1.2 MB
_MAX_TAGS = 100


def as_in_browsers(stranger: bytes) -> bytes:
    """Return a stranger's profile without all that browsers do not look at, so that nothing else has to be parsed.

    They know tables (A2B0, else A2B1), or matrix and curves; not pipelines of any length (D2B0), which may take
    seconds. Raises ValueError, or what Python raises where bytes run out, if it is none.
    """
    (size,), (count,) = unpack_from(">I", stranger), unpack_from(">I", stranger, 128)
    if stranger[36:40] != b"acsp" or not 132 <= size <= len(stranger) or count > _MAX_TAGS:
        raise ValueError("The data is not an ICC profile.")
    if stranger[16:24] == b"GRAYLab ":
        raise ValueError("Browsers do not support gray profiles in Lab.")
    table = (unpack_from(">4sII", stranger, at) for at in range(132, 132 + 12 * count, 12))
    spans = {kind: (start, min(start + length, size)) for kind, start, length in table if kind in _USED}
    if b"A2B1" in spans:
        second = spans.pop(b"A2B1")
        spans.setdefault(b"A2B0", second)
    if sum(max(end - start, 0) for start, end in spans.values()) > _MAX_PROFILE:
        raise ValueError("The profile is too large.")
    tags = {kind: stranger[start:end] for kind, (start, end) in spans.items()}
    if b"A2B0" in tags:
        _check_table(tags[b"A2B0"])
    return _assembled(stranger[:128], tags)


def _check_table(tag: bytes) -> None:
    """Raise if the grid of a table (sections 10.10 to 10.12) is not all there: room for it is made beforehand."""
    inputs, outputs, points, width = tag[8], tag[9], bytes(tag[10:11]) * tag[8], 2 - (tag[:4] == b"mft1")
    if tag[:4] == b"mAB ":
        (at,) = unpack_from(">I", tag, 24)
        points, width = tag[at : at + inputs] if at else b"\0", max(tag[at + 16], 1)
    if prod(points) * outputs * width > len(tag):
        raise ValueError("The profile's table is larger than the profile.")


def _header() -> bytes:
    """Return that of a screen's (section 7.2). Version 2: of one of 4, black would be mapped to black by force."""
    return pack(">I4xI4s4s4s12x4s28x3i48x", 0, 0x0210_0000, b"mntr", b"RGB ", b"XYZ ", b"acsp", *map(_fixed, _D50))


def _assembled(header: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    """Return a profile; tags that are the same are in it once."""
    body, places = b"", dict[bytes, int]()
    for each in tags.values():
        if each not in places:
            places[each] = 132 + 12 * len(tags) + len(body)
            body += each + bytes(-len(each) % 4)
    table = b"".join(pack(">4sII", kind, places[each], len(each)) for kind, each in tags.items())
    size = 132 + len(table) + len(body)
    return pack(">I", size) + header[4:128] + pack(">I", len(tags)) + table + body


_D50: Vector = (0.9642, 1.0, 0.8249)  # the white of all profiles
_BRADFORD: Matrix = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


def _to_d50(primaries: Primaries) -> Matrix:
    """Return what makes CIE XYZ of linear RGB, adapted to D50 by Bradford's way (annex E)."""
    if not all(0 <= each <= 1 for point in primaries for each in point):
        raise ValueError("A chromaticity is invalid.")
    red, green, blue, white = ((x, y, 1 - x - y) for x, y in primaries)
    light = (white[0] / white[1], 1.0, white[2] / white[1])
    spanned: Matrix = tuple(zip(red, green, blue, strict=True))  # type: ignore[assignment]
    xyz = _times(spanned, _scaled(_applied(_inverse(spanned), light)))
    seen, wanted = _applied(_BRADFORD, light), _applied(_BRADFORD, _D50)
    adapting = _scaled((wanted[0] / seen[0], wanted[1] / seen[1], wanted[2] / seen[2]))
    return _times(_times(_inverse(_BRADFORD), _times(adapting, _BRADFORD)), xyz)


def _scaled(by: Vector) -> Matrix:
    return (by[0], 0, 0), (0, by[1], 0), (0, 0, by[2])


def _applied(matrix: Matrix, vector: Vector) -> Vector:
    return tuple(sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)  # type: ignore[return-value]


def _times(left: Matrix, right: Matrix) -> Matrix:
    return tuple(  # type: ignore[return-value]
        tuple(sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*right, strict=True))
        for row in left
    )


def _inverse(matrix: Matrix) -> Matrix:
    """Raises ZeroDivisionError."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    minors = (e * i - f * h, c * h - b * i, b * f - c * e)
    by = 1 / (a * minors[0] + d * minors[1] + g * minors[2])
    return (
        (minors[0] * by, minors[1] * by, minors[2] * by),
        ((f * g - d * i) * by, (a * i - c * g) * by, (c * d - a * f) * by),
        ((d * h - e * g) * by, (b * g - a * h) * by, (a * e - b * d) * by),
    )
