"""What of a picture's file a decoder has to see: without the metadata that only other programs read.

That may be nearly all of it: XMP, edit histories, provenance. Pillow would copy each of them, and keep the copies.
So a JPEG or a PNG is given to it as a file in which they are left out, and nothing is copied. What comes after the
first pixels stays as it is.
"""

import re
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from io import SEEK_SET, BufferedReader, BytesIO, RawIOBase
from itertools import accumulate
from struct import unpack_from
from typing import Any, BinaryIO

from service.domain.errors import InvalidImage

from . import Bytes
from .avif import mended
from .jpeg import segments_of

_BLOCK = 64 * 1024  # bytes, as much as Pillow reads at a time
_SOS = 0xDA
# Of a JPEG's APPn segments and comments what says how pixels are to be shown, each by how it begins, and the least
# length (which counts its own two bytes) that libjpeg takes it for what it says from. Pillow fails at shorter ones.
_APPLICATIONS = frozenset({*range(0xE0, 0xF0), 0xFE})
_SEEN = ((0xE0, b"JFIF\0", 16), (0xE1, b"Exif\0\0", 8), (0xE2, b"ICC_PROFILE\0", 16), (0xEE, b"Adobe", 14))
_ANCILLARY = 0x20  # a bit of a chunk's first letter (PNG, third edition, section 5.4)
_MAX_CHUNKS = 100_000  # of a PNG, 1 us each
# Chunks without which all pixels are there: where they are damaged they count as not there, as in browsers.
METADATA = frozenset(
    b"cHRM cICP gAMA iCCP mDCV cLLI sBIT sRGB bKGD hIST pHYs sPLT eXIf tIME tEXt iTXt zTXt".split()
)
_IEND = b"\0\0\0\0IEND\xae\x42\x60\x82"
MAX_PROFILE = 8_000_000  # bytes that a colour profile inflates to, as many as browsers take (libpng's default)
_PROFILE = re.compile(rb"[^\0]{1,79}\0\0", re.DOTALL)  # its name, and that it is deflated
_TRANSPARENCY = {0: range(2, 3), 2: range(6, 7), 3: range(1, 257)}  # lengths of tRNS, by colour type


def decodable(data: Bytes, content_type: str) -> BinaryIO:
    """Return a picture of this type as the file to decode it from. Raises struct.error where bytes run out."""
    if content_type == "image/avif" and (copy := mended(memoryview(data))) is not None:
        return spliced([copy])
    parts = {"image/jpeg": _jpeg, "image/png": _png}.get(content_type)
    return spliced(parts(memoryview(data))) if parts else BytesIO(data)


def spliced(pieces: Iterable[Bytes]) -> BinaryIO:
    """Return pieces of memory as one file. Nothing is copied."""
    return Spliced(map(memoryview, pieces))


def _jpeg(view: memoryview) -> Iterator[memoryview]:
    """Yield each segment that is to be seen, without fill; the last piece begins with the first scan."""
    yield view[:2]
    at = 2
    for code, body in segments_of(view, at):
        if code == _SOS:
            at = body - 2
            break
        (length,) = unpack_from(">H", view, body)
        at = body + length
        if code not in _APPLICATIONS or any(
            code == marker and length >= least and view[body + 2 : body + 2 + len(name)] == name
            for marker, name, least in _SEEN
        ):
            yield view[body - 2 : at]
    yield view[at:]


def _png(view: memoryview) -> Iterator[memoryview]:
    kept, behind, profiles = 0, False, 0
    for at, kind, body in png_chunks(view):
        seen = seen_in_png(kind, body, view[25], behind=behind) and not (kind == b"iCCP" and profiles)
        seen = seen and (kind not in METADATA or has_right_checksum(view, at, len(body)))
        profiles += kind == b"iCCP"
        behind = behind or kind == b"IDAT"
        if not seen:
            yield view[kept:at]
            kept = at + 12 + len(body)
    yield view[kept:]


def png_chunks(view: memoryview) -> Iterator[tuple[int, bytes, memoryview]]:
    """Yield where each chunk of a PNG begins, its kind and its body, up to IEND (third edition, section 5.3).

    IEND may be missing, or cut off, behind pixels. Raises InvalidImage where they are too many, struct.error where
    the bytes run out.
    """
    at, kind, pixels = 8, b"", False
    for _ in range(_MAX_CHUNKS):
        if kind == b"IEND" or (pixels and _IEND.startswith(view[at:])):
            return
        length, kind = unpack_from(">I4s", view, at)
        pixels = pixels or kind == b"IDAT"
        yield at, kind, view[at + 8 : at + 8 + length]
        at += 12 + length
    raise InvalidImage("The PNG has too many chunks.")


def has_right_checksum(view: memoryview, at: int, length: int) -> bool:
    """Return whether the chunk of a PNG that begins here, with a body of so many bytes, has its checksum."""
    return bool(unpack_from(">I", view, at + 8 + length)[0] == zlib.crc32(view[at + 4 : at + 8 + length]))


def seen_in_png(kind: bytes, body: memoryview, colour_type: int, *, behind: bool) -> bool:
    """Return whether a decoder has to see a chunk; `behind` tells that it comes after the first pixels.

    Of what is not pixels that is only what says how they are to be shown, where it is whole and in its place. The
    rest cannot make a picture bad, as in browsers.
    """
    if kind == b"tRNS":
        return not behind and len(body) in _TRANSPARENCY.get(colour_type, ())
    if kind == b"iCCP":
        return not behind and _inflates(body)
    return (kind == b"eXIf" and not behind) or not kind[0] & _ANCILLARY


def _inflates(body: memoryview) -> bool:
    """Return whether the body of an iCCP is a profile: whole, and not larger than one may be."""
    name = _PROFILE.match(body)
    if name is None:
        return False
    inflating = zlib.decompressobj()
    try:
        inflating.decompress(body[name.end() :], MAX_PROFILE)
    except zlib.error:
        return False
    return inflating.eof


class Spliced(BufferedReader):
    """Pieces of memory, as one file."""

    def __init__(self, pieces: Iterable[memoryview]) -> None:
        """Read these, one after the other."""
        self.pieces = tuple(pieces)
        super().__init__(_Pieces(self.pieces), _BLOCK)


class _Pieces(RawIOBase):
    def __init__(self, pieces: Sequence[memoryview]) -> None:
        self._pieces = pieces
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
