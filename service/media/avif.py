"""What an AVIF's container and its AV1 data tell before anything is decoded.

libavif trusts the size that the container says, and scales what it decodes to it: 2 KB that say 64 x 64 pixels can
take gigabytes. So no AV1 picture in it may be larger; and its tables are limited, since libavif searches them one
by one. What it refuses and browsers show is put right before it sees it.
Sections are of ISO/IEC 14496-12, unless they say AV1.
"""

import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import count, islice, repeat
from struct import error, iter_unpack, pack_into, unpack_from

from service.domain.errors import InvalidImage

from .surveys import FRAME_FLOOR

_MAX_PARTS = 100_000  # boxes, AV1 units
_MAX_PICTURES = 16  # of an item or a sample: the one that is shown, and those that it is made of
_PICTURES = frozenset({3, 6})  # kinds of AV1 units (AV1 section 6.2.2)
_MAX_TABLES = 256 * 1024  # bytes of tables, weighed; room for 1,000 tiles or 10,000 frames
_SLACK = 4  # times what the items may have together
_SHARED = 1024 * 1024  # bytes that items may have in common: tiles of the same colour are written once
_METADATA = re.compile(rb"Exif|mime")
_DURATIONS = {b"mvhd": 24, b"tkhd": 28}  # where they are in version 1 of these boxes


def survey_avif(view: memoryview, max_pixels: int) -> int:
    """Return the area in pixels of the largest AV1 picture, of all items and samples. Raises InvalidImage."""
    boxes = list(islice(_boxes(view), _MAX_PARTS))
    if len(boxes) == _MAX_PARTS or sum(_WEIGHTS.get(kind, 0) * len(body) for kind, body in boxes) > _MAX_TABLES:
        raise InvalidImage("The AVIF has too many parts.")
    units = length = items = largest = 0
    for stream, is_sample in _av1_streams(boxes, view):
        area = pictures = 0
        for kind, unit in _av1_units(stream):
            units += 1
            pictures += kind in _PICTURES
            if units > _MAX_PARTS or pictures > _MAX_PICTURES:
                raise InvalidImage("The AVIF has too many parts.")
            if kind == 1:
                area = max(area, _sequence_area(unit))
        length += len(stream)
        items += 0 if is_sample else max(area * max(pictures, 1), FRAME_FLOOR)
        largest = max(area, largest)
        if length > 2 * len(view) + _SHARED or items > max(_SLACK * max_pixels, 16 * FRAME_FLOOR):
            raise InvalidImage("The AVIF's items or samples are larger than the size limit of images.")
    return largest


def code_points(view: memoryview) -> tuple[int, int] | None:
    """Return primaries and transfer characteristics (ITU-T H.273) of a picture, None if its container has none.

    They are in a colr box (section 12.1.5) of the primary item, or of the first track where that is played. Never
    raises.
    """
    try:
        for kind, body in _properties(list(islice(_boxes(view), _MAX_PARTS))):
            if kind == b"colr" and bytes(body[:4]) == b"nclx":
                return unpack_from(">HH", body, 4)
    except (KeyError, IndexError, error):
        pass
    return None


def _properties(boxes: Sequence[tuple[bytes, memoryview]]) -> Iterator[tuple[bytes, memoryview]]:
    """Yield what is said of the picture: an item's properties (section 8.11.14), or a sample entry's (8.5.2)."""
    only = dict(reversed(boxes))
    if bytes(only[b"ftyp"][:4]) == b"avis":
        tables = dict(_boxes(only[b"stbl"], b"stbl"))
        for _codec, entry in islice(_boxes(tables[b"stsd"][8:], b"stsd"), 1):
            yield from islice(_boxes(entry[78:], b"av01"), _MAX_PARTS)
    else:
        pitm, described = only[b"pitm"], list(islice(_boxes(only[b"ipco"], b"ipco"), _MAX_PARTS))
        (item,) = unpack_from(">I" if pitm[0] else ">H", pitm, 4)
        yield from (described[number - 1] for number in _associated(only[b"ipma"], item) if number)


def _associated(ipma: memoryview, wanted: int) -> Iterator[int]:
    """Yield the numbers, from 1, of an item's properties. Raises struct.error, IndexError."""
    wide, (count,) = ipma[3] & 1, unpack_from(">I", ipma, 4)
    at = 8
    for _ in range(count):
        (item,) = unpack_from(">I" if ipma[0] else ">H", ipma, at)
        at += 4 if ipma[0] else 2
        numbers = ipma[at + 1 : at + 1 + ipma[at] * (1 + wide)]
        at += 1 + len(numbers)
        if item == wanted:
            yield from (
                (each & 0x7FFF for (each,) in iter_unpack(">H", numbers))
                if wide
                else (each & 0x7F for each in numbers)
            )


def mended(view: memoryview) -> bytearray | None:
    """Return an AVIF as libavif reads it, of one that it refuses and browsers show; None if there is nothing to do.

    EXIF and XMP are hidden from it: no browser reads them, and bad ones would make the picture bad. Encoders such
    as cavif write a table of properties for each item, where there may be but one of the same version and flags
    (section 8.11.14.1): each gets flags of its own, by bits that have no meaning.
    """
    tables = [(kind, body) for kind, body in islice(_boxes(view), _MAX_PARTS) if kind in {b"iinf", b"ipma"}]
    if [kind for kind, _ in tables].count(b"ipma") < 2 and not any(_METADATA.search(body) for _, body in tables):
        return None
    copy, numbers = bytearray(view), count(0, 2)
    for kind, body in islice(_boxes(memoryview(copy)), _MAX_PARTS):
        if kind == b"ipma":
            body[3] |= next(numbers) & 0xFF
        elif kind == b"iinf":
            for _, entry in _boxes(body[8 if body[0] else 6 :]):  # infe, section 8.11.6
                place = 10 if entry[0] == 3 else 8
                if _METADATA.match(entry, place):
                    entry[place : place + 4] = b"skip"
    return copy


def plays_of_avif(view: memoryview) -> int:
    """Return how often a sequence plays, 0 for without end (ISO/IEC 23008-12 section 9.6.1)."""
    lasts = 0
    for kind, body in islice(_boxes(view), _MAX_PARTS):
        if kind == b"tkhd":
            (lasts,) = unpack_from(">Q", body, 28) if body[0] else unpack_from(">I", body, 20)
        elif kind == b"edts":
            if not body[11] & 1:
                return 1
            once, without_end = _once(body), lasts in {2**64 - 1, 2**32 - 1}
            return 0 if without_end or not once else -(-lasts // once)
    return 0


def with_plays(data: bytes, plays: int) -> bytes:
    """Return a sequence that libavif wrote to play without end as one that plays so often; 0 changes nothing."""
    copy = bytearray(data)
    boxes = list(_boxes(memoryview(copy)))
    once = next(_once(body) for kind, body in boxes if kind == b"edts")
    for kind, body in boxes if plays else ():
        if kind in _DURATIONS:
            pack_into(">Q", body, _DURATIONS[kind], once * plays)
    return bytes(copy)


def _once(edts: memoryview) -> int:
    """Return how long an edit list (section 8.6.6) takes."""
    (duration,) = unpack_from(">Q" if edts[8] else ">I", edts, 16)
    return int(duration)


# Boxes that have tables in them, by the box they are in themselves; and what a byte of each table weighs, since
# libavif searches the first four one by one (40,000 items, 1.6 MB, take it 3 s).
_PARENTS = {b"meta": b"", b"iprp": b"meta", b"moov": b"", b"trak": b"moov", b"mdia": b"trak", b"minf": b"mdia"}
_WEIGHTS = {b"iloc": 4, b"iinf": 4, b"iref": 4, b"ipma": 4, b"stbl": 1}


def _boxes(view: memoryview, parent: bytes = b"") -> Iterator[tuple[bytes, memoryview]]:
    """Yield type and body of each box (section 4.2) up to a tail; for those in _PARENTS, the boxes inside."""
    at = 0
    while at + 8 <= len(view):
        size, kind = unpack_from(">I4s", view, at)
        body = at + 8
        if size == 1:
            (size,) = unpack_from(">Q", view, body)
            body += 8
        end = at + size if size else len(view)
        if not body <= end <= len(view) or (at and kind == b"ftyp"):
            return
        if _PARENTS.get(kind) == parent:
            yield from _boxes(view[body + 4 * (kind == b"meta") : end], kind)
        else:
            yield kind, view[body:end]
        at = end


def _av1_streams(
    boxes: Sequence[tuple[bytes, memoryview]], view: memoryview
) -> Iterator[tuple[bytes | memoryview, bool]]:
    """Yield every item and sample, and whether it is a sample; those that are not AV1 too, which does no harm."""
    origins = [view, *(body for kind, body in boxes if kind == b"idat")]
    for kind, body in boxes:
        if kind == b"iloc":
            yield from ((item, False) for item in _items(body, origins))
        elif kind == b"stbl":
            yield from ((sample, True) for sample in samples_of(body, view))


def _items(iloc: memoryview, origins: Sequence[memoryview]) -> Iterator[bytes | memoryview]:
    """Yield what iloc locates; its construction methods count from origins of their own."""
    for _item, method, extents in extents_of(iloc):
        parts = [origins[method][start : start + size] for start, size in extents]
        if sum(map(len, parts)) > len(origins[method]):
            raise InvalidImage("An item of the AVIF is larger than the file.")
        yield parts[0] if len(parts) == 1 else b"".join(parts)


def extents_of(iloc: memoryview) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Yield number, construction method and extents (start and size) of each item in the box (section 8.11.3)."""
    table = BytesIO(iloc)

    def take(size: int) -> int:
        field = table.read(size)
        if len(field) < size:
            raise ValueError
        return int.from_bytes(field, "big")

    version, _flags, sizes = take(1), take(3), take(2)
    offset_size, length_size, base_size, index_size = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    for _item in range(take(wide)):
        item, method, _reference, base = take(wide), take(2) & 15 if version else 0, take(2), take(base_size)
        extents = []
        for _extent in range(take(2)):
            _index, start = take(index_size if version else 0), base + take(offset_size)
            extents.append((start, take(length_size)))
        yield item, method, extents


def samples_of(stbl: memoryview, view: memoryview) -> Iterator[memoryview]:
    """Yield what a track's tables locate (section 8.7): sizes in stsz, chunks in stco or co64 and stsc."""
    tables = [(kind, body) for kind, body in _boxes(stbl, b"stbl") if kind in {b"stsz", b"stsc", b"stco", b"co64"}]
    only = dict(tables)
    if len(tables) != 3 or len(only) != 3:
        raise InvalidImage("The AVIF's tables are incomplete or ambiguous.")
    stsz, stsc = only.pop(b"stsz"), only.pop(b"stsc")
    (kind, chunks), *_ = only.items()

    size, count = unpack_from(">II", stsz, 4)
    sizes = repeat((size,)) if size else iter_unpack(">I", stsz[12 : 12 + 4 * count])
    (count,) = unpack_from(">I", stsc, 4)
    runs = {first: samples for first, samples, _description in iter_unpack(">III", stsc[8 : 8 + 12 * count])}
    samples = 0
    for number, (at,) in enumerate(iter_unpack(">Q" if kind == b"co64" else ">I", chunks[8:]), 1):
        samples = runs.get(number, samples)
        for (size,) in islice(sizes, samples):
            if at + size > len(view):
                raise InvalidImage("The image is truncated: frames are missing.")
            yield view[at : at + size]
            at += size  # noqa: PLW2901


def _av1_units(stream: bytes | memoryview) -> Iterator[tuple[int, bytes | memoryview]]:
    """Yield type and payload of each open bitstream unit (AV1 section 5.3)."""
    at = 0
    while at < len(stream):
        header = stream[at]
        at += 1 + (header >> 2 & 1)  # an extension has one byte
        size = 0 if header & 2 else len(stream) - at
        for place, byte in enumerate(stream[at : at + 8] if header & 2 else b""):  # leb128, section 4.10.5
            size |= (byte & 0x7F) << 7 * place
            at += 1
            if byte < 0x80:
                break
        yield header >> 3 & 15, stream[at : at + size]
        at += size


def _sequence_area(header: bytes | memoryview) -> int:
    """Return the largest area that a sequence header (AV1 section 5.5.1) gives its pictures."""
    head = bytes(header[:512])
    bits = f"{int.from_bytes(head, 'big'):0{8 * len(head)}b}"
    at = 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return int(bits[at - count : at] or "0", 2)

    take(4)  # seq_profile, still_picture
    if take(1):  # reduced_still_picture_header
        take(5)
    else:
        delay_length = 0
        if take(1):  # timing_info_present_flag
            take(64)
            if take(1):  # equal_picture_interval, and then a uvlc (section 4.10.3)
                zeros = bits.find("1", at) - at
                take(2 * zeros + 1 if 0 <= zeros < 32 else 32)
            if take(1):  # decoder_model_info_present_flag
                delay_length = take(5) + 1
                take(42)
        display_delay = take(1)
        for _operating_point in range(take(5) + 1):
            take(12)
            if take(5) > 7:
                take(1)
            if delay_length and take(1):
                take(2 * delay_length + 1)
            if display_delay and take(1):
                take(4)
    width_length, height_length = take(4) + 1, take(4) + 1
    return (take(width_length) + 1) * (take(height_length) + 1)
