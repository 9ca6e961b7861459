"""What of a picture's file a decoder has to see: without the metadata that only other programs read.

That may be nearly all of it: XMP, edit histories, provenance. Pillow would copy each of them, and keep the copies.
So a JPEG or a PNG is given to it as a file in which they are left out, and nothing is copied. What comes after the
first pixels stays as it is.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from io import SEEK_SET, BufferedReader, BytesIO, RawIOBase
from itertools import accumulate
from struct import unpack_from
from typing import Any, BinaryIO

from . import Bytes
from .surveys import MAX_SEGMENTS, jpeg_marker

_BLOCK = 64 * 1024  # bytes, as much as Pillow reads at a time
_SEEN = re.compile(  # segments: all but APPn and comments, and of APPn what says how pixels are to be shown
    rb"\xff(?:[^\xe0-\xef\xfe]|\xe0..JFIF\0|\xe1..Exif\0\0|\xe2..ICC_PROFILE\0|\xee..Adobe)", re.DOTALL
)
_FIRST_PIXELS = frozenset({0xD9, 0xDA})
_ANCILLARY = 0x20  # a bit of a chunk's first letter (PNG, third edition, section 5.4)
_SEEN_CHUNKS = frozenset({b"tRNS", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"fdAT"})
_MAY_INFLATE = frozenset({b"zTXt", b"iTXt"})  # Pillow refuses those that do so without end


def decodable(data: Bytes, content_type: str) -> BinaryIO:
    """Return a picture of this type as the file to decode it from. Raises struct.error where bytes run out."""
    parts = {"image/jpeg": _jpeg, "image/png": _png}.get(content_type)
    if parts is None:  # in WebP and AVIF lengths stand around everything, and a GIF has little beside its pixels
        return BytesIO(data)
    return BufferedReader(_Spliced(parts(memoryview(data))), _BLOCK)


def _jpeg(view: memoryview) -> Iterator[memoryview]:
    kept, at = 0, 2
    for _ in range(MAX_SEGMENTS):
        marker = jpeg_marker(view, at)
        if marker is None or view[marker.end() - 1] in _FIRST_PIXELS:
            break
        (length,) = unpack_from(">H", view, marker.end())
        at = marker.end() + length
        if not _SEEN.match(view, marker.start()):
            yield view[kept : marker.start()]
            kept = at
    yield view[kept:]


def _png(view: memoryview) -> Iterator[memoryview]:
    kept, at = 0, 8
    for _ in range(MAX_SEGMENTS):
        length, kind = unpack_from(">I4s", view, at)
        if kind in {b"IDAT", b"IEND"}:
            break
        end = at + 12 + length
        if kind[0] & _ANCILLARY and kind not in _SEEN_CHUNKS | _MAY_INFLATE:
            yield view[kept:at]
            kept = end
        at = end
    yield view[kept:]


class _Spliced(RawIOBase):
    """Pieces of memory, as one file."""

    def __init__(self, pieces: Iterable[memoryview]) -> None:
        self._pieces = list(pieces)
        self._ends = list(accumulate(map(len, self._pieces)))
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        self._at = (0, self._at, self._ends[-1])[whence] + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        number = bisect_right(self._ends, self._at)
        if number == len(self._pieces):
            return 0
        piece = self._pieces[number]
        start = self._at - self._ends[number] + len(piece)
        part = piece[start : start + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)
