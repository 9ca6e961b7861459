"""JPEGs: all pixels are there or the picture is refused; work is counted first; odd metadata harms nothing."""

import io
import random
import re
import struct
import time
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise

import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from service.domain.errors import InvalidImage
from service.media import develop, inspect, memory_to_develop
from service.media.decoding import opened
from service.media.jpeg import survey_jpeg
from tests.jpegs import BASELINE, EVERY_OTHER_FRAME, EXTENDED, PROGRESSIVE, Pass, grey, jpeg_of
from tests.pictures import segment

PIXELS = 2**26
SIZE = (8192, 8192)
SIDE = SIZE[0] // 8  # blocks
LIMIT = 2**25  # blocks that all scans may pass over
LAST = 80  # bytes at the end of a scan that may be missing unseen: two or three blocks of noise


def saved(mode: str, size: tuple[int, int] = (96, 80), **options: object) -> bytes:
    chance = random.Random(mode)
    image = Image.frombytes(mode, size, chance.randbytes(len(mode) * size[0] * size[1]))
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return file.getvalue()


def in_three_scans() -> bytes:
    """Return a baseline JPEG with a scan for each component, from the scans of three grey ones."""
    data = [saved("L", quality=80 + number) for number in range(3)]
    heads = [each.index(b"\xff\xda") for each in data]
    scans = [each[head + 10 : -2] for each, head in zip(data, heads, strict=True)]
    frame = segment(0xC0, struct.pack(">BHHB", 8, 80, 96, 3) + bytes([0, 0x11, 0, 1, 0x11, 0, 2, 0x11, 0]))
    head = re.sub(rb"(?s)\xff\xc0.{11}", lambda _: frame, data[0][: heads[0]], count=1)
    coded = b"".join(segment(0xDA, bytes([1, number, 0, 0, 63, 0])) + scan for number, scan in enumerate(scans))
    return head + coded + b"\xff\xd9"


@cache
def pictures() -> dict[str, bytes]:
    return {
        "baseline": saved("RGB"),
        "baseline, all colours": saved("RGB", subsampling=0),
        "grey": saved("L"),
        "CMYK": saved("CMYK"),
        "progressive": saved("RGB", progressive=True),
        "progressive, grey": saved("L", progressive=True),
        "progressive, CMYK": saved("CMYK", progressive=True),
        "a scan for each component": in_three_scans(),
        "restarts": saved("RGB", restart_marker_rows=1),
        "many restarts": saved("L", restart_marker_blocks=1),
        "progressive, restarts": saved("RGB", progressive=True, restart_marker_blocks=5),
    }


every_picture = pytest.mark.parametrize("name", pictures())


def check(data: bytes) -> tuple[int, int]:
    picture = inspect(data, max_pixels=PIXELS)
    return picture.width, picture.height


def scans(data: bytes) -> list[tuple[int, int]]:
    """Return where the data of each scan begins and ends."""
    found = []
    for marker in re.finditer(rb"\xff\xda", data):
        start = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2])
        end = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]").search(data, start)
        assert end
        found.append((start, end.start()))
    return found


# Whole, or refused


@every_picture
@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_pixels_are_those_of_pillow(name: str, scale: int) -> None:
    data = pictures()[name]
    ours, theirs = opened(data, "image/jpeg", PIXELS), JpegImageFile(io.BytesIO(data))
    for picture in (ours, theirs):
        picture.draft(None, (96 // scale, 80 // scale))
    assert ours.size == theirs.size
    assert ours.tobytes() == theirs.tobytes()


@every_picture
@pytest.mark.parametrize("end", [b"\xff\xd9", b"", b"\xff"])
def test_a_scan_that_is_cut_is_refused_whatever_follows(name: str, end: bytes) -> None:
    data = pictures()[name]
    for start, stop in scans(data):
        for share in (0, 0.1, 0.5, 0.9):
            cut = start + int(share * (stop - start))
            if cut < stop - LAST:
                with pytest.raises(InvalidImage):
                    pytest.fail(f"{cut} of {len(data)} bytes are {check(data[:cut] + end)}")


@every_picture
@pytest.mark.parametrize("end", [b"", b"\xff", b"\0", bytes(5000), b"\xff\xff\xff", b"<html>"])
def test_a_picture_that_only_lacks_its_end_is_whole(name: str, end: bytes) -> None:
    data = pictures()[name]
    assert data.endswith(b"\xff\xd9")
    whole, lacking = (opened(each, "image/jpeg", PIXELS).tobytes() for each in (data, data[:-2] + end))
    assert whole == lacking


def test_a_progression_that_is_cut_between_its_scans_is_refused_where_no_end_says_so() -> None:
    data = pictures()["progressive"]
    *most, _ = scans(data)
    for _, stop in most:
        with pytest.raises(InvalidImage, match="pixels are missing"):
            check(data[:stop])
    assert check(data[: most[-1][1]] + b"\xff\xd9") == (96, 80)


def test_a_component_without_a_scan_is_refused() -> None:
    data = pictures()["a scan for each component"]
    *_, (start, stop) = scans(data)
    with pytest.raises(InvalidImage, match="pixels are missing"):
        check(data[: start - 10] + data[stop:])


def test_data_that_has_lost_a_part_is_refused_if_it_is_missed() -> None:
    data = saved("RGB", (400, 300))
    ((start, stop),) = scans(data)
    for at in range(start, stop - 1000, 5000):
        with pytest.raises(InvalidImage):
            check(data[:at] + data[at + 1000 :])


@pytest.mark.parametrize("name", ["restarts", "many restarts", "progressive, restarts"])
def test_all_restart_intervals_must_be_there(name: str) -> None:
    data = pictures()[name]
    first, second, third = restarts(data)[:3]
    for damaged in (
        data[:first] + data[second:],
        data[:second] + data[second + 2 :],
        data[:second] + data[second:third] * 2 + data[third:],
    ):
        with pytest.raises(InvalidImage):
            check(damaged)
    end = scans(data)[0][1]
    assert check(data[:end] + b"\xff\xd0" + data[end:]) == (96, 80)  # as some encoders do


def test_each_restart_interval_must_be_whole() -> None:
    data = pictures()["restarts"]
    for first, second in pairwise(restarts(data)):
        for kept in (0, 10, (second - first) // 2):
            with pytest.raises(InvalidImage, match="pixels are missing"):
                check(data[: first + 2 + kept] + data[second:])


def restarts(data: bytes) -> list[int]:
    return [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)]


def test_restarts_that_nobody_announced_end_the_data() -> None:
    data = pictures()["baseline"]
    start, stop = scans(data)[0]
    with pytest.raises(InvalidImage):
        check(data[: (start + stop) // 2] + b"\xff\xd0" + data[(start + stop) // 2 :])


def test_some_data_may_be_left_over_and_any_fill() -> None:
    chance = random.Random(0)
    for name in ("baseline", "progressive", "a scan for each component", "restarts"):
        data = pictures()[name]
        for extra in (bytes(50_000), b"\xff" * 50_000, chance.randbytes(500).replace(b"\xff", b"")):
            assert check(data[:-2] + extra + data[-2:]) == (96, 80)
        with pytest.raises(InvalidImage, match="more data than pixels"):
            check(data[:-2] + chance.randbytes(5000).replace(b"\xff", b"") + data[-2:])


# What it costs


@pytest.mark.parametrize("frame", EVERY_OTHER_FRAME)
def test_what_no_browser_shows_is_refused_and_told(frame: int) -> None:
    with pytest.raises(InvalidImage, match="lossless, hierarchical or arithmetic"):
        check(jpeg_of((64, 64), Pass(data=grey(64)), frame=frame))


def test_more_than_8_bits_are_refused_and_told() -> None:
    with pytest.raises(InvalidImage, match="12 bits per sample"):
        check(jpeg_of((64, 64), Pass(data=grey(64)), frame=EXTENDED, precision=12))


def test_two_components_are_refused_and_told() -> None:
    with pytest.raises(InvalidImage, match="2 components"):
        check(jpeg_of((64, 64), Pass((0, 1), data=grey(128)), sampling=(0x11, 0x11)))


def refining(count: int) -> list[Pass]:
    return [Pass(end=0), *[Pass((0,), 1, 63, 1, 0)] * count]


BOMBS: dict[str, bytes] = {
    "64 arithmetic scans": jpeg_of((7072, 7064), *[Pass(range(4))] * 64, frame=0xC9, sampling=(0x11,) * 4),
    "32 refinements": jpeg_of(SIZE, *refining(32), frame=PROGRESSIVE),
    "12 scans of three components": jpeg_of(
        SIZE, *[Pass(range(3), end=0)] * 12, frame=PROGRESSIVE, sampling=(0x11,) * 3
    ),
    "a scan of each component, 34 times": jpeg_of(SIZE, *[Pass((0,))] * 34, sampling=(0x11,) * 3),
    "extended, 34 times": jpeg_of(SIZE, *[Pass((0,))] * 34, sampling=(0x11,) * 3, frame=EXTENDED),
    "many, whose sampling makes small ones large": jpeg_of(
        (4096, 4096), *[Pass((0,))] * 200, sampling=(0x44, 0x11, 0x11)
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_scan_bomb_is_refused_before_anything_is_decoded(name: str) -> None:
    began = time.process_time()
    with pytest.raises(InvalidImage, match=r"blocks of 8 x 8|arithmetic") as refusal:
        check(BOMBS[name])
    assert refusal.value.__cause__ is None
    assert time.process_time() - began < 1  # seconds; the first would take 30


def test_blocks_count_as_a_scan_has_them() -> None:
    each = SIDE * SIDE
    assert LIMIT % each == 0
    assert survey_jpeg(memoryview(jpeg_of(SIZE, *refining(LIMIT // each - 1), frame=PROGRESSIVE)), PIXELS)
    halved = jpeg_of(SIZE, *[Pass((1,))] * (4 * LIMIT // each), sampling=(0x22, 0x11, 0x11))
    assert survey_jpeg(memoryview(halved), PIXELS)
    with pytest.raises(InvalidImage, match="fewer scans"):
        survey_jpeg(memoryview(halved[:-2] + halved[-12:]), PIXELS)


def thorough() -> Iterator[Pass]:
    """Yield more scans than any encoder makes of itself: 22, of all colours."""
    yield Pass(range(3), 0, 0, 0, 1)
    yield Pass(range(3), 0, 0, 1, 0)
    for component in range(3):
        for start, end in ((1, 2), (3, 8), (9, 63)):
            yield Pass((component,), start, end, 0, 2)
        for high in (2, 1):
            yield Pass((component,), 1, 63, high, high - 1)
    yield from [Pass((0,), 1, 5, 1, 0)] * 5


def test_a_progressive_photograph_of_50_megapixels_may_have_22_scans() -> None:
    assert survey_jpeg(
        memoryview(jpeg_of((8192, 6144), *thorough(), frame=PROGRESSIVE, sampling=(0x11,) * 3)), PIXELS
    )


def test_the_dearest_picture_that_is_taken_has_its_price() -> None:
    side = 2048  # a sixteenth of the largest
    blocks = (side // 8) ** 2
    first = Pass(end=0, data=grey(blocks, 1))
    data = jpeg_of(
        (side, side), first, *[Pass((0,), 1, 63, 1, 0, grey(blocks, 1))] * (LIMIT // SIDE**2 - 1), frame=PROGRESSIVE
    )
    began = time.process_time()
    assert check(data) == (side, side)
    assert 16 * (time.process_time() - began) < 5  # seconds; measured: 2


@pytest.mark.parametrize("restart", [1, 7])
def test_millions_of_restarts_cost_little(restart: int) -> None:
    blocks = 4096 * 4096 // 64
    interval = grey(restart)
    data = b"".join(interval + bytes((0xFF, 0xD0 + number % 8)) for number in range(-(-blocks // restart) - 1))
    began = time.process_time()
    assert check(jpeg_of((4096, 4096), Pass(data=data + interval), restart=restart)) == (4096, 4096)
    with pytest.raises(InvalidImage):
        check(jpeg_of((64, 64), Pass(data=data), restart=1))
    assert time.process_time() - began < 2  # seconds


def test_a_picture_in_several_scans_weighs_its_coefficients() -> None:
    for sampling, samples in (((0x11,), 1.0), ((0x22, 0x11, 0x11), 1.5), ((0x11,) * 3, 3.0), ((0x11,) * 4, 4.0)):
        weights = {}
        for frame, passes in ((BASELINE, [Pass((0,))]), (PROGRESSIVE, [Pass(range(len(sampling)), end=0)])):
            data = jpeg_of((7072, 7072), *passes, frame=frame, sampling=sampling)
            weights[frame] = memory_to_develop(data, max_pixels=PIXELS)
        alone = memory_to_develop(
            jpeg_of((7072, 7072), Pass(range(len(sampling))), sampling=sampling), max_pixels=PIXELS
        )
        assert alone < 20_000_000
        assert weights[PROGRESSIVE] - alone == pytest.approx(2 * samples * 7072**2, rel=0.01)
        assert weights[BASELINE] == pytest.approx(weights[PROGRESSIVE] if len(sampling) > 1 else alone, abs=1000)


# Metadata

PROFILE = b"ICC_PROFILE\0\x01\x01" + bytes(200)
ODD_SEGMENTS: dict[str, Callable[[int], bytes]] = {
    "JFIF": lambda length: segment(0xE0, b"JFIF\0\x01\x02\x01\0\x48\0\x48\0\0"[:length]),
    "Adobe": lambda length: segment(0xEE, b"Adobe\0\x64\0\0\0\0\x01"[:length]),
    "EXIF": lambda length: segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03"[:length]),
    "profile": lambda length: segment(0xE2, PROFILE[:length]),
    "profile of another count": lambda length: segment(0xE2, PROFILE[:12] + bytes([length, 9]) + PROFILE[14:]),
    "MPF": lambda length: segment(0xE2, b"MPF\0MM\0*\0\0\0\x08"[:length]),
    "FlashPix": lambda length: segment(0xE2, b"FPXR\0\0\0"[:length]),
    "Photoshop": lambda length: segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0\0\0\0\x10"[:length]),
    "XMP": lambda length: segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x"[:length]),
    "comment": lambda length: segment(0xFE, b"comment"[:length]),
    "fill": lambda length: b"\xff" * length,
    "a marker that stands alone": lambda length: b"\xff\x01" * (length % 3),
}


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as decoding does, outside of tests
@pytest.mark.parametrize("name", ODD_SEGMENTS)
def test_short_and_odd_metadata_harms_nothing(name: str) -> None:
    for plain in (pictures()["baseline"], pictures()["CMYK"]):
        for length in range(24):
            odd = ODD_SEGMENTS[name](length)
            made = develop(plain[:2] + odd + plain[2:], max_pixels=PIXELS, encoding="webp")
            assert (made.picture.width, made.picture.height) == (96, 80)
            behind = plain.index(b"\xff\xda")
            assert check(plain[:behind] + odd + plain[behind:]) == (96, 80)


@pytest.mark.parametrize(
    "body", [b"", b"\0", b"JFIF", b"Exif", b"Adobe", b"ICC_PROFILE\0", b"Photoshop 3.0\0", b"\xff" * 9]
)
def test_no_application_segment_is_read_for_what_it_is_not(body: bytes) -> None:
    plain = pictures()["baseline"]
    for marker in (*range(0xE0, 0xF0), 0xFE):
        assert check(plain[:2] + segment(marker, body) + plain[2:]) == (96, 80)
