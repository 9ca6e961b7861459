"""PNG, GIF and WebP without the place: in each, parts that are known to tell of none stay as they are."""

import struct
import zlib
from collections.abc import Iterator
from struct import unpack_from

from service.domain.errors import InvalidImage

from . import exif, xmp
from .effort import Effort
from .jpeg import clean_tail
from .segments import blank, rewrite
from .words import names_place, tells_place

# PNG, third edition, section 4.7, and its register of extensions: colours, sizes, time, frames.
_CHUNKS = frozenset(
    b"tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV mDCv cLLI cLLi bKGD hIST pHYs sPLT tIME acTL fcTL fdAT oFFs pCAL "
    b"sCAL sTER npTc".split()
)
_ANCILLARY = 0x20  # a bit of a chunk's first letter
_RAW = "Raw profile type "  # in which programs hide EXIF and XMP, as text
_PNG_XMP = "XML:com.adobe.xmp"

_EXTENSIONS = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")  # a GIF's: loops, and a profile
_GIF_XMP = b"XMP DataXMP"
# By which the decoders of a GIF get out of XMP, which is not cut into blocks (XMP specification, part 3, 1.1.2).
_TRAILER = bytes([1, *range(255, -1, -1), 0])

_FRAME, _FRAME_HEAD = b"ANMF", 16  # bytes
_WEBP = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ICCP"})  # RFC 9649 section 2.7


def clean_png(view: memoryview, effort: Effort) -> Iterator[bytes | memoryview]:
    """Yield what is left of a PNG file: its chunks, but for those that may tell of a place."""
    at, kept, kind = 8, 0, b""
    while kind != b"IEND":
        length, kind = unpack_from(">I4s", view, at)
        end = at + 12 + length
        if kind[0] & _ANCILLARY and kind not in _CHUNKS:
            yield view[kept:at]
            kept = end
            if body := _clean_chunk(kind, bytes(view[at + 8 : end - 4]), effort):
                yield struct.pack(">I4s", length, kind) + body + struct.pack(">I", zlib.crc32(kind + body))
        at = end
    clean_tail(view[at:], effort)
    yield view[kept:]


def _clean_chunk(kind: bytes, body: bytes, effort: Effort) -> bytes:
    """Return what a chunk of metadata may say, of the same length; nothing where it is to go."""
    if kind == b"eXIf":
        return exif.without_places(body, effort)
    if kind not in {b"tEXt", b"iTXt"}:
        return b""  # of no standard, or compressed
    key, _, text = body.partition(b"\0")
    keyword = key.decode("latin-1")
    if kind == b"iTXt" and text[:1] == b"\1":
        return b""
    if keyword == _PNG_XMP and kind == b"iTXt":
        before = len(body) - len(text.split(b"\0", 4)[-1])  # flag and method, language, the keyword in it
        return body[:before] + xmp.without_places(body[before:], effort)
    return b"" if keyword.startswith(_RAW) or names_place(keyword) or tells_place(body) else body


def clean_gif(view: memoryview, effort: Effort) -> Iterator[memoryview]:
    """Yield what is left of a GIF file: its blocks, but for comments and extensions that may tell of a place."""
    at = 13 + _colour_table(view[10])
    kept = 0
    while (kind := view[at]) != 0x3B:
        start = at
        at = _after_blocks(view, at + (2 if kind == 0x21 else 11 + _colour_table(view[at + 9])))
        if kind == 0x21 and not (effort.allows() and _clean_extension(view[start:at], effort)):
            yield view[kept:start]
            kept = at
    clean_tail(view[at + 1 :], effort)
    yield view[kept:]


def _colour_table(flags: int) -> int:
    return 3 * 2 ** (flags % 8 + 1) if flags & 0x80 else 0


def _after_blocks(view: memoryview, at: int) -> int:
    while size := view[at]:
        at += 1 + size
    return at + 1


def _clean_extension(block: memoryview, effort: Effort) -> bool:
    """Clean an extension (GIF89a sections 23 to 26); return whether it may stay."""
    label, body = block[1], block[3:]
    if label != 0xFF:  # control of what is shown, a text that is, a comment
        return label != 0xFE or not tells_place(b"".join(_blocks(block, 2)))
    name = bytes(body[:11])
    packet = body[11 : len(body) - len(_TRAILER)]
    if name == _GIF_XMP and bytes(body[11 + len(packet) :]) == _TRAILER:
        rewrite([packet], xmp.without_places, effort)
        return _after_blocks(block, 2) == len(block)  # blanks lead to the end as well
    return name in _EXTENSIONS


def _blocks(view: memoryview, at: int) -> Iterator[memoryview]:
    while size := view[at]:
        yield view[at + 1 : at + 1 + size]
        at += 1 + size


def clean_webp(view: memoryview, effort: Effort) -> None:
    """Take places out of a WebP file, in place. Raises InvalidImage for one of too many chunks."""
    end = min(8 + unpack_from("<I", view, 4)[0], len(view))
    for kind, body in _chunks(view[12:end]):
        if not effort.allows():
            raise InvalidImage("The location cannot be removed: the WebP has too many chunks.")
        if kind == b"EXIF":
            rewrite([body], exif.without_places, effort)
        elif kind == b"XMP ":
            rewrite([body], xmp.without_places, effort)
        elif kind not in _WEBP:
            blank(body)
    clean_tail(view[end:], effort)


def _chunks(view: memoryview, level: int = 0) -> Iterator[tuple[bytes, memoryview]]:
    """Yield type and body of each chunk, those in frames as well."""
    at = 0
    while at + 8 <= len(view):
        kind, length = unpack_from("<4sI", view, at)
        body = view[at + 8 : at + 8 + length]
        if kind == _FRAME and level == 0:
            yield from _chunks(body[_FRAME_HEAD:], 1)
        else:
            yield kind, body
        at += 8 + length + length % 2
