"""Animations look and play as in browsers, however long they are."""

import io
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from service.domain.errors import InvalidImage
from service.media import Developed, Encoding, develop, inspect
from service.media.avif import plays_of_avif
from service.media.decoding import frames_of, opened
from tests.pictures import chunk

PIXELS = 2**26
RED, GREEN, BLUE = (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255)
NOTHING = (0, 0, 0, 0)
COLOURS = (NOTHING, RED, GREEN, BLUE)
KEEP, CLEAR, RESTORE = 1, 2, 3  # disposals of a GIF, one more than those of a PNG


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def gif_frame(
    size: tuple[int, int], colour: int, at: tuple[int, int] = (0, 0), disposal: int = KEEP, hundredths: int = 10
) -> bytes:
    """Return a frame of a GIF in one of COLOURS; the first of them is transparent where it is asked for."""
    image = Image.new("P", size, colour)
    image.putpalette([part for each in COLOURS for part in each[:3]])
    data = saved(image, "GIF", optimize=False)
    body = data[data.index(b"," + bytes(4)) + 5 : -1]
    control = struct.pack("<2s2BHBB", b"!\xf9", 4, disposal << 2 | (colour == 0), hundredths, 0, 0)
    return control + b"," + struct.pack("<2H", *at) + body


def gif(screen: tuple[int, int], *frames: bytes, loop: int | None = None) -> bytes:
    palette = bytes(part for each in COLOURS for part in each[:3])
    again = b"" if loop is None else b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", loop) + b"\0"
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0x81, 2, 0)  # the background would be green
    return head + palette + again + b"".join(frames) + b";"


def png_frame(
    size: tuple[int, int],
    colour: tuple[int, ...],
    at: tuple[int, int] = (0, 0),
    disposal: int = KEEP,
    *,
    over: bool = True,
) -> tuple[bytes, bytes]:
    """Return what controls a frame of a PNG, and its pixels."""
    control = struct.pack(">4I2H2B", *size, *at, 10, 100, disposal - 1, over)
    rows = (b"\0" + bytes(colour) * size[0]) * size[1]
    return control, zlib.compress(rows)


def png(
    size: tuple[int, int], *frames: tuple[bytes, bytes], plays: int = 0, hidden: bytes | None = None, mode: int = 6
) -> bytes:
    """Return an animated PNG; `hidden` is a colour that is shown where animations are not."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, mode, 0, 0, 0))
    parts = [b"\x89PNG\r\n\x1a\n", header, chunk(b"acTL", struct.pack(">II", len(frames), plays))]
    if hidden is not None:
        parts.append(chunk(b"IDAT", zlib.compress((b"\0" + hidden * size[0]) * size[1])))
    number = 0
    for control, pixels in frames:
        parts.append(chunk(b"fcTL", struct.pack(">I", number) + control))
        first = number == 0 and hidden is None
        parts.append(chunk(b"IDAT", pixels) if first else chunk(b"fdAT", struct.pack(">I", number + 1) + pixels))
        number += 1 if first else 2
    return b"".join([*parts, chunk(b"IEND")])


def drawn(data: bytes, content_type: str, *places: tuple[int, int]) -> list[list[tuple[int, ...]]]:
    """Return the colours of these places in each frame."""
    return [
        [frame.convert("RGBA").getpixel(place) for place in places]  # type: ignore[misc]
        for frame in frames_of(opened(data, content_type, PIXELS))
    ]


def developed(data: bytes, encoding: Encoding = "webp") -> Developed:
    return develop(data, max_pixels=PIXELS, encoding=encoding)


def shown(result: Developed, name: str = "display") -> Any:
    return Image.open(io.BytesIO(result.variants[name].data))


# How frames are drawn (each of these is what Chromium shows)

CORNER, MIDDLE = (1, 1), (20, 20)


@pytest.mark.parametrize(
    ("frames", "seen"),
    {
        "one that is smaller than the screen": ([gif_frame((20, 20), 1, (10, 10))], [[NOTHING, RED]]),
        "one over another": ([gif_frame((40, 40), 1), gif_frame((9, 9), 2)], [[RED, RED], [GREEN, RED]]),
        "one that is transparent": ([gif_frame((40, 40), 1), gif_frame((9, 9), 0)], [[RED, RED], [RED, RED]]),
        "one that is cleared": (
            [gif_frame((40, 40), 1, disposal=CLEAR), gif_frame((9, 9), 2)],
            [[RED, RED], [GREEN, NOTHING]],
        ),
        "one of which a part is cleared": (
            [gif_frame((40, 40), 1), gif_frame((9, 9), 2, disposal=CLEAR), gif_frame((9, 9), 3, (16, 16))],
            [[RED, RED], [GREEN, RED], [NOTHING, BLUE]],
        ),
        "one that goes as it came": (
            [gif_frame((40, 40), 1), gif_frame((9, 9), 2, disposal=RESTORE), gif_frame((9, 9), 3, (16, 16))],
            [[RED, RED], [GREEN, RED], [RED, BLUE]],
        ),
        "the first that goes as it came": (
            [gif_frame((40, 40), 1, disposal=RESTORE), gif_frame((9, 9), 2)],
            [[RED, RED], [GREEN, NOTHING]],
        ),
    }.values(),
)
def test_a_gif_is_drawn_as_browsers_draw_it(frames: list[bytes], seen: list[list[tuple[int, ...]]]) -> None:
    assert drawn(gif((40, 40), *frames), "image/gif", CORNER, MIDDLE) == seen


def test_the_first_frame_of_a_gif_enlarges_the_screen_and_others_are_cut_off() -> None:
    first = inspect(gif((20, 20), gif_frame((20, 20), 1, (10, 5)), gif_frame((9, 9), 1)), max_pixels=PIXELS)
    assert (first.width, first.height) == (30, 25)
    data = gif(
        (20, 20), gif_frame((20, 20), 1), gif_frame((40, 30), 2, (10, 10)), gif_frame((9, 9), 3, (65_000, 0))
    )
    picture = inspect(data, max_pixels=PIXELS)
    assert (picture.width, picture.height, picture.frames) == (20, 20, 3)
    assert drawn(data, "image/gif", (1, 1), (19, 19)) == [[RED, RED], [RED, GREEN], [RED, GREEN]]


def test_a_small_frame_is_transparent_around_in_the_variants_too() -> None:
    result = developed(gif((40, 40), gif_frame((20, 20), 1, (10, 10))))
    for name in ("thumb", "display"):
        image = shown(result, name).convert("RGBA")
        assert image.getpixel(CORNER)[3] == 0
        assert image.getpixel(MIDDLE)[3] == 255


@pytest.mark.parametrize(
    ("frames", "seen"),
    {
        "one over another": ([png_frame((40, 40), RED), png_frame((9, 9), NOTHING)], [[RED, RED], [RED, RED]]),
        "one in place of another": (
            [png_frame((40, 40), RED), png_frame((9, 9), NOTHING, over=False)],
            [[RED, RED], [NOTHING, RED]],
        ),
        "one that is cleared": (
            [png_frame((40, 40), RED, disposal=CLEAR), png_frame((9, 9), GREEN)],
            [[RED, RED], [GREEN, NOTHING]],
        ),
        "one that goes as it came": (
            [
                png_frame((40, 40), RED),
                png_frame((9, 9), GREEN, disposal=RESTORE),
                png_frame((9, 9), BLUE, (16, 16)),
            ],
            [[RED, RED], [GREEN, RED], [RED, BLUE]],
        ),
    }.values(),
)
def test_a_png_is_drawn_as_browsers_draw_it(
    frames: list[tuple[bytes, bytes]], seen: list[list[tuple[int, ...]]]
) -> None:
    assert drawn(png((40, 40), *frames), "image/png", CORNER, MIDDLE) == seen


def test_what_an_opaque_png_clears_is_transparent() -> None:
    frames = [png_frame((40, 40), RED[:3], disposal=CLEAR), png_frame((9, 9), GREEN[:3])]
    assert drawn(png((40, 40), *frames, mode=2), "image/png", CORNER, MIDDLE) == [[RED, RED], [GREEN, NOTHING]]


@pytest.mark.parametrize("encoding", ["webp", "avif"])
def test_what_stands_in_for_an_animated_png_is_not_shown(encoding: Encoding) -> None:
    frames = [png_frame((20, 20), RED, (10, 10)), png_frame((40, 40), GREEN)]
    data = png((40, 40), *frames, hidden=bytes(BLUE))
    assert inspect(data, max_pixels=PIXELS).frames == 2
    assert drawn(data, "image/png", CORNER, MIDDLE) == [[NOTHING, RED], [GREEN, GREEN]]
    result = developed(data, encoding)
    assert shown(result).n_frames == 2
    red, _, blue, _ = shown(result, "thumb").convert("RGBA").getpixel(MIDDLE)
    assert red > 200
    assert blue < 50


@pytest.mark.parametrize(
    "frames",
    {
        "one without pixels": [png_frame((40, 40), RED), (png_frame((9, 9), RED)[0], b"")],
        "one of no size": [png_frame((40, 40), RED), png_frame((0, 9), RED)],
        "one beyond the edge": [png_frame((40, 40), RED), png_frame((9, 9), RED, (32, 0))],
    }.values(),
)
def test_a_png_with_a_bad_frame_is_refused(frames: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(InvalidImage):
        inspect(png((40, 40), *frames), max_pixels=PIXELS)


def test_a_png_whose_frames_are_out_of_order_is_refused() -> None:
    data = png((40, 40), png_frame((40, 40), RED), png_frame((40, 40), BLUE), png_frame((40, 40), GREEN))
    later = data.index(b"fcTL", data.index(b"fcTL") + 4) + 4
    body = struct.pack(">I", 9) + data[later + 4 : later + 26]
    with pytest.raises(InvalidImage, match="order"):
        inspect(data[: later - 8] + chunk(b"fcTL", body) + data[later + 30 :], max_pixels=PIXELS)


# How long, and how often


@pytest.mark.parametrize("hundredths", [0, 1])
def test_a_frame_as_short_as_browsers_do_not_show_lasts_a_tenth_of_a_second(hundredths: int) -> None:
    frames = [gif_frame((40, 40), colour, hundredths=hundredths) for colour in (1, 2)]
    image = shown(developed(gif((40, 40), *frames, gif_frame((40, 40), 3, hundredths=2))))
    durations = []
    for number in range(3):
        image.seek(number)
        image.load()
        durations.append(image.info["duration"])
    assert durations == [100, 100, 20]


TWO = [gif_frame((40, 40), 1), gif_frame((40, 40), 2)]
TWO_OF_PNG = [png_frame((40, 40), RED), png_frame((40, 40), GREEN)]


def webp_that_plays(times: int) -> bytes:
    first, second = (Image.new("RGB", (40, 40), colour[:3]) for colour in (RED, GREEN))
    return saved(first, "WEBP", save_all=True, append_images=[second], loop=times)


@pytest.mark.parametrize("encoding", ["webp", "avif"])
@pytest.mark.parametrize(
    ("data", "plays"),
    {
        "a GIF that says nothing": (gif((40, 40), *TWO), 1),
        "a GIF that never ends": (gif((40, 40), *TWO, loop=0), 0),
        "a GIF that plays once again": (gif((40, 40), *TWO, loop=1), 2),
        "a GIF that plays 4 times again": (gif((40, 40), *TWO, loop=4), 5),
        "a GIF that plays as often as it may": (gif((40, 40), *TWO, loop=65_535), 65_535),
        "a GIF that says it behind its first frame": (
            gif((40, 40), TWO[0] + b"!\xff\x0bNETSCAPE2.0\x03\x01\x04\0\0", TWO[1]),
            5,
        ),
        "a PNG that never ends": (png((40, 40), *TWO_OF_PNG), 0),
        "a PNG that plays once": (png((40, 40), *TWO_OF_PNG, plays=1), 1),
        "a PNG that plays 4 times": (png((40, 40), *TWO_OF_PNG, plays=4), 4),
        "a PNG that plays very often": (png((40, 40), *TWO_OF_PNG, plays=2**31 - 1), 65_535),
        "a WebP that never ends": (webp_that_plays(0), 0),
        "a WebP that plays 3 times": (webp_that_plays(3), 3),
    }.values(),
)
def test_a_variant_plays_as_often_as_its_picture(data: bytes, plays: int, encoding: Encoding) -> None:
    made = developed(data, encoding).variants["display"].data
    assert shown(developed(data, encoding)).n_frames == 2
    assert (plays_of_avif(memoryview(made)) if encoding == "avif" else shown(developed(data)).info["loop"]) == plays
    again = developed(made).variants["display"].data  # of an AVIF, too
    assert Image.open(io.BytesIO(again)).info["loop"] == plays


# How much


def long_gif(frames: int, size: tuple[int, int] = (600, 400), last: bytes | bytearray | None = None) -> bytes:
    turns = [gif_frame(size, colour) for colour in (1, 2, 3)]
    return gif(size, *(turns[number % 3] for number in range(frames - 1)), last or turns[0], loop=0)


def test_a_long_animation_of_small_frames_is_taken_and_stands_still_in_the_variants() -> None:
    data = long_gif(210)  # 50 megapixels in all: browsers play it
    result = developed(data)
    assert result.picture == inspect(data, max_pixels=600 * 400)
    assert result.picture.frames == 210
    assert getattr(shown(result), "n_frames", 1) == 1


def test_frames_are_decoded_up_to_the_work_that_one_picture_may_be() -> None:
    bad = bytearray(gif_frame((1, 1), 1))  # of one pixel, and says that it has more
    struct.pack_into("<HH", bad, 8 + 5, 600, 400)
    with pytest.raises(InvalidImage):
        inspect(long_gif(250, last=bad), max_pixels=PIXELS)
    assert inspect(long_gif(300, last=bad), max_pixels=PIXELS).frames == 300
    with pytest.raises(InvalidImage):
        inspect(long_gif(300)[:-2], max_pixels=PIXELS)  # its blocks are surveyed all the same


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_every_kind_of_animation_may_have_more_pixels_in_all_than_a_picture(kind: str) -> None:
    frames = [Image.new("RGB", (300, 200), colour[:3]) for colour in (RED, GREEN, BLUE)] * 4
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)
    result = develop(data, max_pixels=300 * 200, encoding="webp")
    assert result.picture.frames == 12
    assert getattr(shown(result), "n_frames", 1) == 1


def test_a_long_avif_that_is_cut_off_is_refused() -> None:
    frames = [Image.new("RGB", (1920, 1080), colour[:3]) for colour in (RED, GREEN, BLUE)] * 14
    data = saved(frames[0], "AVIF", save_all=True, append_images=frames[1:], speed=10)
    assert inspect(data, max_pixels=PIXELS).frames == 42  # of which 32 are decoded
    with pytest.raises(InvalidImage, match="truncated"):
        inspect(data[:-3], max_pixels=PIXELS)
