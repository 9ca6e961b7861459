"""Taking out where a picture was made, without touching a pixel.

Coordinates are blanked where they stand, so nothing else moves: in EXIF (a GPS directory, EXIF 2.32 section 4.6.6,
in any of the pictures that one file may hold), in XMP (exif:GPS...), and in the video that phones put behind a
photograph (ISO 6709 strings). What a camera's maker keeps in notes of its own format is not understood, and stays.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from struct import pack_into, unpack_from

from . import Bytes

_TIFF = re.compile(rb"II\*\0|MM\0\*")
_GPS = 0x8825  # the tag that points to the directory
_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
}  # bytes of each TIFF type
_DIRECTORIES = 8  # of one TIFF structure: a picture, its thumbnail, few more
_XMP = re.compile(rb"""exif:GPS\w+\s*=\s*("[^"]*"|'[^']*')|<exif:GPS(\w+)[^>]*>.*?</exif:GPS\2\s*>""", re.DOTALL)
_ISO_6709 = re.compile(rb"[+-]\d{2}\.\d{3,}[+-]\d{3}\.\d{3,}(?:[+-]\d+(?:\.\d+)?)?/")
_DIGIT = re.compile(rb"[1-9]")
_PROFILES = b"Raw profile type "  # in which programs hide EXIF and XMP, in text that was compressed


def without_location(data: Bytes, content_type: str) -> bytes:
    """Return the picture with no coordinates in its metadata, its pixels as they were. Repeatable.

    It has the same length, but for a PNG's metadata that is compressed, which goes. `data` must have been verified.
    """
    if content_type == "image/png":
        return b"".join(_png(memoryview(data)))
    clean = bytearray(data)
    _blank(clean)
    return bytes(clean)


def _png(view: memoryview) -> Iterator[bytes]:
    """Yield a PNG's chunks, those of metadata blanked, with their checksums right again."""
    yield bytes(view[:8])
    at, kind = 8, b""
    while kind != b"IEND":
        length, kind = unpack_from(">I4s", view, at)
        end = at + 12 + length
        body = bytearray(view[at + 8 : end - 4])
        if kind in {b"eXIf", b"tEXt", b"iTXt"}:
            _blank(body)
        if not _is_compressed(kind, body):
            head = struct.pack(">I4s", length, kind)
            yield head + body + struct.pack(">I", zlib.crc32(kind + body))
        at = end
    if view[at:]:
        tail = bytearray(view[at:])
        _blank(tail)
        yield bytes(tail)


def _is_compressed(kind: bytes, body: bytearray) -> bool:
    """Return whether a chunk is metadata that hides what it says (PNG, third edition, section 11.3.3)."""
    if kind in {b"tEXt", b"zTXt"}:
        return body.startswith(_PROFILES)
    keyword, _, rest = body.partition(b"\0")
    return kind == b"iTXt" and keyword == b"XML:com.adobe.xmp" and rest[:1] == b"\1"


def _blank(metadata: bytearray) -> None:
    for found in _TIFF.finditer(bytes(metadata)):
        try:
            _blank_gps(metadata, found.start())
        except struct.error:
            continue  # four bytes that look like the beginning of EXIF
    for found in _XMP.finditer(bytes(metadata)):
        metadata[found.start() : found.end()] = b" " * (found.end() - found.start())
    for found in _ISO_6709.finditer(bytes(metadata)):
        metadata[found.start() : found.end()] = _DIGIT.sub(b"0", found[0])


def _blank_gps(metadata: bytearray, base: int) -> None:
    """Take the GPS directory out of the TIFF structure that begins at `base`. Raises struct.error."""
    order = "<" if metadata[base : base + 1] == b"I" else ">"
    (at,) = unpack_from(order + "I", metadata, base + 4)
    for _ in range(_DIRECTORIES):
        if not at:
            return
        directory = base + at
        (entries,) = unpack_from(order + "H", metadata, directory)
        number = 0
        while number < entries:
            entry = directory + 2 + 12 * number
            tag, kind, count, value = unpack_from(order + "HHII", metadata, entry)
            if tag == _GPS and kind in {4, 13} and count == 1:
                _zero_directory(metadata, base, base + value, order)
                entries = _remove_entry(metadata, directory, number, entries, order)
            else:
                number += 1
        (at,) = unpack_from(order + "I", metadata, directory + 2 + 12 * entries)


def _zero_directory(metadata: bytearray, base: int, directory: int, order: str) -> None:
    (entries,) = unpack_from(order + "H", metadata, directory)
    for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
        _, kind, count, value = unpack_from(order + "HHII", metadata, entry)
        size = _SIZES.get(kind, 1) * count
        if size > 4 and base + value + size <= len(metadata):
            metadata[base + value : base + value + size] = bytes(size)
    whole = min(2 + 12 * entries, len(metadata) - directory)
    metadata[directory : directory + whole] = bytes(whole)


def _remove_entry(metadata: bytearray, directory: int, number: int, entries: int, order: str) -> int:
    """Close the gap of an entry, within its directory; return how many are left."""
    entry, end = directory + 2 + 12 * number, directory + 2 + 12 * entries + 4
    metadata[entry:end] = metadata[entry + 12 : end] + bytes(12)
    pack_into(order + "H", metadata, directory, entries - 1)
    return entries - 1
