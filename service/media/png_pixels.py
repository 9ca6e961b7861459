"""What of a PNG Pillow does not do as browsers do (PNG, third edition).

- Samples of 16 grey bits become 8 as they are decoded, not four bytes each.
- The transparent colour of a picture without alpha (section 11.3.1.1) is of as many bits as its samples.
- A palette that is too short goes on with its last colour, and has no more alphas than colours.
- Colours without a profile, by cICP, sRGB, gAMA and cHRM (section 11.3.2), are made a profile.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from struct import error, unpack
from typing import Any, cast

from PIL import Image, ImageChops, ImagePalette
from PIL.PngImagePlugin import PngImageFile, PngStream

from .parts import has_right_checksum, png_chunks
from .profiles import BT709, PRIMARIES, TRANSFERS, Primaries, power, profile

_LOW = {"L;16B": "L;16", "RGB;16B": "RGB;16L"}  # what Pillow calls the higher bytes of 16 bits, and the lower
_SCALES = {"L;2": 85, "L;4": 17}  # what a sample is multiplied by to have eight bits
_NEUTRAL = 0.05  # of the usual gamma another may be off by, and nobody sees it


class PngFile(PngImageFile):
    """Pillow's own, mended. A still picture of 16 bits with a transparent colour is decoded twice."""

    _sixteen: tuple[int, ...] = ()  # its transparent colour

    def _open(self) -> None:
        super()._open()
        stream, key = cast("PngStream", self.png), self.info.get("transparency")
        if stream.im_rawmode == "I;16B":
            self._mode = stream.im_mode = "L"
            stream.im_rawmode = "L;16B"
            _decode_as(self, stream.im_rawmode)
        if stream.im_palette and self.mode == "P":
            self._fill_palette(*stream.im_palette)
        elif isinstance(key, int):
            self._sixteen = (key,) if stream.im_rawmode in _LOW else ()
            self.info["transparency"] = key >> 8 if self._sixteen else key * _SCALES.get(stream.im_rawmode, 1)
        elif isinstance(key, tuple) and stream.im_rawmode in _LOW:
            self._sixteen = key
            self.info["transparency"] = tuple(each >> 8 for each in key)

    def _fill_palette(self, raw: str, colours: bytes) -> None:
        count, alphas = len(colours) // 3, self.info.get("transparency")
        if isinstance(alphas, bytes):
            alphas = (alphas if len(alphas) <= 256 else b"").ljust(count, b"\xff")
            self.info["transparency"] = _filled(alphas[:count], 1)
        self.palette = ImagePalette.raw(raw, _filled(colours[: 3 * count], 3))

    def load(self) -> Any:
        """See Pillow. An animation's transparent colour is compared by 8 bits, which its frames are composed in."""
        again = self.fp if self.tile and self._sixteen and not self.is_animated else None
        pixels = super().load()
        if again is None:
            return pixels
        again.seek(0)
        alpha = _where_not(_LowBytes(again), [each & 255 for each in self._sixteen])
        alpha = ImageChops.lighter(alpha, _where_not(self, [each >> 8 for each in self._sixteen]))
        del self.info["transparency"]
        whole = self.convert("RGBA")
        whole.putalpha(alpha)
        self.im, self._mode = whole.im, "RGBA"
        return super().load()


class _LowBytes(PngImageFile):
    """The lower bytes of a picture of 16 bits, without alpha."""

    def _open(self) -> None:
        super()._open()
        self._mode = "RGB" if self.mode == "RGB" else "L"
        _decode_as(self, _LOW[self.mode + ";16B"])


def _decode_as(picture: PngImageFile, raw: str) -> None:
    picture.tile = [each._replace(args=raw) for each in picture.tile]


def _filled(table: bytes, width: int) -> bytes:
    """Return a table of 256 entries that goes on with its last one."""
    return table[: 256 * width].ljust(width, b"\0") + table[-width:] * max(256 - len(table) // width, 0)


def _where_not(picture: Image.Image, colour: Sequence[int]) -> Image.Image:
    """Return a mask, 0 where a picture has this colour."""
    others = (
        picture.getchannel(band).point([255 * (each != value) for each in range(256)])
        for band, value in enumerate(colour)
    )
    return reduce(ImageChops.lighter, others)


def png_profiles(view: memoryview, embedded: Sequence[bytes]) -> Sequence[bytes]:
    """Return profiles of a picture's colours, the one that counts first; embedded are those that it has itself.

    cICP is before iCCP, before sRGB, before gAMA with cHRM. What is broken counts as not there.
    """
    chunks = _colour_chunks(view)
    by_number = chunks.get(b"cICP", b"")
    if len(by_number) == 4 and tuple(by_number[2:]) == (0, 1):  # RGB, of the full range
        primaries, transfer = PRIMARIES.get(by_number[0]), TRANSFERS.get(by_number[1])
        if primaries and transfer:
            return [profile(primaries, transfer)]
    if len(intent := chunks.get(b"sRGB", b"")) == 1 and intent[0] < 4:
        return embedded
    return [*embedded, *_by_gamma(chunks)]


def _by_gamma(chunks: Mapping[bytes, bytes]) -> Sequence[bytes]:
    """Return the profile of gAMA and cHRM, which are times 100,000; without a gamma there is none."""
    try:
        (gamma,) = unpack(">I", chunks.get(b"gAMA", b""))
        curve = power(100_000 / gamma)
        if len(points := chunks.get(b"cHRM", b"")) != 32:
            return [] if abs(gamma * 2.2 / 100_000 - 1) < _NEUTRAL else [profile(BT709, curve)]
        xs = [each / 100_000 for each in unpack(">8I", points)]
        white, *others = zip(xs[::2], xs[1::2], strict=True)
        primaries: Primaries = (*others, white)  # type: ignore[assignment]
        return [profile(primaries, curve)]
    except (error, ArithmeticError, ValueError):
        return []


def _colour_chunks(view: memoryview) -> Mapping[bytes, bytes]:
    """Return those that say something of colours, before the pixels; of two of a kind the first."""
    found: dict[bytes, bytes] = {}
    for at, kind, body in png_chunks(view):
        if kind == b"IDAT":
            break
        wanted = kind in {b"cICP", b"sRGB", b"gAMA", b"cHRM"} and len(body) <= 32
        if wanted and has_right_checksum(view, at, len(body)):
            found.setdefault(kind, bytes(body))
    return found
