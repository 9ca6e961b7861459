"""Pictures that a person takes for photographs, at a glance: ridges in haze, a sun or a moon, sometimes a lake."""

import io
import itertools
import random
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageChops, ImageDraw, ImageFilter

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Light:
    """What a time of day paints with: the sky from above to the horizon, the haze, the ground, and what shines."""

    zenith: Colour
    horizon: Colour
    haze: Colour
    ground: Colour
    glow: Colour
    strength: float


LIGHTS = (
    Light((84, 146, 206), (226, 238, 240), (176, 204, 216), (30, 66, 44), (255, 250, 232), 0.4),  # a clear day
    Light((70, 84, 140), (255, 184, 126), (214, 150, 136), (40, 28, 44), (255, 226, 160), 1.0),  # sunset
    Light((150, 162, 176), (236, 238, 236), (206, 212, 214), (58, 74, 76), (255, 255, 250), 0.2),  # mist
    Light((56, 86, 134), (250, 206, 190), (176, 160, 184), (30, 38, 56), (255, 232, 214), 0.8),  # dawn
    Light((18, 30, 62), (92, 116, 156), (62, 80, 118), (10, 16, 28), (238, 242, 250), 0.5),  # a night with a moon
    Light((112, 172, 220), (250, 238, 206), (222, 214, 180), (96, 84, 40), (255, 250, 220), 0.6),  # late summer
)


@cache
def landscape(size: tuple[int, int], *, seed: int = 0) -> bytes:
    """Return a JPEG; another seed gives another place, at another time of day."""
    chance, (width, height) = random.Random(seed), size
    light, horizon = LIGHTS[seed % len(LIGHTS)], chance.uniform(0.42, 0.6)
    image = _sky(size, light, (chance.uniform(0.2, 0.8) * width, (horizon - chance.uniform(0.06, 0.2)) * height))
    layers = chance.randint(4, 6)
    for layer in range(layers):
        near = layer / (layers - 1)
        base = (horizon + (0.98 - horizon) * near**1.5) * height
        _ridge(image, base, height * (0.16 - 0.08 * near), _between(light.haze, light.ground, near**0.8), chance)
    if seed % 3 == 1:
        image = _lake(image, round((horizon + 0.16) * height))
    return _developed(image)


def _sky(size: tuple[int, int], light: Light, sun: tuple[float, float]) -> Image.Image:
    shade = Image.new("L", size, 255)  # the horizon's light, but for what is above it
    shade.paste(Image.linear_gradient("L").resize((size[0], size[1] * 3 // 5)))
    sky = Image.composite(Image.new("RGB", size, light.horizon), Image.new("RGB", size, light.zenith), shade)
    near = min(size) / 22
    glow = Image.new("L", size)
    for radius, brightness in ((near * 10, 90), (near * 4, 150), (near, 255)):
        spot = Image.new("L", size)
        ImageDraw.Draw(spot).circle(sun, radius, fill=round(brightness * (light.strength if radius > near else 1)))
        glow = ImageChops.lighter(glow, spot.filter(ImageFilter.GaussianBlur(radius / 2 if radius > near else 2)))
    return Image.composite(Image.new("RGB", size, light.glow), sky, glow)


def _ridge(image: Image.Image, base: float, rise: float, colour: Colour, chance: random.Random) -> None:
    """Draw a ridge from side to side: halved again and again, each point a little off the middle."""
    points = [base + chance.uniform(-rise, rise / 3) for _ in range(3)]
    off = rise / 2
    while len(points) < image.width / 3:
        halves = [(a + b) / 2 + chance.uniform(-off, off) for a, b in itertools.pairwise(points)]
        points = [each for pair in zip(points, halves, strict=False) for each in pair] + points[-1:]
        off *= 0.52
    step = image.width / (len(points) - 1)
    outline = [(n * step, y) for n, y in enumerate(points)]
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).polygon([*outline, (image.width, image.height), (0, image.height)], fill=255)
    foot = _between(colour, image.getpixel((image.width // 2, 0)), 0.12)  # haze gathers in the valleys
    ground = Image.composite(
        Image.new("RGB", image.size, foot),
        Image.new("RGB", image.size, colour),
        Image.linear_gradient("L").resize(image.size),
    )
    image.paste(ground, mask=mask.filter(ImageFilter.GaussianBlur(0.7)))


def _lake(image: Image.Image, shore: int) -> Image.Image:
    """Return the picture with all that is below the shore as water that mirrors what is above."""
    depth = image.height - shore
    mirrored = image.crop((0, max(0, shore - depth), image.width, shore)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    water = (
        mirrored.resize((image.width, depth)).filter(ImageFilter.BoxBlur((7, 2))).point(lambda value: value * 0.82)
    )
    image.paste(water, (0, shore))
    return image


def _developed(image: Image.Image) -> bytes:
    """Return the picture as a camera leaves it: with grain, and darker in its corners."""
    corners = (
        ImageChops.invert(Image.radial_gradient("L")).point(lambda value: 195 + value * 0.25).resize(image.size)
    )
    image = ImageChops.multiply(image, Image.merge("RGB", [corners] * 3))
    grain = Image.effect_noise(image.size, 9).convert("RGB")
    file = io.BytesIO()
    ImageChops.overlay(image, grain).save(file, "JPEG", quality=88)
    return file.getvalue()


def _between(a: Colour, b: Colour, share: float) -> Colour:
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue
