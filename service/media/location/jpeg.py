"""JPEG files, with what follows the first picture: more pictures, and videos."""

import re

from . import exif, iptc, xmp
from .boxes import clean_video
from .effort import Effort
from .segments import SCAN, SOI, blank, rewrite, segments, shows
from .words import tells_place

_EXIF, _XMP = exif.PREFIX, b"http://ns.adobe.com/xap/1.0/\0"
_PHOTOSHOP = b"Photoshop 3.0\0"
_MORE_XMP = (
    b"http://ns.adobe.com/xmp/extension/\0"  # then whose it is (32 bytes), its length and its place in that (4)
)
_APP1, _APP13, _COMMENT = 0xE1, 0xED, 0xFE

_BEGINS = re.compile(rb"\xff\xd8\xff|[\0-\xff]{4}ftyp")
_PER_PICTURE = 16  # of the parts that are looked at: a picture is more work than a segment


def clean_jpeg(view: memoryview, effort: Effort) -> None:
    """Take places out of a JPEG file, in place."""
    clean_tail(view[_clean_picture(view, 0, effort) :], effort)


def clean_tail(view: memoryview, effort: Effort) -> None:
    """Take places out of what follows a picture: pictures and videos are cleaned, and nothing else is left."""
    at = 0
    while effort.allows(_PER_PICTURE) and (found := _BEGINS.search(view, at)):
        blank(view[at : found.start()])
        at = found.start()
        if view[at : at + len(SOI)] == SOI:
            at = _clean_picture(view, at, effort)
        else:
            at += clean_video(view[at:], effort)
    blank(view[at:])


class _Metadata:
    """The metadata of one picture, some of it in several segments. Of each kind the first is what programs read."""

    def __init__(self, effort: Effort) -> None:
        self._effort = effort
        self._exif: list[memoryview] = []
        self._xmp: list[memoryview] = []
        self._more_xmp: dict[bytes, memoryview] = {}
        self._whose = b""
        self._photoshop: list[memoryview] = []

    def take(self, code: int, body: memoryview) -> None:
        """Take a segment: blank it, or keep it for `clean`."""
        head = bytes(body[: len(_MORE_XMP) + 40])
        if code == _APP1 and head.startswith(_EXIF) and not (self._exif and exif.begins(head)):
            self._exif.append(body[len(_EXIF) :])
        elif code == _APP1 and head.startswith(_XMP) and not self._xmp:
            self._xmp.append(body[len(_XMP) :])
        elif code == _APP1 and head.startswith(_MORE_XMP) and head[-40:-8] in {self._whose or head[-40:-8]}:
            self._whose = head[-40:-8]
            self._more_xmp.setdefault(head[-4:], body[len(head) :])
        elif code == _APP13 and head.startswith(_PHOTOSHOP):
            self._photoshop.append(body[len(_PHOTOSHOP) :])
        elif code != _COMMENT or tells_place(bytes(body)):
            blank(body)

    def clean(self) -> None:
        """Take places out of what was kept."""
        for parts, clean in (
            (self._exif, exif.without_places),
            (self._xmp, xmp.without_places),
            ([body for _, body in sorted(self._more_xmp.items())], xmp.without_places),
            (self._photoshop, iptc.resources_without_places),
        ):
            rewrite(parts, clean, self._effort)


def _clean_picture(view: memoryview, start: int, effort: Effort) -> int:
    """Clean one picture; return where it ends: where its end is not found, all that follows is no picture."""
    metadata, at, in_head = _Metadata(effort), start + 2, True
    for begin, end in segments(view, start):
        if not effort.allows():
            break
        code = view[begin + 1]
        if in_head:
            view[at:begin] = b"\xff" * (begin - at)  # fill bytes, as the standard has them
            in_head = code != SCAN
        if not shows(view, begin):
            metadata.take(code, view[begin + 4 : end])
        at = end
    metadata.clean()
    return at
