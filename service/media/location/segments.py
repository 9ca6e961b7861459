"""The segments of a JPEG (ITU-T T.81 annex B)."""

import re
from collections.abc import Callable, Iterator, Sequence
from struct import unpack_from

from service.media.jpeg import jpeg_marker

from .effort import Effort

SOI, END, SCAN = b"\xff\xd8\xff", 0xD9, 0xDA
# Segments that a picture is shown by: all but APPn and comments; and of APPn the versions of JFIF, colour profiles,
# the index of several pictures in a file, gain maps, what encoders say of their work.
shows = re.compile(
    rb"\xff(?:[^\xe0-\xef\xfe]|\xe0..(?:JFIF|JFXX|AVI1)\0|\xe2..(?:ICC_PROFILE\0|MPF\0|urn:iso:std:iso:ts:21496)"
    rb"|\xeb..HDR_RI|\xec..Ducky|\xee..Adobe)",
    re.DOTALL,
).match


def segments(view: memoryview, start: int) -> Iterator[tuple[int, int]]:
    """Yield where each segment of the JPEG at `start` begins and ends; the last is the end of the image.

    There is no last one where that is missing: where another image begins, or nothing follows.
    """
    at = start + 2
    while marker := jpeg_marker(view, at):
        begin, at = marker.end() - 2, marker.end()
        code = view[begin + 1]
        if code == SOI[1]:
            return
        if code != END:
            if at + 2 > len(view):
                return
            at = min(at + max(unpack_from(">H", view, at)[0], 2), len(view))
        yield begin, at
        if code == END:
            return


def without_metadata(data: bytes, effort: Effort) -> bytes:
    """Return a thumbnail of the same length that is only shown: if it is a JPEG, nothing else is in it any more."""
    if not data.startswith(SOI):
        return data
    view = memoryview(bytearray(data))
    for begin, end in segments(view, 0):
        if not effort.allows():
            return bytes(len(data))
        if not shows(view, begin):
            blank(view[begin + 4 : end])
    return bytes(view)


def rewrite(parts: Sequence[memoryview], clean: Callable[[bytes, Effort], bytes], effort: Effort) -> None:
    """Replace what is in these parts of a file, taken together, by what is made of it, of the same length."""
    whole = b"".join(parts)
    made, at = clean(whole, effort), 0
    if made != whole:
        for part in parts:
            part[:] = made[at : at + len(part)]
            at += len(part)


def blank(part: memoryview) -> None:
    """Leave nothing but zeros."""
    part[:] = bytes(len(part))
