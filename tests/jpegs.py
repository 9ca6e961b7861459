"""JPEGs made of their segments: of any size and number of scans, in a few bytes, all of one grey."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from tests.pictures import segment

BASELINE, EXTENDED, PROGRESSIVE = 0xC0, 0xC1, 0xC2
EVERY_OTHER_FRAME = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)


@dataclass(frozen=True)
class Pass:
    """A scan: its components, its coefficients, and their bits; `data` stands for that of a grey picture."""

    components: Sequence[int] = (0,)
    start: int = 0
    end: int = 63
    high: int = 0
    low: int = 0
    data: bytes = b""


def jpeg_of(
    size: tuple[int, int],
    *passes: Pass,
    frame: int = BASELINE,
    sampling: Sequence[int] = (0x11,),
    precision: int = 8,
    restart: int | None = None,
) -> bytes:
    """Return a JPEG of these scans. Its codes for "the same again" and "nothing more" are one zero bit each."""
    components = b"".join(struct.pack("3B", number, factors, 0) for number, factors in enumerate(sampling))
    header = struct.pack(">BHHB", precision, size[1], size[0], len(sampling)) + components
    parts = [b"\xff\xd8", segment(0xDB, bytes((0, *[16] * 64))), segment(frame, header)]
    parts += [segment(0xC4, bytes((kind, 1, *[0] * 16))) for kind in (0x00, 0x10)]
    if restart is not None:
        parts.append(segment(0xDD, struct.pack(">H", restart)))
    for each in passes:
        chosen = b"".join(struct.pack("BB", number, 0) for number in each.components)
        bits = struct.pack("3B", each.start, each.end, each.high << 4 | each.low)
        parts.append(segment(0xDA, bytes((len(each.components),)) + chosen + bits) + each.data)
    return b"".join([*parts, b"\xff\xd9"])


def grey(blocks: int, bits: int = 2) -> bytes:
    """Return the data of so many blocks, of so many bits each: 2 where all of a block is in one scan, else 1."""
    return bytes(-(-blocks * bits // 8))
