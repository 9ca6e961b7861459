"""What people look at: the right way up, in the right colours, small, moving where it moved, and nothing else."""

import io
import random
from typing import Any

import pytest
from blurhash_rs import blurhash_decode
from PIL import Image, ImageChops, ImageCms, ImageDraw, ImageStat

from service.domain.errors import InvalidImage
from service.media import Developed, Encoding, develop, inspect
from tests.pictures import NOT_TURNED, ORIENTATION, picture

PIXELS = 50_000_000
RED, GREEN, BLUE, WHITE = (220, 30, 30), (30, 180, 60), (40, 60, 200), (255, 255, 255)
TURNS = {  # what a camera did to the picture, for each orientation; the viewer undoes it
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
}  # fmt: skip


def quarters(size: tuple[int, int] = (400, 300)) -> Image.Image:
    """Return a picture whose quarters are red, green, blue and white, line by line."""
    image, (width, height) = Image.new("RGB", size, WHITE), size
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width // 2, height // 2), RED)
    draw.rectangle((width // 2, 0, width, height // 2), GREEN)
    draw.rectangle((0, height // 2, width // 2, height), BLUE)
    return image


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def developed(data: bytes, encoding: Encoding = "webp") -> Developed:
    return develop(data, max_pixels=PIXELS, encoding=encoding)


def seen(result: Developed, name: str = "display") -> Image.Image:
    """Return a variant as a viewer shows it that believes no metadata."""
    image = Image.open(io.BytesIO(result.variants[name].data))
    image.load()
    return image


def corners(image: Image.Image) -> list[tuple[int, ...]]:
    """Return the colour in the middle of each quarter, line by line."""
    width, height = image.size
    places = [(x * width // 4, y * height // 4) for y in (1, 3) for x in (1, 3)]
    return [image.convert("RGB").getpixel(place) for place in places]  # type: ignore[misc]


def assert_alike(ours: list[tuple[int, ...]], wanted: list[tuple[int, ...]], tolerance: int = 14) -> None:
    for one, other in zip(ours, wanted, strict=True):
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) <= tolerance, (ours, wanted)


# ---------------------------------------------------------------- size


@pytest.mark.parametrize(
    ("size", "display", "thumb"),
    [
        ((4000, 3000), (1080, 810), (320, 240)),
        ((1500, 2000), (810, 1080), (240, 320)),
        ((1080, 1080), (1080, 1080), (320, 320)),
        ((640, 480), (640, 480), (320, 240)),
        ((64, 48), (64, 48), (64, 48)),
        ((1, 1), (1, 1), (1, 1)),
        ((5000, 2), (1080, 1), (320, 1)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_longer_side_is_as_long_as_it_may_be(
    kind: str, size: tuple[int, int], display: tuple[int, int], thumb: tuple[int, int]
) -> None:
    result = developed(saved(Image.new("RGB", size, RED), kind))
    sizes = {name: (each.width, each.height) for name, each in result.variants.items()}
    assert sizes == {"thumb": thumb, "display": display}
    assert {name: seen(result, name).size for name in sizes} == sizes


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}])
@pytest.mark.parametrize("width", [1081, 2000, 2160, 2880, 2881, 3001, 4320, 4321, 8640, 9001])
def test_a_jpeg_looks_the_same_at_whatever_scale_it_is_decoded(width: int, options: dict[str, Any]) -> None:
    patches = Image.frombytes("RGB", (40, 10), random.Random(width).randbytes(1200))
    whole = patches.resize((width, width // 4 + 1), Image.Resampling.BICUBIC)
    shown = seen(developed(saved(whole, "JPEG", quality=90, **options)))
    assert shown.width == 1080
    off = ImageChops.difference(shown, whole.resize(shown.size, Image.Resampling.LANCZOS))
    assert max(ImageStat.Stat(off).rms) < 5  # a pixel out of its place makes it 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
def test_what_it_says_of_the_picture_is_what_inspecting_says(kind: str) -> None:
    data = picture(kind, (1500, 900))
    assert developed(data).picture == inspect(data, max_pixels=PIXELS)


def test_what_does_not_decode_whole_has_no_variants() -> None:
    data = picture("JPEG", (1500, 900), noise=True)
    with pytest.raises(InvalidImage):
        developed(data[: len(data) // 2])


@pytest.mark.parametrize("encoding", ["webp", "avif"])
def test_variants_are_encoded_as_asked(encoding: Encoding) -> None:
    result = developed(saved(quarters((1500, 1125))), encoding)
    for name, each in result.variants.items():
        assert each.content_type == f"image/{encoding}"
        assert inspect(each.data, max_pixels=PIXELS).content_type == f"image/{encoding}"
        assert_alike(corners(seen(result, name)), [RED, GREEN, BLUE, WHITE])


# ---------------------------------------------------------------- upright


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "AVIF"])
def test_every_orientation_is_upright(kind: str, orientation: int) -> None:
    turn, exif = TURNS[orientation], Image.Exif()
    exif[ORIENTATION] = orientation
    upright = quarters()
    data = saved(upright.transpose(turn) if turn is not None else upright, kind, exif=exif)
    result = developed(data)
    for name in result.variants:
        image = seen(result, name)
        assert image.width > image.height
        assert_alike(corners(image), [RED, GREEN, BLUE, WHITE])
        assert not dict(image.getexif())


@pytest.mark.parametrize("name", NOT_TURNED)
def test_what_browsers_do_not_turn_is_not_turned_in_a_variant(name: str) -> None:
    result = developed(NOT_TURNED[name](quarters(), 6))
    for variant in result.variants:
        assert_alike(corners(seen(result, variant)), [RED, GREEN, BLUE, WHITE])


# ---------------------------------------------------------------- colours


def swapped_profile() -> bytes:
    """Return a profile in which red is what others call blue."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * profile[131], 12)}
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    profile[red + 4 : red + 12], profile[blue + 4 : blue + 12] = (
        profile[blue + 4 : blue + 12],
        profile[red + 4 : red + 12],
    )
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "odd!".encode("utf-16-be")).replace(b"sRGB", b"odd!")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_colour_profile_is_honoured_and_not_passed_on(kind: str) -> None:
    result = developed(saved(Image.new("RGB", (40, 30), (255, 0, 0)), kind, icc_profile=swapped_profile()))
    image = seen(result)
    red, _, blue = image.convert("RGB").getpixel((5, 5))  # type: ignore[misc]
    assert blue > 200
    assert red < 90
    assert "icc_profile" not in image.info


@pytest.mark.parametrize(
    "profile", [b"nonsense", b"\0" * 200, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()]
)
def test_a_bad_profile_counts_as_none(profile: bytes) -> None:
    result = developed(saved(quarters(), icc_profile=profile))
    assert_alike(corners(seen(result)), [RED, GREEN, BLUE, WHITE])


@pytest.mark.parametrize("mode", ["L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "CMYK", "YCbCr"])
def test_every_mode_has_variants(mode: str) -> None:
    image = quarters().convert("P" if mode == "PA" else "I" if mode == "I;16" else mode)
    if mode == "I;16":
        image = image.point(lambda value: value * 257).convert(mode)
    if mode == "PA":
        image.info["transparency"] = bytes([255] * 256)
    kind = "JPEG" if mode in {"CMYK", "YCbCr"} else "PNG"
    result = developed(saved(image, kind))
    wanted = [round(sum(weight * part for weight, part in zip((0.299, 0.587, 0.114), colour, strict=True)))
              for colour in (RED, GREEN, BLUE, WHITE)]  # fmt: skip
    grey = mode in {"L", "LA", "I;16"}
    assert_alike(
        corners(seen(result)), [(value,) * 3 for value in wanted] if grey else [RED, GREEN, BLUE, WHITE], 30
    )


def test_a_picture_of_single_bits_is_black_and_white() -> None:
    image = Image.new("1", (40, 30), 1)
    image.paste(0, (0, 0, 20, 30))
    black, white = (0, 0, 0), WHITE
    assert_alike(corners(seen(developed(saved(image)))), [black, white, black, white])


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_what_was_transparent_stays_so(kind: str) -> None:
    image = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    image.paste((*RED, 255), (0, 0, 20, 30))
    shown = seen(developed(saved(image, kind, lossless=True) if kind == "WEBP" else saved(image, kind)))
    assert shown.getpixel((35, 15))[3] == 0  # type: ignore[index]
    assert shown.getpixel((5, 15))[3] == 255  # type: ignore[index]


def test_a_gif_s_transparent_colour_stays_transparent() -> None:
    image = Image.new("P", (40, 30), 0)
    image.putpalette([0, 0, 0, *RED])
    image.paste(1, (0, 0, 20, 30))
    shown = seen(developed(saved(image, "GIF", transparency=0)))
    assert shown.convert("RGBA").getpixel((35, 15))[3] == 0  # type: ignore[index]


# ---------------------------------------------------------------- metadata


def test_no_metadata_is_in_a_variant() -> None:
    exif = Image.Exif()
    exif[0x010F] = "Some Maker"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 14.25)})
    for kind in ("JPEG", "PNG", "WEBP", "AVIF"):
        data = saved(quarters(), kind, exif=exif, xmp=b"<x:xmpmeta>secret</x:xmpmeta>")
        for encoding in ("webp", "avif"):
            for each in developed(data, encoding).variants.values():  # type: ignore[arg-type]
                assert b"Some Maker" not in each.data
                assert b"secret" not in each.data
                assert b"EXIF" not in each.data
                assert b"Exif" not in each.data


# ---------------------------------------------------------------- animations


def animation(kind: str, size: tuple[int, int] = (40, 30), **options: Any) -> bytes:
    frames = [Image.new("RGB", size, colour) for colour in (RED, GREEN, BLUE)]
    return saved(
        frames[0], kind, save_all=True, append_images=frames[1:], duration=[100, 200, 300], loop=0, **options
    )


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("encoding", ["webp", "avif"])
def test_an_animation_goes_on_in_the_display_size_and_stands_still_in_the_thumbnail(
    kind: str, encoding: Encoding
) -> None:
    result = developed(animation(kind, (1300, 650)), encoding)
    display, thumb = (Image.open(io.BytesIO(result.variants[name].data)) for name in ("display", "thumb"))
    assert getattr(thumb, "n_frames", 1) == 1
    assert display.size == (1080, 540)
    assert display.n_frames == 3
    shown = []
    for number in range(3):
        display.seek(number)
        display.load()
        shown.append((display.convert("RGB").getpixel((5, 5)), display.info["duration"]))
    assert [duration for _, duration in shown] == [100, 200, 300]
    assert_alike([colour for colour, _ in shown], [RED, GREEN, BLUE])  # type: ignore[misc]


def test_an_animated_avif_that_is_turned_does_no_harm() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    result = developed(animation("PNG", exif=exif), "avif")
    assert (result.variants["display"].width, result.variants["display"].height) == (30, 40)


@pytest.mark.parametrize("loop", [0, 3])
def test_an_animation_plays_as_often(loop: int) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in (RED, GREEN)]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], loop=loop)
    assert Image.open(io.BytesIO(developed(data).variants["display"].data)).info["loop"] == loop


def test_an_animation_that_is_too_long_stands_still() -> None:
    result = develop(animation("GIF", (100, 100)), max_pixels=40_000, encoding="webp")
    assert result.picture.frames == 3
    assert getattr(Image.open(io.BytesIO(result.variants["display"].data)), "n_frames", 1) == 1


# ---------------------------------------------------------------- the placeholder


@pytest.mark.parametrize("size", [(400, 300), (300, 400)])
def test_the_placeholder_looks_like_the_picture(size: tuple[int, int]) -> None:
    shown = blurhash_decode(developed(saved(quarters(size))).placeholder, 40, 40)
    colours = [RED, GREEN, BLUE, WHITE]

    def nearest(colour: tuple[int, ...]) -> tuple[int, ...]:
        return min(colours, key=lambda each: sum((a - b) ** 2 for a, b in zip(each, colour, strict=True)))

    assert [nearest(each) for each in corners(shown)] == colours


def test_the_placeholder_of_what_is_transparent_is_white() -> None:
    shown = blurhash_decode(developed(saved(Image.new("RGBA", (40, 30), (0, 0, 0, 0)))).placeholder, 8, 8)
    assert_alike([shown.getpixel((4, 4))], [WHITE])  # type: ignore[list-item]


def test_the_memory_of_a_picture_is_kept_for_the_next_and_of_no_more_than_one() -> None:
    data = saved(quarters())
    developed(data)
    Image.core.reset_stats()  # type: ignore[attr-defined]
    developed(data)
    stats = Image.core.get_stats()  # type: ignore[attr-defined]
    assert stats["reused_blocks"] > 0
    assert stats["blocks_cached"] == 1
