"""Animations whose frames are rectangles: each is decoded alone, and drawn on a canvas as browsers draw it.

Pillow would draw those of a GIF or an animated PNG itself, but not on a transparent canvas: what no frame covers,
and what a frame clears, would have a colour that no browser shows. And it would draw the whole canvas each time,
where a frame costs no more here than the pixels that it has.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from typing import Any, BinaryIO

from PIL import Image
from PIL.ImageFile import ImageFile

from service.domain.errors import InvalidImage

from . import Bytes
from .parts import spliced
from .surveys import check_size

_MAX_FRAMES = 50_000  # 3 us each to walk over


class Disposal(Enum):
    """What becomes of a frame's rectangle before the next one is drawn."""

    KEEP = "keep"
    CLEAR = "clear"  # it is transparent
    RESTORE = "restore"  # it is as it was


@dataclass(frozen=True, slots=True)
class Frame:
    """A rectangle of an animation: left, top, right and bottom in pixels, and a file of its own in `pieces`.

    `solid` says that it cannot be transparent, `over` that it is drawn over what is there rather than in its place.
    """

    box: tuple[int, int, int, int]
    pieces: tuple[Bytes, ...]
    duration: float  # milliseconds
    disposal: Disposal
    over: bool = True
    solid: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, in pixels."""
        left, top, right, bottom = self.box
        return right - left, bottom - top

    def covers(self, size: tuple[int, int]) -> bool:
        """Return whether nothing of a canvas of this size can be seen through the frame."""
        return self.solid and self.box == (0, 0, *size)


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of an animation before any of it is decoded. `plays` is how often, 0 for without end."""

    size: tuple[int, int]
    frames: int
    plays: int
    solid: bool  # no pixel of it is ever transparent
    first: Frame


def outline(screen: tuple[int, int], frames: Iterator[Frame], plays: Callable[[], int], max_pixels: int) -> Outline:
    """Walk the frames to the last, and ask how often they play then; the first may enlarge the screen.

    Raises what walking does, and InvalidImage where there are no frames or too many, or one is too large.
    """
    first = next(frames, None)
    if first is None:
        raise InvalidImage("The animation has no frames.")
    size = max(screen[0], first.box[2]), max(screen[1], first.box[3])
    count, solid = 0, first.covers(size) and first.disposal is Disposal.KEEP
    for frame in chain((first,), frames):
        check_size(*frame.size, max_pixels)
        solid = solid and frame.disposal is not Disposal.CLEAR
        count += 1
        if count > _MAX_FRAMES:
            raise InvalidImage(f"The animation has too many frames: the limit is {_MAX_FRAMES:,}.")
    return Outline(size, count, plays(), solid, first)


class Animation(Image.Image):
    """An animation as a picture of Pillow's: `seek` to the next frame or the first, then `load`.

    Nothing is decoded before that. What is drawn is RGB where no pixel can be transparent, else RGBA.
    """

    def __init__(
        self,
        known: Outline,
        frames: Callable[[], Iterator[Frame]],
        plugin: Callable[[BinaryIO], ImageFile],
        info: Mapping[str | tuple[int, int], Any],
    ) -> None:
        super().__init__()
        self._size, self._mode = known.size, "RGB" if known.solid else "RGBA"
        self.n_frames = known.frames
        self._walk, self._plugin = frames, plugin
        self.info = {**info, "loop": known.plays}
        self._frames, self._frame, self._at = frames(), None, -1
        self._undo: tuple[tuple[int, int, int, int], Image.Image] | None = None

    _frame: Frame | None

    @property
    def area(self) -> int:
        """Pixels that are to be decoded for the frame that was sought."""
        width, height = self._frame.size if self._frame else (0, 0)
        return width * height

    def seek(self, frame: int) -> None:
        """Go to the first frame, or the next. Raises EOFError where there is none, ValueError for others."""
        if frame == self._at:
            return
        if frame == 0:
            self._frames, self._undo = self._walk(), None
            self._im = None
        elif frame != self._at + 1:
            raise ValueError("Frames are drawn one after the other.")
        else:
            self.load()
        self._frame = next(self._frames, None)
        if self._frame is None:
            raise EOFError
        self._at = frame
        self.info["duration"] = self._frame.duration
        self._drawn = False

    _drawn = True

    def load(self) -> Any:
        """Draw the frame. Raises what Pillow does for one that it cannot decode."""
        if self._frame and not self._drawn:
            self._drawn = True
            self._draw(self._frame)
        return super().load()

    def _draw(self, frame: Frame) -> None:
        canvas = Image.new(self.mode, self.size) if self._im is None else Image.Image._new(self, self.im)  # noqa: SLF001
        if self._undo:
            box, before = self._undo
            canvas.paste(before, box)
        self._undo = None
        if frame.disposal is Disposal.CLEAR:
            self._undo = frame.box, Image.new(self.mode, frame.size)
        elif frame.disposal is Disposal.RESTORE:
            self._undo = frame.box, canvas.crop(frame.box)
        with self._plugin(spliced(frame.pieces)) as file:
            file.load()
            drawn = _direct(file)
        over = frame.over and drawn.mode == "RGBA" and self._im is not None  # over nothing it is as it is
        if over and self.mode == "RGBA":
            canvas.alpha_composite(drawn, frame.box[:2])
        else:
            canvas.paste(drawn, frame.box, drawn if over else None)
        self.im = canvas.im


def _direct(picture: Image.Image) -> Image.Image:
    """Return a picture without a palette: RGBA where it has transparency, else RGB."""
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
