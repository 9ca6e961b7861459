"""Pictures of the sizes that people upload, from 1 to 50 megapixels, as detailed as 10 MiB allow."""

import io
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from PIL import Image

_TILE = (1024, 768)  # pixels of grain, repeated


def content_type(filename: str) -> str:
    """Return the content type that belongs to a picture's name."""
    extension = filename.rpartition(".")[2]
    return "image/" + {"jpg": "jpeg"}.get(extension, extension)


@dataclass(frozen=True)
class Photograph:
    """A kind of picture: how it is encoded, how large it is, and how many of 100 uploads are like it."""

    filename: str
    megapixels: float
    share: int
    grain: float = 0.1
    mode: str = "RGB"
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def data(self) -> bytes:
        """Return a picture of this kind, always the same."""
        file = io.BytesIO()
        image = view(self.megapixels, self.grain).convert(self.mode)
        image.save(file, content_type(self.filename).removeprefix("image/"), **self.options)
        return file.getvalue()


def view(megapixels: float, grain: float) -> Image.Image:
    """Return soft colours of the proportions 4:3 below grain, which is all of the picture where it is 1."""
    height = round((megapixels * 10**6 * 3 / 4) ** 0.5)
    size = (height * 4 // 3, height)
    chance = random.Random(megapixels)
    colours = Image.frombytes("RGB", (40, 30), chance.randbytes(3 * 40 * 30)).resize(size, Image.Resampling.BICUBIC)
    tile, grains = Image.effect_noise(_TILE, 40).convert("RGB"), Image.new("RGB", size)
    for left in range(0, size[0], _TILE[0]):
        for top in range(0, size[1], _TILE[1]):
            grains.paste(tile, (left, top))
    return Image.blend(colours, grains, grain)


PHOTOGRAPHS = (
    Photograph("1.jpg", 1, 15, 0.2, options={"quality": 88}),
    Photograph("3.jpg", 3, 15, 0.2, options={"quality": 88}),
    Photograph("12.jpg", 12, 20, 0.2, options={"quality": 85}),
    Photograph("24.jpg", 24, 6, 0.15, options={"quality": 80}),
    Photograph("50.jpg", 50, 4, 0.1, options={"quality": 75}),
    Photograph("progressive-2.jpg", 2, 8, 0.2, options={"quality": 88, "progressive": True}),
    Photograph("progressive-12.jpg", 12, 8, 0.2, options={"quality": 85, "progressive": True}),
    Photograph("progressive-50.jpg", 50, 2, 0.1, options={"quality": 70, "progressive": True}),
    Photograph("2.png", 2, 5, 0.1, options={"compress_level": 1}),
    Photograph("transparent-2.png", 2, 2, 0.1, "RGBA", options={"compress_level": 1}),
    Photograph("12.png", 12, 2, 0, options={"compress_level": 1}),
    Photograph("grey-24.png", 24, 1, 0, "L", options={"compress_level": 1}),
    Photograph("4.webp", 4, 8, options={"method": 0}),
    Photograph("15.webp", 15, 2, options={"method": 0}),
    Photograph("4.avif", 4, 2, options={"speed": 10}),
)


def uploads(count: int, seed: int) -> Iterator[Photograph]:
    """Yield so many, each kind about as often as its share says."""
    shares = [each.share for each in PHOTOGRAPHS]
    return iter(random.Random(seed).choices(PHOTOGRAPHS, shares, k=count))
