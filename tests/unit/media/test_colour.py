"""Colours are what a file means by its numbers, however it says so, and what is transparent in it stays so."""

import io
import time
from struct import pack
from typing import Any

import pytest
from PIL import Image

from service.media import develop
from service.media.avif import code_points
from service.media.colour import in_srgb
from service.media.profiles import as_in_browsers
from tests import colours
from tests.colours import LINEAR, P3, SRGB, cicp, gama, iccp, png
from tests.pictures import chunk

WHITE, GREY = (255, 255, 255), (128, 128, 128)
BRIGHT = (188, 188, 188)  # what half of the light is in sRGB
P3_RED = (234, 51, 35)  # sRGB's red in Display P3
RED = (255, 0, 0)


def shown(data: bytes) -> tuple[int, ...]:
    """Return the first pixel of the variant, as RGBA."""
    variant = develop(data, max_pixels=10**6, encoding="webp").variants["display"]
    return Image.open(io.BytesIO(variant.data)).convert("RGBA").getpixel((4, 4))  # type: ignore[return-value]


def assert_shown(data: bytes, colour: tuple[int, ...], tolerance: int = 4) -> None:
    seen = shown(data)
    assert all(abs(a - b) <= tolerance for a, b in zip(seen, (*colour, 255), strict=False)), (seen, colour)


def plain(colour: tuple[int, ...], *chunks: bytes) -> bytes:
    return png(8, 2, [[colour] * 16] * 16, *chunks)


def saved(kind: str, colour: tuple[int, ...], mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    image = Image.new("RGB", (16, 16), colour)
    image = image.quantize(2) if mode == "P" else image.convert(mode)
    image.save(file, kind, **({"lossless": True} if kind == "WEBP" else {"quality": 95}), **options)
    return file.getvalue()


# ---------------------------------------------------------------- profiles


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_profile_is_what_it_does_and_not_what_it_is_called(kind: str) -> None:
    assert_shown(saved(kind, P3_RED, icc_profile=P3), RED, 8)
    assert_shown(saved(kind, GREY, icc_profile=LINEAR), BRIGHT)
    assert_shown(saved(kind, GREY, icc_profile=SRGB), GREY)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA"])
def test_a_profile_of_colours_is_for_pictures_in_any_mode(mode: str) -> None:
    assert_shown(saved("PNG", GREY, mode, icc_profile=LINEAR), BRIGHT)


@pytest.mark.parametrize(
    ("kind", "mode", "counts"),
    [("PNG", "L", True), ("PNG", "LA", True), ("JPEG", "L", True), ("PNG", "RGB", False), ("PNG", "RGBA", False),
     ("JPEG", "RGB", False), ("WEBP", "RGB", False), ("PNG", "P", False), ("JPEG", "CMYK", False)],
)  # fmt: skip
def test_a_profile_of_greys_is_for_grey_pictures(kind: str, mode: str, counts: bool) -> None:
    assert_shown(saved(kind, GREY, mode, icc_profile=colours.grey(colours.power(1))), BRIGHT if counts else GREY)


def test_a_grey_picture_of_16_bits_with_alpha_has_its_profile() -> None:
    data = png(16, 4, [[(0x8080, 0xFFFF)] * 16] * 16, iccp(colours.grey(colours.power(1))))
    assert_shown(data, BRIGHT)


def test_a_profile_of_inks_is_for_pictures_of_inks() -> None:
    assert_shown(saved("JPEG", WHITE, "CMYK", icc_profile=colours.INK), WHITE)
    black = saved("JPEG", (0, 0, 0), "CMYK", icc_profile=colours.INK)
    assert_shown(black, (34, 34, 34))  # ink is not quite black, and browsers do not make it so
    assert_shown(saved("JPEG", RED, "RGB", icc_profile=colours.INK), RED)


BAD = {
    "cut": LINEAR[:200],
    "longer than it is": pack(">I", 10**6) + LINEAR[4:],
    "no profile at all": LINEAR[:36] + b"nope" + LINEAR[40:],
    "tags without end": LINEAR[:128] + b"\xff\xff\xff\xff" + LINEAR[132:],
    "a tag outside": LINEAR[:148] + pack(">I", 2**32 - 8) + LINEAR[152:],
    "without curves": colours.icc(colours.named("sRGB")),
    "of two devices": colours.rgb(colours.XYZ_OF_SRGB, colours.power(1), kind=b"link"),
    "of Lab": colours.rgb(colours.XYZ_OF_SRGB, colours.power(1), space=b"Lab "),
    "too large": colours.icc({b"A2B0": bytes(5 * 2**20)}, pcs=b"Lab "),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_profile_counts_as_none(bad: str) -> None:
    assert_shown(saved("WEBP", GREY, icc_profile=BAD[bad]), GREY)


def test_a_grey_profile_of_lab_counts_as_none() -> None:
    data = saved("PNG", GREY, "L", icc_profile=colours.grey(colours.power(1), pcs=b"Lab "))
    assert_shown(data, GREY)


def test_the_second_table_stands_in_for_the_first() -> None:
    def inverted(samples: Any) -> tuple[int, int, int]:
        return 255 - samples[0], 128, 128

    assert_shown(saved("PNG", WHITE, icc_profile=colours.table(b"RGB ", inverted, b"A2B1")), (0, 0, 0))


def test_nothing_of_a_profile_is_parsed_that_browsers_do_not_look_at() -> None:
    odd = {b"D2B0": b"mpet" + bytes(8) + b"\xff" * 60_000, b"A2B2": b"?" * 5000} | colours.named("sRGB" * 1000)
    kept = as_in_browsers(colours.rgb(colours.XYZ_OF_P3, colours.SRGB_CURVE) + b"tail")
    assert len(kept) < 400
    assert as_in_browsers(colours.icc(odd)) == as_in_browsers(colours.icc({}))


def test_tags_that_overlap_are_not_multiplied() -> None:
    curve = colours.power(1) + bytes(3 * 2**20)
    data = bytearray(colours.icc({b"A2B0": curve} | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC", b"kTRC"), b"")))
    for at in range(132, 192, 12):
        data[at + 4 : at + 12] = data[136:144]
    with pytest.raises(ValueError, match="too large"):
        as_in_browsers(bytes(data))


TABLES = {
    "bytes": b"mft1" + bytes(4) + bytes((4, 3, 120, 0)),
    "words": b"mft2" + bytes(4) + bytes((3, 3, 255, 0)),
    "after curves": b"mAB \0\0\0\0\4\3" + bytes(14) + pack(">II", 32, 0) + b"PPPP" + bytes(12) + b"\1",
}


@pytest.mark.parametrize("table", TABLES)
def test_room_is_not_made_for_a_table_that_is_not_there(table: str) -> None:
    with pytest.raises(ValueError, match="table"):
        as_in_browsers(colours.icc({b"A2B0": TABLES[table] + bytes(50_000)}, space=b"CMYK", pcs=b"Lab "))


def test_a_profile_that_many_pictures_have_costs_next_to_nothing() -> None:
    def seconds() -> float:
        began = time.thread_time()
        in_srgb(Image.new("RGB", (16, 16)), [SRGB])
        return time.thread_time() - began

    assert min(seconds() for _ in range(30)) < 0.001


# ---------------------------------------------------------------- colours without a profile


PRECEDENCE = {
    "gamma": ([gama(1)], BRIGHT),
    "gamma of nearly sRGB": ([gama(0.45455)], GREY),
    "gamma that is none": ([gama(0)], GREY),
    "gamma that is cut": ([chunk(b"gAMA", b"\0\1")], GREY),
    "gamma twice": ([gama(1), gama(0.45455)], BRIGHT),
    "sRGB before gamma": ([gama(1), colours.srgb()], GREY),
    "sRGB of no intent": ([chunk(b"sRGB", b"\x09"), gama(1)], BRIGHT),
    "a profile before sRGB": ([iccp(LINEAR), colours.srgb()], BRIGHT),
    "a profile before gamma": ([iccp(SRGB), gama(1)], GREY),
    "a bad profile": ([iccp(b"nonsense" * 40), gama(1)], BRIGHT),
    "chromaticities alone": ([colours.CHRM_OF_P3], GREY),
    "chromaticities of no colours": ([gama(1), colours.chrm(*((0.3, 0.3),) * 4)], GREY),
    "chromaticities of no white": ([gama(1), colours.chrm((0, 0), (0.64, 0.33), (0.3, 0.6), (0.15, 0.06))], GREY),
    "chromaticities that are cut": ([gama(1), chunk(b"cHRM", bytes(31))], BRIGHT),
    "numbers": ([cicp(1, 8)], BRIGHT),
    "numbers before all": ([gama(1), colours.srgb(), iccp(LINEAR), cicp(1, 13)], GREY),
    "numbers that mean nothing": ([cicp(1, 200), gama(1)], BRIGHT),
    "numbers of no colours": ([cicp(2, 2), gama(1)], BRIGHT),
    "numbers of another range": ([cicp(1, 13, full=0), gama(1)], BRIGHT),
    "numbers that are cut": ([chunk(b"cICP", b"\1\x0d"), gama(1)], BRIGHT),
}


@pytest.mark.parametrize("what", PRECEDENCE)
def test_a_png_says_in_several_ways_what_its_colours_are(what: str) -> None:
    chunks, colour = PRECEDENCE[what]
    assert_shown(plain(GREY, *chunks), colour)


@pytest.mark.parametrize("chunks", [[cicp(12, 13)], [gama(0.45455), colours.CHRM_OF_P3], [iccp(P3)]])
def test_display_p3_is_the_same_however_a_png_says_so(chunks: list[bytes]) -> None:
    assert_shown(plain(P3_RED, *chunks), RED, 10)


@pytest.mark.parametrize("depth", [2, 4, 8, 16])
def test_a_gamma_is_for_greys_of_any_depth(depth: int) -> None:
    third = (2**depth - 1) // 3
    assert_shown(png(depth, 0, [[(third,)] * 16] * 16, gama(1)), (156, 156, 156))


@pytest.mark.parametrize(
    ("transfer", "colour"),
    [*((each, 128) for each in (1, 2, 6, 13, 14, 200)), (4, 129), (5, 107), (7, 141), (8, 188), (17, 119)],
)
def test_an_avif_says_in_numbers_how_light_it_is(transfer: int, colour: int) -> None:
    assert_shown(colour_of_avif(GREY, 1, transfer), (colour,) * 3)


@pytest.mark.parametrize("primaries", [1, 2, 0, 200])
def test_primaries_that_are_not_known_are_those_of_srgb(primaries: int) -> None:
    assert_shown(colour_of_avif(P3_RED, primaries, 13), P3_RED, 6)


def test_an_avif_of_display_p3_is_so() -> None:
    assert_shown(colour_of_avif(P3_RED, 12, 13), RED, 10)


def test_an_avif_s_profile_is_before_its_numbers() -> None:
    assert_shown(colour_of_avif(GREY, 1, 8, icc_profile=SRGB), GREY)


def test_an_animated_avif_has_the_colours_of_its_track() -> None:
    frames = {"save_all": True, "append_images": [Image.new("RGB", (16, 16), RED)]}
    assert_shown(colour_of_avif(GREY, 1, 8, last=True, **frames), BRIGHT)
    assert_shown(colour_of_avif(GREY, 1, 8, last=False, **frames), GREY)


@pytest.mark.parametrize("what", [b"pitm", b"ipco", b"ipma"])
def test_an_avif_whose_tables_are_odd_is_none_the_worse(what: bytes) -> None:
    data = colour_of_avif(GREY, 1, 8)
    assert code_points(memoryview(data)) == (1, 8)
    at = data.index(what)
    assert code_points(memoryview(data[:at] + b"free" + data[at + 4 :])) is None
    for place in range(at + 4, at + 24):
        for value in (0, 1, 127, 255):
            code_points(memoryview(data[:place] + bytes((value,)) + data[place + 1 :]))


def colour_of_avif(
    colour: tuple[int, ...], primaries: int, transfer: int, *, last: bool = True, **options: Any
) -> bytes:
    """Return an AVIF that says so in one of its colr boxes: the last is a track's, if it has one."""
    data = bytearray(saved("AVIF", colour, **options))
    at = (data.rindex if last else data.index)(b"colrnclx")
    data[at + 8 : at + 12] = pack(">HH", primaries, transfer)
    return bytes(data)


# ---------------------------------------------------------------- transparency of a PNG


def transparent(*samples: int) -> bytes:
    return chunk(b"tRNS", pack(f">{len(samples)}H", *samples))


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_one_grey_is_transparent_at_any_depth(depth: int) -> None:
    last = 2**depth - 1
    for key in {0, 1, last // 3, last}:
        for other in {0, 1, last} - {key}:
            assert shown(png(depth, 0, [[(key,)] * 16] * 16, transparent(key)))[3] == 0
            assert shown(png(depth, 0, [[(other,)] * 16] * 16, transparent(key)))[3] == 255


@pytest.mark.parametrize("depth", [8, 16])
def test_one_colour_is_transparent_at_any_depth(depth: int) -> None:
    key = (2**depth - 2, 3, 2 ** (depth - 1))
    assert shown(png(depth, 2, [[key] * 16] * 16, transparent(*key)))[3] == 0
    for other in ((key[0] + 1, *key[1:]), (key[0], 4, key[2]), (*key[:2], key[2] - 1), key[::-1]):
        assert shown(png(depth, 2, [[other] * 16] * 16, transparent(*key)))[3] == 255


def test_a_grey_of_more_bits_than_there_are_makes_nothing_transparent() -> None:
    assert shown(png(4, 0, [[(5,)] * 16] * 16, transparent(5 + 16)))[3] == 255


@pytest.mark.parametrize("value", [0x0000, 0x1234, 0x8080, 0xFFFF])
def test_a_grey_of_16_bits_is_one_of_8(value: int) -> None:
    assert_shown(png(16, 0, [[(value,)] * 16] * 16), (value >> 8,) * 3, 1)


PALETTE = chunk(b"PLTE", bytes((*GREY, *RED)))


@pytest.mark.parametrize(
    ("index", "alphas", "colour"),
    [
        (1, b"", (*RED, 255)),
        (0, b"\x80", (*GREY, 128)),
        (1, b"\x80", (*RED, 255)),
        (7, b"", (*RED, 255)),
        (7, b"\xff\x80", (*RED, 128)),
        (7, b"\xff\x80" + bytes(6), (*RED, 128)),
        (0, b"\x80" * 300, (*GREY, 255)),
    ],
)
def test_a_palette_goes_on_with_its_last_colour(index: int, alphas: bytes, colour: tuple[int, ...]) -> None:
    data = png(4, 3, [[(index,)] * 16] * 16, PALETTE, *([chunk(b"tRNS", alphas)] if alphas else []))
    assert_shown(data, colour, 4)
