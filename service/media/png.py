"""PNG: its chunks (third edition, section 5), and the frames of an animated one (section 11.3.4).

Pillow looks neither at the checksums of pixels nor for the end, and takes for a frame what only stands in for the
animation.
"""

import zlib
from collections import Counter
from collections.abc import Iterator
from struct import pack, unpack_from

from PIL import Image, PngImagePlugin

from service.domain.errors import InvalidImage

from . import Bytes
from .animations import Animation, Disposal, Frame, outline
from .parts import MAX_PROFILE, METADATA, decodable, has_right_checksum, png_chunks, seen_in_png
from .png_pixels import PngFile
from .surveys import check_size

PngImagePlugin.MAX_TEXT_CHUNK = (
    MAX_PROFILE  # of text Pillow sees nothing, and of profiles only those that keep to it
)

_DISPOSALS = {1: Disposal.CLEAR, 2: Disposal.RESTORE}
_END = pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
_WITHOUT_ALPHA = frozenset({0, 2, 3})  # colour types


def survey_png(view: memoryview, max_pixels: int) -> int:
    """Check every chunk of pixels, and that an animation has the frames that it says. Returns the area in pixels.

    Other chunks count as not there where they are damaged (section 13.2). Raises InvalidImage, and struct.error
    where the bytes run out.
    """
    width, height = unpack_from(">II", view, 16)
    check_size(width, height, max_pixels)
    seen: Counter[bytes] = Counter()
    announced = 0
    for at, kind, body in png_chunks(view):
        if kind not in METADATA and not has_right_checksum(view, at, len(body)):
            raise InvalidImage("The PNG has an invalid checksum.")
        seen[kind] += 1
        if kind == b"acTL":
            (announced,) = unpack_from(">I", body)
    if seen[b"acTL"] and not (seen[b"acTL"] == 1 and seen[b"fcTL"] == announced > 0):
        raise InvalidImage("The animation does not have the number of frames that it declares.")
    return int(width * height)


def png_picture(data: Bytes, max_pixels: int) -> Image.Image:
    """Return a PNG as a picture of Pillow's that is not decoded yet. Raises what Pillow does, and InvalidImage."""
    view = memoryview(data)
    still = PngFile(decodable(data, "image/png"))
    chunks = {kind: body for _, kind, body in png_chunks(view)}
    if b"acTL" not in chunks:
        return still
    (plays,) = unpack_from(">I", chunks[b"acTL"], 4)
    known = outline(still.size, _frames(view), lambda: plays, max_pixels)
    return Animation(known, lambda: _frames(view), PngFile, still.info)


def _frames(view: memoryview) -> Iterator[Frame]:
    """Yield every frame, each as a PNG of its own.

    Raises InvalidImage where one lacks pixels, does not keep to the canvas, or is not in its turn.
    """
    number = 0
    control, shared, pixels = b"", list[memoryview](), list[memoryview]()
    for at, kind, body in png_chunks(view):
        if kind in {b"fcTL", b"fdAT"}:
            if unpack_from(">I", body)[0] != number:
                raise InvalidImage("The animation's frames are not in order.")
            number += 1
        if kind == b"fcTL" and control:
            yield _frame(view, control, shared, pixels)
        if kind == b"fcTL":
            control, pixels = bytes(body), []
        elif kind in {b"IDAT", b"fdAT"} and control:
            pixels.append(body[4:] if kind == b"fdAT" else body)
        elif kind in {b"PLTE", b"tRNS"} and seen_in_png(kind, body, view[25], behind=bool(control)):
            shared.append(view[at : at + 12 + len(body)])
    if control:
        yield _frame(view, control, shared, pixels)


def _frame(view: memoryview, control: bytes, shared: list[memoryview], pixels: list[memoryview]) -> Frame:
    width, height, left, top, part, whole, disposal, over = unpack_from(">4I2H2B", control, 4)
    across, down = unpack_from(">II", view, 16)
    if not (width and height and pixels) or left + width > across or top + height > down:
        raise InvalidImage("A frame of the animation is empty or outside the canvas.")
    header = b"IHDR" + pack(">II", width, height) + bytes(view[24:29])
    begin = pack(">8sI17sI", b"\x89PNG\r\n\x1a\n", 13, header, zlib.crc32(header))
    data = pack(">I4s", sum(map(len, pixels)), b"IDAT")
    pieces: tuple[Bytes, ...] = (begin, *shared, data, *pixels, bytes(4), _END)  # its checksums were right
    solid = view[25] in _WITHOUT_ALPHA and not any(bytes(each[4:8]) == b"tRNS" for each in shared)
    box = (left, top, left + width, top + height)
    duration, kept = 1000 * part / (whole or 100), _DISPOSALS.get(disposal, Disposal.KEEP)
    return Frame(box, pieces, duration, kept, bool(over), solid)
