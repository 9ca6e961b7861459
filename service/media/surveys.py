"""What a picture's container tells before anything is decoded, where decoders would take it on trust.

- JPEG: the end-of-image marker must be there (Pillow lets a tail stand in for missing data), and progressive
  scans, each a pass over the whole picture for a few bytes, are limited.
- PNG: every chunk's checksum must be right, to IEND (Pillow looks neither at those of pixels nor for IEND).
- GIF: the frames are counted, to the trailer (Pillow takes seconds to count a hostile file's, and needs none).
- WebP: libwebp's demuxer checks all of that, but makes room for the picture first. AVIF has a file of its own.

Each survey raises InvalidImage, or what Python raises where bytes run out, and returns the area in pixels of the
largest picture that the decoder is going to meet, 0 where the decoder will say so itself.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterator
from struct import unpack_from

from service.errors import InvalidImage

# Each keeps the worst 10 MiB near 5 s of CPU, and is far above what cameras and encoders write.
FRAME_FLOOR = 4096  # pixels that every frame after the first counts as: one of 1 x 1 takes 20 to 70 us too
_MAX_SCANS = 64  # of a progressive JPEG, 25 ms each at 50 megapixels; encoders make 3 to 20
MAX_SEGMENTS = 500  # of JPEG, and PNG chunks that are not pixels, each of which may inflate to 1 MiB in 2.5 ms
_MAX_GAP = 4096  # bytes of fill between JPEG segments, which Pillow reads one by one
_MAX_BLOCKS = 100_000  # GIF extension blocks, and chunks of a WebP that are looked at


def check_size(width: int, height: int, frames: int, max_pixels: int) -> None:
    """Raise InvalidImage unless frames x area is more than nothing and within the limit."""
    if not width or not height:
        raise InvalidImage("The picture's width or height is zero.")
    if max(frames * width * height, (frames - 1) * FRAME_FLOOR) > max_pixels:
        raise InvalidImage(f"The picture has more than {max_pixels:,} pixels, all its frames together.")


def survey_jpeg(view: memoryview, max_pixels: int) -> int:
    """Walk the markers as libjpeg does (ITU-T T.81 annex B), to the end of the first image."""
    at, segments, scans, area = 2, 0, 0, 0
    while marker := jpeg_marker(view, at):
        body = marker.end()
        code = view[body - 1]
        if code == 0xD9:
            if scans:
                return area
            break
        segments += 1
        if segments > MAX_SEGMENTS or scans > _MAX_SCANS or (not scans and body - at > _MAX_GAP):
            raise InvalidImage("The JPEG has too many segments or scans.")
        if code in _FRAME_HEADERS:
            height, width = unpack_from(">HH", view, body + 3)
            check_size(width, height, 1, max_pixels)
            area = max(area, width * height)
        scans += code == 0xDA
        (length,) = unpack_from(">H", view, body)
        at = body + length
    raise InvalidImage("The picture is truncated: its end is missing.")


# The next marker from a position on: not stuffed zeros, restarts and fill, which stand for nothing.
jpeg_marker = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]").search
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def survey_png(view: memoryview, max_pixels: int) -> int:
    """Check every chunk (PNG, third edition, section 5.3), and that an animation has the frames that it says."""
    width, height = unpack_from(">II", view, 16)
    check_size(width, height, 1, max_pixels)
    at, kind, announced = 8, b"", 0
    seen: Counter[bytes] = Counter()
    while kind != b"IEND":
        length, kind = unpack_from(">I4s", view, at)
        end = at + 8 + length
        if unpack_from(">I", view, end)[0] != zlib.crc32(view[at + 4 : end]):
            raise InvalidImage("A checksum in the PNG is wrong.")
        seen[kind if kind in {b"IDAT", b"fdAT", b"fcTL", b"acTL"} else b"other"] += 1
        if seen[b"other"] > MAX_SEGMENTS:
            raise InvalidImage("The PNG has too many chunks of metadata.")
        if kind == b"acTL":
            (announced,) = unpack_from(">I", view, at + 8)
        at = end + 4
    if seen[b"acTL"] and not (seen[b"acTL"] == 1 and seen[b"fcTL"] == announced > 0):
        raise InvalidImage("The animation does not have the frames that it says it has.")
    return int(width * height)


def survey_gif(view: memoryview, max_pixels: int) -> int:
    """Walk all of it; see `measure_gif`."""
    width, height, _ = measure_gif(view, max_pixels)
    return width * height


def measure_gif(view: memoryview, max_pixels: int) -> tuple[int, int, int]:
    """Return width, height and frames: walk the blocks (GIF89a appendix A) to the trailer.

    It stops as soon as the frames are too many.
    """

    def colour_table(flags: int) -> int:
        return 3 * 2 ** (flags % 8 + 1) if flags & 0x80 else 0

    width, height, flags = unpack_from("<HHB", view, 6)
    at, frames, extras = 13 + colour_table(flags), 0, 0
    while (kind := view[at]) != 0x3B:
        if kind == 0x2C:
            left, top, columns, rows, flags = unpack_from("<4HB", view, at + 1)
            width, height = max(width, left + columns), max(height, top + rows)
            frames += 1
            check_size(width, height, frames, max_pixels)
            at += 10 + colour_table(flags) + 1
        elif kind == 0x21:
            at += 2
        else:
            raise InvalidImage("The GIF has bytes between its blocks.")
        while size := view[at]:
            at += 1 + size
            extras += kind == 0x21
        at += 1
        if extras > _MAX_BLOCKS:
            raise InvalidImage("The GIF has too many extension blocks.")
    return width, height, frames


def survey_webp(view: memoryview, max_pixels: int) -> int:
    """Read the canvas's size; see `measure_webp`."""
    width, height, _ = measure_webp(view, max_pixels)
    return width * height


def measure_webp(view: memoryview, max_pixels: int) -> tuple[int, int, int]:
    """Return width, height and frames: the canvas's size is in the first chunk (RFC 9649 sections 2.5 to 2.7)."""
    kind, body = bytes(view[12:16]), view[20:30]
    if kind == b"VP8X":
        width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7))
    elif kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (bits & 0x3FFF for bits in unpack_from("<HH", body, 6))
    check_size(width, height, 1, max_pixels)
    return width, height, max(sum(1 for _ in _frames_of_webp(view)), 1)


def _frames_of_webp(view: memoryview) -> Iterator[int]:
    """Yield where the chunks of frames begin; more than may be are as good as all."""
    at, chunks = 12, 0
    while at + 8 <= len(view) and chunks < _MAX_BLOCKS:
        kind, length = unpack_from("<4sI", view, at)
        if kind == b"ANMF":
            yield at
        at += 8 + length + length % 2
        chunks += 1
