"""EXIF without the place (EXIF 2.32 section 4.6, TIFF 6.0 section 2): what is known to be none is kept.

Each directory is read once, and what no known tag leads to is zero afterwards: the GPS directory, whatever type
its pointer has; the notes of a camera's maker, which are in a format of its own and may have coordinates; and what
other programs left behind.
"""

import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from struct import calcsize, pack, unpack_from
from types import MappingProxyType

from service.domain.errors import InvalidImage
from service.media.exif import exif_orientation

from .effort import Effort
from .iptc import iptc_without_places, resources_without_places
from .segments import without_metadata
from .words import tells_place
from .xmp import without_places as xmp_without_places

PREFIX = b"Exif\0\0"
_ORDERS: Mapping[bytes, str] = MappingProxyType({b"II*\0": "<", b"MM\0*": ">"})
_EMPTY = 14  # bytes of a structure that says nothing: a header, and a directory without entries

_MOST_DIRECTORIES = 64  # a picture, its thumbnail, few more
_MOST_VALUES = 2  # times the structure's length, for all values together: some share one

_SIZES = dict(zip(range(1, 14), (1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), strict=True)) | {129: 1}  # of TIFF's types
_FORMATS: Mapping[int, str] = MappingProxyType({3: "H", 4: "I", 8: "h", 9: "i", 13: "I"})

_SUB_DIRECTORIES = frozenset({0x014A, 0x8769, 0xA005})  # SubIFDs, Exif, Interoperability
_ORIENTATION, _MAKER_NOTE, _GDAL_METADATA = 0x0112, 0x927C, 0xA480
_THUMBNAIL, _STRIPS = (0x0201, 0x0202), (0x0111, 0x0117)  # where they are, how long they are
# Tags that are known to tell of no place, but for their text: TIFF's own; Copyright, ExposureTime and FNumber; the
# Exif directory; the profile; programs and sensitivities; Exif's; XPTitle to XPSubject; Exif's; Gamma; PrintIM;
# Padding and OffsetSchema.
_KNOWN = (
    *(range(0x8000), range(0x8298, 0x829E), range(0x8769, 0x876A), range(0x8773, 0x8774), range(0x8822, 0x8825)),
    *(range(0x8827, 0x882A), range(0x8830, 0x8836), range(0x9000, 0x9500), range(0x9C9B, 0x9CA0)),
    *(range(0xA000, _GDAL_METADATA), range(0xA500, 0xA501), range(0xC4A5, 0xC4A6), range(0xEA1C, 0xEA1E)),
)
_GEOTIFF = frozenset({0x830E, 0x8482, 0x85D8, 0x87AF, 0x87B0, 0x87B1})
_DROPPED = _GEOTIFF | {_MAKER_NOTE}

_TEXT_KINDS = frozenset({2, 129})  # ASCII, UTF-8
_TEXTS = frozenset({0x9286, *range(0x9C9B, 0x9CA0)})  # UserComment; XPTitle to XPSubject

_CLEANERS: Mapping[int, Callable[[bytes, Effort], bytes]] = MappingProxyType(
    {0x02BC: xmp_without_places, 0x83BB: iptc_without_places, 0x8649: resources_without_places}
)


def without_places(block: bytes, effort: Effort) -> bytes:
    """Return EXIF of the same length, with or without the prefix that JPEG has before it, the place taken out.

    Raises InvalidImage where that would turn the picture, which no camera's EXIF leads to.
    """
    prefix = PREFIX if block.startswith(PREFIX) else b""
    clean = prefix + _tiff(block[len(prefix) :], effort)
    if exif_orientation(clean) != exif_orientation(block):
        raise InvalidImage(
            "The location cannot be removed: the EXIF metadata has too many entries. "
            "Remove the EXIF metadata first, or upload with strip_location false."
        )
    return clean


def begins(block: bytes) -> bool:
    """Return whether EXIF begins behind this prefix, not goes on."""
    return block[len(PREFIX) :][:4] in _ORDERS


def _tiff(tiff: bytes, effort: Effort) -> bytes:
    order = _ORDERS.get(tiff[:4])
    if order is None or len(tiff) < _EMPTY:
        return (b"II*\0\x08" + bytes(len(tiff)))[: len(tiff)]
    structure = _Structure(tiff, order, effort)
    structure.clean[:8] = tiff[:8]
    (first,) = unpack_from(order + "I", tiff, 4)
    pending = deque([first])
    for _ in range(_MOST_DIRECTORIES):
        if pending:
            pending += structure.keep_directory(pending.popleft())
    for at, directory in structure.directories.items():
        structure.clean[at : at + len(directory)] = directory  # last, so that no value can be in its place
    return bytes(structure.clean)


@dataclass(frozen=True, slots=True)
class _Entry:
    raw: bytes
    tag: int
    kind: int
    count: int
    value: int  # or where it is
    start: int  # of the value, wherever it is
    size: int  # bytes


@dataclass(slots=True)
class _Structure:
    """A TIFF structure, and what is kept of it at the places that it had: values in `clean`, and directories."""

    tiff: bytes
    order: str
    effort: Effort
    clean: bytearray = field(init=False)
    directories: dict[int, bytes] = field(default_factory=dict)
    values_left: int = field(init=False)

    def __post_init__(self) -> None:
        self.clean = bytearray(len(self.tiff))
        self.values_left = _MOST_VALUES * len(self.tiff)

    def keep_directory(self, at: int) -> list[int]:
        """Keep what is known of a directory; return where others are that it leads to.

        One that is not in the structure, or reaches into another, is none.
        """
        if not 8 <= at <= len(self.tiff) - 2:
            return []
        (stated,) = unpack_from(self.order + "H", self.tiff, at)
        count = min(stated, (len(self.tiff) - at - 2) // 12)
        following = at + 2 + 12 * count
        if any(at < start + len(other) and start < following for start, other in self.directories.items()):
            return []
        entries = [
            entry
            for n in range(count)
            if self.effort.allows() and (entry := self._entry(at + 2 + 12 * n)) and self._keep_value(entry)
        ]
        self._keep_thumbnail({entry.tag: entry for entry in entries})
        others = [place for entry in entries if entry.tag in _SUB_DIRECTORIES for place in self._numbers(entry)]
        end = b""
        if count == stated and following + 4 <= len(self.tiff):
            end = self.tiff[following : following + 4]
            others += unpack_from(self.order + "I", end)
        body = pack(self.order + "H", len(entries)) + b"".join(entry.raw for entry in entries) + end
        self.directories[at] = body.ljust(following + len(end) - at, b"\0")
        return others

    def _entry(self, at: int) -> _Entry | None:
        """Return the entry there, None where it may tell of a place."""
        tag, kind, count, value = unpack_from(self.order + "HHII", self.tiff, at)
        if tag in _DROPPED or not any(tag in known for known in _KNOWN):
            return None
        size = _SIZES.get(kind, 1) * count
        return _Entry(self.tiff[at : at + 12], tag, kind, count, value, at + 8 if size <= 4 else value, size)

    def _keep_value(self, entry: _Entry) -> bool:
        """Keep an entry's value, cleaned; return whether the entry may be kept."""
        if entry.size <= 4:
            return True
        if entry.start + entry.size > len(self.tiff) or not self._afford(entry.size):
            return entry.tag == _ORIENTATION  # everyone reads it from the entry itself
        value = self.tiff[entry.start : entry.start + entry.size]
        clean = _CLEANERS.get(entry.tag)
        if (entry.kind in _TEXT_KINDS or entry.tag in _TEXTS) and tells_place(value.replace(b"\0", b"")):  # UTF-16
            return False
        self.clean[entry.start : entry.start + entry.size] = clean(value, self.effort) if clean else value
        return True

    def _afford(self, size: int) -> bool:
        self.values_left -= size
        return self.values_left >= 0

    def _numbers(self, entry: _Entry) -> Iterator[int]:
        """Yield an entry's whole numbers, no more than there may be directories; of another type, its offset."""
        if entry.kind not in _FORMATS:
            yield entry.value
            return
        form = self.order + _FORMATS[entry.kind]
        for n in range(min(entry.count, _MOST_DIRECTORIES)):
            try:
                yield unpack_from(form, self.tiff, entry.start + n * calcsize(form))[0]
            except struct.error:
                return

    def _keep_thumbnail(self, entries: Mapping[int, _Entry]) -> None:
        for places, lengths in (_THUMBNAIL, _STRIPS):
            if places in entries and lengths in entries:
                for at, size in zip(self._numbers(entries[places]), self._numbers(entries[lengths]), strict=False):
                    data = self.tiff[at : at + size] if size > 0 else b""
                    if data and self._afford(len(data)):
                        self.clean[at : at + len(data)] = without_metadata(data, self.effort)
