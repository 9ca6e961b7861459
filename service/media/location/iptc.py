"""IPTC's datasets and Photoshop's resources without the place (IIM 4.2; Adobe Photoshop File Formats).

Both are sequences of small parts.
"""

from collections.abc import Iterator
from struct import unpack_from

from .effort import Effort
from .segments import without_metadata
from .words import tells_place
from .xmp import without_places as xmp_without_places

# Record 2: content location (code, name), city, sublocation, province, country (code, name).
_PLACES = frozenset({26, 27, 90, 92, 95, 100, 101})

_RESOURCE = (b"8BIM", b"MeSa", b"PHUT", b"AgHg", b"DCSR")
_IPTC, _XMP, _THUMBNAILS = 0x0404, 0x0424, (0x0409, 0x040C)
# EXIF, which is in a segment of its own as well, where everybody looks for it; and what plug-ins keep.
_DROPPED = frozenset({0x0422, 0x0423, *range(4000, 5000)})
_THUMBNAIL_HEAD = 28  # bytes


def iptc_without_places(block: bytes, effort: Effort) -> bytes:
    """Return IPTC datasets of the same length: without those of a place, and zeros at the end."""
    kept = b"".join(
        data for number, data in _datasets(block, effort) if number not in _PLACES and not tells_place(data)
    )
    return kept.ljust(len(block), b"\0")


def _datasets(block: bytes, effort: Effort) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the bytes of each dataset; other records than the second have number 0."""
    at = 0
    while at + 5 <= len(block) and block[at] == 0x1C and effort.allows():
        record, number, size = unpack_from(">BBH", block, at + 1)
        end = at + 5 + size
        if size & 0x8000:  # so many bytes have the size
            more = size & 0x7FFF
            end = at + 5 + more + int.from_bytes(block[at + 5 : at + 5 + more][-8:], "big")
        if end > len(block):
            return
        yield number if record == 2 else 0, block[at:end]
        at = end


def resources_without_places(block: bytes, effort: Effort) -> bytes:
    """Return image resource blocks of the same length, those with metadata cleaned."""
    clean, at = bytearray(len(block)), 0
    while at + 12 <= len(block) and block[at : at + 4] in _RESOURCE and effort.allows():
        (number,) = unpack_from(">H", block, at + 4)
        size_at = at + 6 + (block[at + 6] + 2) // 2 * 2  # behind a name, and padding to an even length
        if size_at + 4 > len(block):
            break
        start = size_at + 4
        end = start + unpack_from(">I", block, size_at)[0]
        if end > len(block):
            break
        clean[at:start] = block[at:start]
        clean[start:end] = _resource(number, block[start:end], effort)
        at = end + end % 2
    return bytes(clean)


def _resource(number: int, data: bytes, effort: Effort) -> bytes:
    if number == _IPTC:
        return iptc_without_places(data, effort)
    if number == _XMP:
        return xmp_without_places(data, effort)
    if number in _THUMBNAILS:
        return data[:_THUMBNAIL_HEAD] + without_metadata(data[_THUMBNAIL_HEAD:], effort)
    return bytes(len(data)) if number in _DROPPED else data
