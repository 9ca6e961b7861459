"""GIF: its blocks (GIF89a appendix A), and its frames as browsers understand them.

A frame without a palette is grey; what no frame covers is transparent, whatever colour stands for the background;
frames that reach beyond the screen are cut off, but for the first, which enlarges it.
"""

from collections.abc import Iterator
from struct import pack, unpack_from

from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from service.domain.errors import InvalidImage

from . import Bytes
from .animations import Animation, Disposal, Frame, outline
from .parts import spliced

_DISPOSALS = {2: Disposal.CLEAR, 3: Disposal.RESTORE}
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_NO_CONTROL = (0, 0, 0)  # flags, hundredths of a second, the transparent index
_TABLE, _INTERLACED = 0x80, 0x40  # flags; a table of colours has 2 ** (the last three bits + 1) of them


def gif_picture(data: Bytes, max_pixels: int) -> Image.Image:
    """Return a GIF as a picture of Pillow's that is not decoded yet, having walked all of it.

    Raises InvalidImage, and IndexError or struct.error where the bytes run out.
    """
    gif = _Gif(memoryview(data))
    known = outline(unpack_from("<HH", data, 6), gif.frames(), lambda: gif.plays, max_pixels)
    if known.frames == 1 and known.first.box == (0, 0, *known.size):
        return _Still(spliced(known.first.pieces))
    return Animation(known, gif.frames, GifImageFile, {})


class _Still(GifImageFile):
    """A GIF of one frame, as Pillow has it; which would look for more, block by block."""

    n_frames = 1


class _Gif:
    """The blocks of a GIF. Nothing is decoded."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self.plays = 1

    def frames(self) -> Iterator[Frame]:
        """Yield every frame, each as a GIF of its own, up to the trailer or the end; `plays` is known then."""
        view = self._view
        shared, at = _table(view, view[10], 13)
        control = _NO_CONTROL
        while at < len(view) and (kind := view[at]) != 0x3B:
            if kind == 0x2C:
                own, pixels = _table(view, view[at + 9], at + 10)
                end = _end(view, pixels + 1)
                yield _frame(view[at : at + 10], own or shared, view[pixels:end], control)
                control, at = _NO_CONTROL, end
                continue
            if kind != 0x21:
                raise InvalidImage("The GIF has bytes between its blocks.")
            if view[at + 1] == 0xF9 and view[at + 2] >= 4:
                control = unpack_from("<BHB", view, at + 3)
            elif view[at + 1] == 0xFF and view[at + 3 : at + 14] in _LOOPS:
                self.plays = _plays(view, at + 14, self.plays)
            at = _end(view, at + 2)


def _frame(head: memoryview, colours: memoryview, pixels: memoryview, control: tuple[int, int, int]) -> Frame:
    left, top, width, height, flags = unpack_from("<4HB", head, 1)
    bits = max(len(colours) // 3, 2).bit_length() - 2
    screen = pack("<6s2H3B", b"GIF89a", width, height, bits | (_TABLE if colours else 0), 0, 0)
    see_through = control[0] & 1
    extension = pack("<2s2BHBB", b"!\xf9", 4, 1, 0, control[2], 0) if see_through else b""
    place = pack("<B4HB", 0x2C, 0, 0, width, height, flags & _INTERLACED)
    disposal = _DISPOSALS.get(control[0] >> 2 & 7, Disposal.KEEP)
    box = (left, top, left + width, top + height)
    pieces = (screen, colours, extension, place, pixels, b";")
    return Frame(box, pieces, 10 * control[1], disposal, solid=not see_through)


def _table(view: memoryview, flags: int, at: int) -> tuple[memoryview, int]:
    """Return a table of colours, empty where there is none, and where it ends."""
    end = at + (3 * 2 ** (flags % 8 + 1) if flags & _TABLE else 0)
    return view[at:end], end


def _end(view: memoryview, at: int) -> int:
    """Return where a list of blocks ends."""
    while size := view[at]:
        at += 1 + size
    return at + 1


def _plays(view: memoryview, at: int, before: int) -> int:
    """Return how often an animation plays, 0 for without end: once, and then as often again as it says."""
    if view[at] < 3 or view[at + 1] != 1:
        return before
    (again,) = unpack_from("<H", view, at + 2)
    return again + 1 if again else 0
