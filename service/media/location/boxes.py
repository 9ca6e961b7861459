"""AVIF, and the videos behind photographs, in the boxes of ISO/IEC 14496-12 (MP4, QuickTime): without the place.

What a box is for decides: those that pictures and sound need stay, any other becomes free space. So do tracks of
neither (the way of a camera in GPS positions), with their samples.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from struct import unpack_from
from types import MappingProxyType

from service.domain.errors import InvalidImage
from service.media.avif import extents_of, samples_of

from . import exif, xmp
from .effort import Effort
from .segments import blank, rewrite

_MOST_TABLE = 64 * 1024  # bytes, of places of items
_PER_SAMPLE = 8  # bytes that each sample counts as, beside its own
_FILE = frozenset(b"ftyp styp mdat moov moof mfra sidx free skip wide pdin".split())
_MOVIE = frozenset(b"mvhd trak mvex iods free".split())
_TRACK = frozenset(b"tkhd mdia edts tref tapt load clef free".split())
_MEDIA = frozenset(b"mdhd hdlr minf elng free".split())
_ITEMS = frozenset(b"hdlr pitm iinf iloc iprp iref idat dinf grpl ipro free".split())
_SHOWN = frozenset(b"vide soun pict auxv".split())  # what a track may be (its handler)


class _Box:
    """A box in memory that may be changed."""

    def __init__(self, view: memoryview, at: int) -> None:
        size, kind = unpack_from(">I4s", view, at)
        body = at + 8
        if size == 1:
            (size,) = unpack_from(">Q", view, body)
            body += 8
        self.kind = bytes(kind)
        self.end = at + size if size else len(view)
        self.is_whole = body <= self.end <= len(view)
        self._name = view[at + 4 : at + 8]
        self.body = view[body : self.end]

    def free(self) -> None:
        """Make it free space (section 8.1.2)."""
        self._name[:] = b"free"
        blank(self.body)


def clean_video(view: memoryview, effort: Effort) -> int:
    """Take places out of the MP4 or QuickTime file that begins here, in place; return where it ends.

    What has tables that nobody can follow is blank as a whole.
    """
    file, end = _File(view, effort), 0
    try:
        for box in file.boxes(view):
            if not box.kind.isalnum() or (end and box.kind == b"ftyp"):
                break  # something else begins
            if box.kind == b"moov":
                file.clean_movie(box.body, with_items=False)
            elif box.kind not in _FILE:
                box.free()
            end = box.end
    except Exception:  # noqa: BLE001 - whatever it is, what remains is not looked at
        blank(view)
        return len(view)
    return max(end, 8)


def clean_avif(view: memoryview, effort: Effort) -> int:
    """Take places out of an AVIF, in place; return where it ends. Raises InvalidImage, or as broken tables do."""
    file, end = _File(view, effort), 0
    for box in file.boxes(view):
        if end and box.kind == b"ftyp":
            break
        if box.kind == b"meta":
            file.clean_items(box)
        elif box.kind == b"moov":
            file.clean_movie(box.body, with_items=True)
        elif box.kind == b"mpvd":  # a motion photo's video
            clean_video(box.body, effort)
        elif box.kind not in _FILE:
            box.free()
        end = box.end
    return end


class _File:
    """A file of boxes, from whose beginning the places in its tables count."""

    def __init__(self, view: memoryview, effort: Effort) -> None:
        self._view, self._effort = view, effort

    def boxes(self, view: memoryview) -> Iterator[_Box]:
        """Yield the boxes in a part of the file, up to one that is not whole. Raises InvalidImage of too many."""
        at = 0
        while at + 8 <= len(view) and (box := _Box(view, at)).is_whole:
            if not self._effort.allows():
                raise InvalidImage("The location cannot be removed: the file has too many parts.")
            yield box
            at = box.end

    def clean_movie(self, moov: memoryview, *, with_items: bool) -> None:
        """Clean the tracks, and what is around them. Raises InvalidImage, or what broken tables lead to."""
        for box in self.boxes(moov):
            if box.kind == b"trak":
                self._clean_track(box, with_items=with_items)
            elif box.kind == b"meta" and with_items:
                self.clean_items(box)
            elif box.kind not in _MOVIE:
                box.free()

    def _clean_track(self, trak: _Box, *, with_items: bool) -> None:
        handler, tables = b"", []
        for box in self.boxes(trak.body):
            if box.kind == b"meta" and with_items:
                self.clean_items(box)
            elif box.kind not in _TRACK:
                box.free()
            elif box.kind == b"mdia":
                media = list(self.boxes(box.body))
                handler = b"".join(bytes(each.body[8:12]) for each in media if each.kind == b"hdlr")
                tables += [table for each in media if each.kind == b"minf" for table in self._tables(each)]
                for each in media:
                    if each.kind not in _MEDIA:
                        each.free()
        if handler not in _SHOWN:
            for stbl in tables:
                self._blank_all(samples_of(stbl, self._view))
            trak.free()

    def _tables(self, minf: _Box) -> list[memoryview]:
        return [each.body for each in self.boxes(minf.body) if each.kind == b"stbl"]

    def clean_items(self, meta: _Box) -> None:
        """Clean the items that are metadata (section 8.11). Raises as `clean_movie` does.

        A box that has no items has metadata of another kind, which nobody needs who shows the picture.
        """
        boxes = {box.kind: box for box in self.boxes(meta.body[4:])}
        if b"iloc" not in boxes or b"iinf" not in boxes:
            meta.free()
            return
        for kind, box in boxes.items():
            if kind not in _ITEMS:
                box.free()
        iloc = boxes[b"iloc"].body
        if len(iloc) > _MOST_TABLE:
            raise InvalidImage("The location cannot be removed: the AVIF has too many items.")
        kinds = dict(self._kinds(boxes[b"iinf"].body))
        origins = [self._view, *(boxes[kind].body for kind in (b"idat",) if kind in boxes)]
        parts: dict[int, list[memoryview]] = {}
        for item, method, extents in extents_of(iloc):
            if item not in kinds:
                continue
            if method >= len(origins):
                raise InvalidImage("The location cannot be removed: the AVIF's metadata refers to other items.")
            parts[item] = [origins[method][start : start + size] for start, size in extents]
        if sum(len(part) for each in parts.values() for part in each) > len(self._view):
            raise InvalidImage("The location cannot be removed: the AVIF's metadata items overlap.")
        for item, each in parts.items():
            rewrite(each, _CLEANERS[kinds[item]], self._effort)

    def _kinds(self, iinf: memoryview) -> Iterator[tuple[int, bytes]]:
        """Yield the number of each item that is metadata, and its type (section 8.11.6): "xmp" of a mime type."""
        for box in self.boxes(iinf[6 if iinf[0] == 0 else 8 :]):
            info = bytes(box.body)
            wide = 4 if info[0] == 3 else 2
            item = int.from_bytes(info[4 : 4 + wide], "big")
            kind = info[6 + wide : 10 + wide] if info[0] >= 2 else b"mime"
            if kind == b"mime" and b"\0application/rdf+xml\0" in info + b"\0":
                kind = b"xmp"
            if kind in _CLEANERS:
                yield item, kind

    def _blank_all(self, parts: Iterable[memoryview]) -> None:
        left = 2 * len(self._view)
        for part in parts:
            left -= len(part) + _PER_SAMPLE
            if left < 0:
                raise InvalidImage("The location cannot be removed: the samples of a track overlap.")
            blank(part)


def _clean_exif(item: bytes, effort: Effort) -> bytes:
    """Return an item of EXIF, which says first how many bytes before the TIFF header are none of it."""
    (skipped,) = unpack_from(">I", item)
    start = 4 if item[4 : 4 + skipped] == exif.PREFIX else min(4 + skipped, len(item))
    return item[:4] + bytes(start - 4) + exif.without_places(item[start:], effort)


def _zeros(item: bytes, _: Effort) -> bytes:
    return bytes(len(item))


# By the type of an item, all but pictures and what they are made of.
_CLEANERS: Mapping[bytes, Callable[[bytes, Effort], bytes]] = MappingProxyType(
    {b"Exif": _clean_exif, b"xmp": xmp.without_places, b"mime": _zeros, b"uri ": _zeros}
)
