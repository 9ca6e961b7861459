"""Pictures made smaller, by each of the two ways."""

import pytest
from PIL import Image, ImageChops

from service.media import resizing
from service.media.resizing import resized

BY_VECTORS = resizing.Resizer


@pytest.fixture(params=["vectors", "pillow"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(resizing, "Resizer", BY_VECTORS if request.param == "vectors" else None)
    return str(request.param)


def scene(size: tuple[int, int], mode: str) -> Image.Image:
    """Return a picture with ramps and grain, transparent in part if its mode has that."""
    grain = Image.effect_noise(size, 20)
    bands = (grain, Image.linear_gradient("L").resize(size), Image.radial_gradient("L").resize(size), grain)
    return Image.merge(mode, bands[: len(Image.new(mode, (1, 1)).getbands())])


def most_off(one: Image.Image, other: Image.Image) -> int:
    """Return by how much two pictures differ where they differ most, of 255, as they are seen on white."""
    seen = []
    for each in (one, other):
        ground = Image.new("RGBA", each.size, "white")
        seen.append(Image.alpha_composite(ground, each.convert("RGBA")).convert("RGB"))
    return max(high for _, high in ImageChops.difference(*seen).getextrema())


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("size", [(1500, 1125), (1081, 3), (37, 400), (2000, 1501)])
def test_it_is_what_pillow_makes_by_its_bicubic_filter_within_rounding(mode: str, size: tuple[int, int]) -> None:
    picture = scene(size, mode)
    smaller = (max(size[0] * 18 // 25, 1), max(size[1] * 18 // 25, 1))
    made = resized(picture, smaller)
    assert (made.mode, made.size) == (mode, smaller)
    assert most_off(made, picture.resize(smaller, Image.Resampling.BICUBIC)) <= 8
    assert most_off(made, picture.resize(smaller, Image.Resampling.NEAREST)) > 24


def test_one_that_has_the_size_is_copied() -> None:
    picture = scene((40, 30), "RGB")
    made = resized(picture, (40, 30))
    assert made is not picture
    assert most_off(made, picture) == 0


def test_a_line_of_millions_of_pixels_is_averaged_to_a_short_one() -> None:
    halves = Image.new("L", (8_000_000, 1), "white")
    halves.paste(0, (0, 0, 4_000_000, 1))
    made = resized(halves, (1080, 1))
    assert [made.getpixel((at, 0)) for at in (0, 530, 549, 1079)] == [0, 0, 255, 255]


def test_what_is_transparent_lends_no_colour() -> None:
    picture = Image.new("RGBA", (400, 400), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (200, 0, 400, 400))
    for _, (red, _, _, alpha) in resized(picture, (99, 99)).getcolors() or []:
        assert red <= 3 or alpha <= 3
