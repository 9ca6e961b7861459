"""Making pictures smaller: bicubic, by vector instructions where there is a wheel for the machine.

Pillow's own takes four times as long, for the same pixels but for the rounding: it does for machines without one.
"""

from PIL import Image
from PIL.Image import Resampling

from service.machine.memory import is_free

try:
    from cykooz_resizer import FilterType, ResizeAlg, ResizeOptions, Resizer
except ImportError:
    Resizer = None

# Times larger than wanted a picture may be: beyond that it is averaged first, whole pixels at a time. A picture of
# one line of millions would have a table of weights for every one of its pixels.
_GAP = 8.0


def resized(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a new picture of this size, which is not larger, in the mode of this one: L, RGB, RGBA or CMYK."""
    if picture.size == size:
        return picture.copy()
    return _by_pillow(picture, size) if Resizer is None else _by_vectors(picture, size)


def _by_vectors(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    steps = [max(int(has / wanted / _GAP), 1) for has, wanted in zip(picture.size, size, strict=True)]
    if max(steps) > 1:
        picture = picture.reduce((steps[0], steps[1]))
    smaller = Image.new(picture.mode, size)
    if not is_free(4 * picture.height * (size[0] + (picture.width if picture.mode == "RGBA" else 0))):
        raise MemoryError  # the resizer would end the process
    # One each time: it keeps room for the largest picture that it met, and is not for two threads at once.
    Resizer().resize_pil(picture, smaller, ResizeOptions(ResizeAlg.convolution(FilterType.catmull_rom)))
    return smaller


def _by_pillow(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    return picture.resize(size, Resampling.BICUBIC, reducing_gap=_GAP)
