"""What a picture's container tells before anything is decoded, where decoders would take it on trust.

- WebP: libwebp's demuxer checks that it is whole, but makes room for the picture first.

JPEG, PNG, GIF and AVIF have files of their own.

Each survey raises InvalidImage, or what Python raises where bytes run out, and returns the area in pixels of the
largest picture that the decoder is going to meet, 0 where the decoder will say so itself.
"""

from collections.abc import Iterator
from struct import unpack_from

from service.domain.errors import InvalidImage

# Each keeps the worst 10 MiB near 5 s of CPU, and is far above what cameras and encoders write.
FRAME_FLOOR = 16_384  # pixels that every frame of an animation counts as: one of 1 x 1 takes 100 us too
_MAX_CHUNKS = 100_000  # of a WebP that are looked at


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise InvalidImage unless a picture, or a frame, has more than no pixels and not too many."""
    if not width or not height:
        raise InvalidImage("The image's width or height is zero.")
    if width * height > max_pixels:
        size, limit = f"{width:,} x {height:,} pixels", f"{max_pixels / 1e6:.4g} megapixels"
        raise InvalidImage(f"The image is too large: {size}; the limit is {limit}.")


def survey_webp(view: memoryview, max_pixels: int) -> int:
    """Read the canvas's size; see `measure_webp`."""
    width, height, _ = measure_webp(view, max_pixels)
    return width * height


def measure_webp(view: memoryview, max_pixels: int) -> tuple[int, int, int]:
    """Return width, height and frames: the canvas's size is in the first chunk (RFC 9649 sections 2.5 to 2.7)."""
    kind, body = bytes(view[12:16]), view[20:30]
    if kind == b"VP8X":
        width, height = (int.from_bytes(body[at : at + 3], "little") + 1 for at in (4, 7))
    elif kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (bits & 0x3FFF for bits in unpack_from("<HH", body, 6))
    check_size(width, height, max_pixels)
    return width, height, max(sum(1 for _ in _frames_of_webp(view)), 1)


def _frames_of_webp(view: memoryview) -> Iterator[int]:
    """Yield where the chunks of frames begin; more than may be are as good as all."""
    at, chunks = 12, 0
    while at + 8 <= len(view) and chunks < _MAX_CHUNKS:
        kind, length = unpack_from("<4sI", view, at)
        if kind == b"ANMF":
            yield at
        at += 8 + length + length % 2
        chunks += 1
