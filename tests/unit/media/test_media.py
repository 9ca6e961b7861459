"""Pictures are what their bytes are, decode whole or are refused, and cannot be made to cost too much."""

import io
import random
import re
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.AvifImagePlugin import AvifImageFile

from service.domain.errors import InvalidImage, UnsupportedImage
from service.media import Picture, inspect, sniff
from service.media.avif import survey_avif
from service.media.decoding import opened
from tests.pictures import NOT_TURNED, chunk, segment

MIB = 1024 * 1024
PIXELS = 50_000_000
SIZE = (48, 40)
QUARTER_TURNS = {5, 6, 7, 8}

TAILS = {
    "HTML": b"<html><script>alert(1)</script></html>",
    "a ZIP archive": b"PK\x03\x04" + bytes(range(256)) * 8,
    "a motion video": b"\0\0\0\x10ftypmp42\0\0\0\0"
    b"\0\0\0\x28moov\0\0\0\x20trak\0\0\0\x18mdia\0\0\0\x10minf\0\0\0\x08stbl",
    "another picture": b"\xff\xd8\xff\xe0 gain map \xff\xd9",
    "a zero": b"\0",
}

OTHER_FILES = {
    "nothing": b"",
    "one byte": b"\xff",
    "text": b"Once upon a time",
    "SVG": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
    "HTML": b"<!DOCTYPE html><img src=x onerror=alert(1)>",
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3",
    "ZIP": b"PK\x03\x04\x14\0\0\0",
    "TIFF, little-endian": b"II*\0\x08\0\0\0",
    "TIFF, big-endian": b"MM\0*\0\0\0\x08",
    "BMP": b"BM\x36\0\0\0\0\0\0\0",
    "ICO": b"\0\0\1\0\1\0\x10\x10",
    "HEIC": struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"heic", 0, b"mif1", b"heic"),
    "HEIF": struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"mif1", 0, b"mif1", b"miaf"),
    "MP4": struct.pack(">I4s4sI4s4s", 24, b"ftyp", b"isom", 0, b"isom", b"avc1"),
    "MP4 with AVIF's brand behind its brands": struct.pack(">I4s4sI4s4s", 16, b"ftyp", b"isom", 0, b"avif", b""),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "JPEG XL": b"\xff\x0a",
    "WAV": b"RIFF\x24\0\0\0WAVEfmt ",
    "AVI": b"RIFF\x24\0\0\0AVI LIST",
    "a PNG that went through a text-mode copy": b"\x89PNG\n\x1a\n",
    "GIF of another year": b"GIF88a\1\0\1\0\0\0\0;",
}


def noise(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """Return a picture that does not compress, so that a cut anywhere cuts pixels."""
    return Image.frombytes(mode, size, random.Random(mode).randbytes(len(mode) * size[0] * size[1]))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def animated(kind: str, mode: str = "RGB", **options: object) -> bytes:
    image = noise(mode)
    return saved(image, kind, save_all=True, append_images=[image.rotate(90), image.rotate(180)], **options)


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


@cache
def pictures() -> dict[str, tuple[bytes, str, int]]:
    """Return whole pictures, each with its content type and number of frames."""
    return {
        "JPEG": (saved(noise(), "JPEG"), "image/jpeg", 1),
        "grey JPEG": (saved(noise("L"), "JPEG"), "image/jpeg", 1),
        "CMYK JPEG": (saved(noise("CMYK"), "JPEG"), "image/jpeg", 1),
        "progressive JPEG": (saved(noise(), "JPEG", progressive=True), "image/jpeg", 1),
        "progressive grey JPEG": (saved(noise("L"), "JPEG", progressive=True), "image/jpeg", 1),
        "progressive CMYK JPEG": (saved(noise("CMYK"), "JPEG", progressive=True), "image/jpeg", 1),
        "JPEG with restarts": (saved(noise(), "JPEG", restart_marker_rows=1), "image/jpeg", 1),
        "PNG": (saved(noise(), "PNG"), "image/png", 1),
        "grey PNG": (saved(noise("L"), "PNG"), "image/png", 1),
        "transparent PNG": (saved(noise("RGBA"), "PNG"), "image/png", 1),
        "animated PNG": (animated("PNG"), "image/png", 3),
        "animated PNG beside another picture": (animated("PNG", default_image=True), "image/png", 2),
        "GIF": (saved(noise("L"), "GIF"), "image/gif", 1),
        "interlaced GIF": (saved(noise("L"), "GIF", interlace=1), "image/gif", 1),
        "animated GIF": (animated("GIF", "L"), "image/gif", 3),
        "colourful animated GIF": (animated("GIF", disposal=2), "image/gif", 3),
        "WebP": (saved(noise(), "WEBP"), "image/webp", 1),
        "lossless WebP": (saved(noise("RGBA"), "WEBP", lossless=True), "image/webp", 1),
        "animated WebP": (animated("WEBP"), "image/webp", 3),
        "lossless animated WebP": (animated("WEBP", "RGBA", lossless=True), "image/webp", 3),
        "AVIF": (saved(noise(), "AVIF", speed=10), "image/avif", 1),
        "transparent AVIF": (saved(noise("RGBA"), "AVIF", speed=10), "image/avif", 1),
        "animated AVIF": (animated("AVIF", speed=10), "image/avif", 3),
        "transparent animated AVIF": (animated("AVIF", "RGBA", speed=10), "image/avif", 3),
    }


every_picture = pytest.mark.parametrize("name", pictures())


def check(data: bytes | bytearray, max_pixels: int = PIXELS) -> Picture:
    return inspect(data, max_pixels=max_pixels)


def png(*chunks: bytes, size: tuple[int, int] = (1, 1)) -> bytes:
    """Return a grey PNG with these chunks before its pixels, of which there is one row."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1 + size[0] % 1000)))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *chunks, pixels, chunk(b"IEND")])


def box(kind: bytes, body: bytes = b"") -> bytes:
    """Return a box of an AVIF."""
    return struct.pack(">I4s", 8 + len(body), kind) + body


def gif(blocks: bytes, size: tuple[int, int] = (1, 1), trailer: bytes = b";") -> bytes:
    return b"GIF89a" + struct.pack("<HH3B", *size, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + blocks + trailer


def gif_frame(size: tuple[int, int] = (1, 1), corner: tuple[int, int] = (0, 0)) -> bytes:
    """Return a frame of a GIF whose pixels are one pixel."""
    return b"," + struct.pack("<4HB", *corner, *size, 0) + b"\x02\x02\x44\x01\0"


def cuts(data: bytes) -> Iterator[int]:
    """Return places to cut at: some everywhere, all of them near both ends."""
    yield from sorted({*range(min(64, len(data))), *range(0, len(data), 61), *range(len(data) - 64, len(data))})


# What they are


@every_picture
def test_a_picture_is_what_its_bytes_are(name: str) -> None:
    data, content_type, frames = pictures()[name]
    assert check(data) == Picture(content_type, *SIZE, frames)


@every_picture
def test_it_is_the_same_in_any_buffer_and_leaves_it_as_it_was(name: str) -> None:
    data, *_ = pictures()[name]
    buffer = bytearray(data)
    assert inspect(buffer, max_pixels=PIXELS) == inspect(memoryview(data), max_pixels=PIXELS) == check(data)
    assert buffer == data
    buffer.clear()  # which raises while anything still looks at it


@every_picture
def test_thirty_two_bytes_tell_the_type(name: str) -> None:
    data, content_type, _ = pictures()[name]
    assert sniff(data[:32]) == content_type


@pytest.mark.parametrize("name", OTHER_FILES)
def test_other_files_are_not_supported(name: str) -> None:
    assert sniff(OTHER_FILES[name]) is None
    with pytest.raises(UnsupportedImage):
        check(OTHER_FILES[name])


def test_an_avif_may_name_its_brand_late() -> None:
    brands = [b"mif1", b"\0\0\0\0", b"miaf", b"MA1B", b"avif"]
    assert sniff(struct.pack(">I4s", 28, b"ftyp") + b"".join(brands)) == "image/avif"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "AVIF"])
def test_width_and_height_are_those_a_browser_shows(kind: str, orientation: int) -> None:
    picture = check(saved(noise(), kind, exif=exif(orientation)))
    assert (picture.width, picture.height) == (SIZE[::-1] if orientation in QUARTER_TURNS else SIZE)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("name", NOT_TURNED)
def test_what_browsers_do_not_turn_keeps_its_width_and_height(name: str, orientation: int) -> None:
    picture = check(NOT_TURNED[name](noise(), orientation))
    assert (picture.width, picture.height) == SIZE


@pytest.mark.parametrize(
    "bad",
    {
        "nothing": b"",
        "no TIFF": b"Exif\0\0spam",
        "no tags": b"Exif\0\0II*\0\x08\0\0\0\0\0",
        "tags that are not there": b"Exif\0\0II*\0\xff\xff\xff\xff",
        "cut short": exif(6)[:-12],
        "orientation 0": exif(0),
        "orientation 9": exif(9),
    }.values(),
)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # as decoding does, outside of tests
def test_bad_exif_turns_nothing_and_refuses_nothing(bad: bytes) -> None:
    for data in (
        saved(noise(), "JPEG").replace(b"\xff\xd8", b"\xff\xd8" + segment(0xE1, bad), 1),
        png(chunk(b"eXIf", bad.removeprefix(b"Exif\0\0"))),
        png(chunk(b"iTXt", b"exif\0\0\0\0\0text, where Pillow keeps bytes")),
    ):
        assert check(data).height in {1, SIZE[1]}


# Whole, or refused


# Bytes: the mark at the end; of a JPEG the last two or three blocks of noise as well.
UNSEEN = {"image/jpeg": 80, "image/png": 12, "image/gif": 1}


@every_picture
def test_a_picture_that_is_cut_anywhere_is_refused(name: str) -> None:
    data, content_type, _ = pictures()[name]
    for cut in cuts(data[: len(data) - UNSEEN.get(content_type, 0)]):
        with pytest.raises((InvalidImage, UnsupportedImage)):
            pytest.fail(f"{cut} of {len(data)} bytes are {check(data[:cut])}")


@pytest.mark.parametrize("name", [name for name in pictures() if "JPEG" in name or "GIF" in name])
def test_a_tail_does_not_stand_in_for_missing_data(name: str) -> None:
    data, *_ = pictures()[name]
    for cut in (len(data) // 2, len(data) - 100):
        with pytest.raises(InvalidImage):
            check(data[:cut] + TAILS["HTML"] * 100)


@pytest.mark.parametrize("name", [name for name in pictures() if "PNG" in name or "GIF" in name])
def test_a_picture_that_only_lacks_the_mark_at_its_end_is_whole(name: str) -> None:
    data, content_type, _ = pictures()[name]
    for missing in range(1, UNSEEN[content_type] + 1):
        assert check(data[:-missing]) == check(data)


@every_picture
@pytest.mark.parametrize("tail", TAILS)
def test_a_tail_after_the_end_is_nobodys_business(name: str, tail: str) -> None:
    data, *_ = pictures()[name]
    assert check(data + TAILS[tail]) == check(data)


@pytest.mark.parametrize("name", ["PNG", "transparent PNG", "animated PNG"])
def test_a_flipped_bit_anywhere_in_a_png_is_found(name: str) -> None:
    data, *_ = pictures()[name]
    for place in chain(range(8, 64), range(64, len(data), 97), range(len(data) - 16, len(data))):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        with pytest.raises(InvalidImage):
            pytest.fail(f"{place}: {check(damaged)}")


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"gAMA", b"pHYs", b"tIME"])
def test_metadata_of_a_png_that_is_damaged_counts_as_not_there(kind: bytes) -> None:
    damaged = chunk(kind, b"a\0\0damaged")[:-1] + b"?"
    assert check(png(damaged)).width == 1
    data, *_ = pictures()["PNG"]
    assert check(data[:-12] + damaged + data[-12:]).width == SIZE[0]


def test_missing_pixels_are_found_behind_right_checksums() -> None:
    pixels = zlib.compress(noise("L", (100, 101)).tobytes())
    header, end = chunk(b"IHDR", struct.pack(">IIBBBBB", 100, 100, 8, 0, 0, 0, 0)), chunk(b"IEND")
    for kept in (0, 1, 100, len(pixels) // 2, len(pixels) - 200):
        with pytest.raises(InvalidImage):
            check(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels[:kept]) + end)


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_picture() -> None:
    data, *_ = pictures()["JPEG"]
    with_thumbnail = data[:2] + segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0" + data) + data[2:]
    assert check(with_thumbnail).width == SIZE[0]
    with pytest.raises(InvalidImage):
        check(with_thumbnail[: -len(data) // 2])


def test_a_jpeg_of_several_pictures_counts_as_its_first() -> None:
    image = noise()
    data = saved(image, "MPO", save_all=True, append_images=[noise(size=(96, 80))])
    assert check(data) == Picture("image/jpeg", *SIZE, 1)


def test_a_jpeg_that_ends_before_it_begins_is_refused() -> None:
    data, *_ = pictures()["JPEG"]
    with pytest.raises(InvalidImage):
        check(b"\xff\xd8\xff\xd9" + data)


@pytest.mark.parametrize("gap", [b"\xff", b"\xff" * MIB, b"\0", b"\xff\0\xff\xd3"])
def test_fill_between_the_segments_of_a_jpeg_is_passed_over(gap: bytes) -> None:
    data, *_ = pictures()["JPEG"]
    app0 = 2 + 2 + int.from_bytes(data[4:6], "big")
    assert check(data[:app0] + gap + data[app0:]).width == SIZE[0]


@pytest.mark.parametrize(
    "frames",
    {
        "an extension only": b"!\xfe\x05hello\0",
        "no frame": b"",
        "a frame cut short": gif_frame()[:-2],
        "a frame with bad codes": b"," + struct.pack("<4HB", 0, 0, 1, 1, 0) + b"\x02\x01\xff\0",
        "a frame with less than its pixels": gif_frame((9, 9)),
        "a frame without pixels": gif_frame((0, 0)),
        "bytes between blocks": gif_frame() + b"spam" + gif_frame(),
    }.values(),
)
def test_a_gif_with_bad_blocks_is_refused(frames: bytes) -> None:
    assert check(gif(gif_frame() + gif_frame())).frames == 2
    with pytest.raises(InvalidImage):
        check(gif(frames))


@pytest.mark.parametrize("announced", [0, 1, 2, 4, 2**31, 2**32 - 1])
def test_an_animation_has_the_frames_it_announces(announced: int) -> None:
    data, *_ = pictures()["animated PNG"]
    real = chunk(b"acTL", struct.pack(">II", 3, 0))
    assert real in data
    with pytest.raises(InvalidImage):
        check(data.replace(real, chunk(b"acTL", struct.pack(">II", announced, 0))))
    with pytest.raises(InvalidImage):
        check(data.replace(real, real + real))


def with_a_bad_last_frame(name: str) -> bytes:
    """Return an animation whose structure is whole and whose last frame is not."""
    data, *_ = pictures()[name]
    if name == "animated PNG":
        start = data.rindex(b"fdAT")
        end = start + 4 + int.from_bytes(data[start - 4 : start], "big")
        body = data[start + 4 : start + 8] + bytes(end - start - 8)
        return data[: start - 4] + chunk(b"fdAT", body) + data[end + 4 :]
    if name == "lossless animated WebP":
        codes = data.rindex(b"VP8L") + 16
        return data[:codes] + bytes(60) + data[codes + 60 :]
    if name == "animated AVIF":  # the last sample is at the end
        entries = data.rindex(b"stsz") + 12
        (last,) = struct.unpack_from(">I", data, entries + 4 * int.from_bytes(data[entries : entries + 4], "big"))
        return data[:-last] + bytes(last)
    return data[:-200] + bytes(60) + data[-140:]


@pytest.mark.parametrize("name", ["animated PNG", "animated GIF", "lossless animated WebP", "animated AVIF"])
def test_the_last_frame_must_decode_like_the_first(name: str) -> None:
    with pytest.raises(InvalidImage, match="cannot be decoded completely"):
        check(with_a_bad_last_frame(name))


# Zero and too much


def sized_jpeg(width: int, height: int) -> bytes:
    data, *_ = pictures()["JPEG"]
    return re.sub(rb"(?s)(\xff\xc0...)....", lambda sof: sof[1] + struct.pack(">HH", height, width), data, count=1)


def sized_webp(width: int, height: int) -> bytes:
    data, *_ = pictures()["animated WebP"]
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return data[:24] + canvas + data[30:]


def sized_avif(width: int, height: int, data: bytes | None = None) -> bytes:
    """Return an AVIF whose container, item and track both, lies about the size."""
    lie = bytearray(data or pictures()["AVIF"][0])
    for ispe in re.finditer(rb"ispe", lie):
        struct.pack_into(">II", lie, ispe.end() + 4, width, height)
    for tkhd in re.finditer(rb"tkhd", lie):
        struct.pack_into(">II", lie, tkhd.end() + 88, width << 16, height << 16)
    for entry in re.finditer(rb"(?s)stsd.{12}av01", lie):
        struct.pack_into(">HH", lie, entry.end() + 24, width, height)
    return bytes(lie)


@pytest.mark.parametrize("size", [(0, 0), (0, 10), (10, 0)])
def test_a_picture_without_width_or_height_is_refused(size: tuple[int, int]) -> None:
    for data in (sized_jpeg(*size), png(size=size), gif(gif_frame((0, 0)), size)):
        with pytest.raises(InvalidImage, match="zero"):
            check(data)
    with pytest.raises(InvalidImage):
        check(sized_avif(*size))


def test_a_gif_without_a_screen_is_as_large_as_its_frame() -> None:
    assert check(gif(gif_frame(), size=(0, 0))) == Picture("image/gif", 1, 1, 1)


@pytest.mark.parametrize(
    "bomb",
    {
        "JPEG": sized_jpeg(65_500, 65_500),
        "PNG": png(size=(60_000, 60_000)),
        "long PNG": png(size=(2**31 - 1, 2**31 - 1)),
        "GIF": gif(gif_frame((65_535, 65_535))),
        "GIF with an empty screen": gif(gif_frame((65_535, 65_535)), size=(0, 0)),
        "GIF whose second frame is larger": gif(gif_frame() + gif_frame((65_535, 65_535))),
        "WebP": sized_webp(16_383, 16_383),
        "AVIF": sized_avif(16_384, 16_384),
    }.values(),
)
def test_a_picture_of_too_many_pixels_is_refused_by_its_header(bomb: bytes) -> None:
    with pytest.raises(InvalidImage, match=r"too large: .* pixels; the limit is 50 megapixels"):
        check(bomb)


@pytest.mark.parametrize("frames", [1, 3])
def test_an_avif_that_lies_about_its_size_is_not_decoded(frames: int) -> None:
    image = Image.new("L", (2048, 2048))
    data = saved(image, "AVIF", speed=10, save_all=True, append_images=[image] * (frames - 1))
    assert check(data).frames == frames
    with pytest.raises(InvalidImage, match="more pixels than its header"):
        check(sized_avif(64, 64, data))


def relocated(data: bytes, place: str) -> bytes:
    """Return an AVIF whose one item lies somewhere else: in pieces in mdat, or in idat."""
    ftyp = data[: int.from_bytes(data[:4], "big")]
    tables = data[len(ftyp) + 12 : data.index(b"mdat") - 4]  # of meta
    start, end = tables.index(b"iloc") - 4, tables.index(b"iinf") - 4
    av1 = data[data.index(b"mdat") + 4 :]
    method, first = (1, 0) if place == "idat" else (0, len(ftyp) + 8)
    extents = [(first, 3), (first + 3, len(av1) - 3)]  # a cut inside the sequence header
    iloc = struct.pack(">BxxxHHHHHH", 1, 0x4400, 1, 1, method, 0, len(extents))
    iloc += b"".join(struct.pack(">II", *extent) for extent in extents)
    meta = bytes(4) + tables[:start] + box(b"iloc", iloc) + tables[end:] + (box(b"idat", av1) if method else b"")
    return ftyp + (b"" if method else box(b"mdat", av1)) + box(b"meta", meta)


@pytest.mark.parametrize("place", ["idat", "pieces"])
def test_no_part_of_an_avif_lies_unseen(place: str) -> None:
    honest = relocated(saved(Image.new("L", (2048, 2048)), "AVIF", speed=10), place)
    assert check(honest) == Picture("image/avif", 2048, 2048, 1)
    with pytest.raises(InvalidImage, match="more pixels than its header"):
        check(sized_avif(64, 64, honest))


def test_a_track_of_an_avif_is_looked_at_like_an_item() -> None:
    image = Image.new("L", (2048, 2048))
    lie = bytearray(sized_avif(64, 64, saved(image, "AVIF", speed=10, save_all=True, append_images=[image])))
    struct.pack_into(">I", lie, lie.index(b"iinf") - 8, 2)  # leaves the item a temporal delimiter
    with pytest.raises(InvalidImage, match="more pixels than its header"):
        check(lie)
    data, *_ = pictures()["animated AVIF"]
    with pytest.raises(InvalidImage, match="ambiguous"):
        check(data.replace(b"stss", b"stco"))


@pytest.mark.parametrize("name", ["animated PNG", "animated GIF", "animated WebP", "animated AVIF"])
def test_each_frame_may_be_as_large_as_a_picture(name: str) -> None:
    data, *_ = pictures()[name]
    assert check(data, max_pixels=SIZE[0] * SIZE[1]).frames == 3
    with pytest.raises(InvalidImage, match="too large"):
        check(data, max_pixels=SIZE[0] * SIZE[1] - 1)


def avif_of(mdat: bytes, *items: tuple[int, ...]) -> bytes:
    """Return an AVIF of items that are extents of mdat, each in turns its offset and its length."""
    ftyp = pictures()["AVIF"][0][:32]
    entries = b"".join(
        struct.pack(f">HHH{len(extents)}I", number, 0, len(extents) // 2, *extents)
        for number, extents in enumerate(items, 1)
    )
    iloc = box(b"iloc", struct.pack(">IHH", 0, 0x4400, len(items)) + entries)
    return ftyp + box(b"mdat", mdat) + box(b"meta", bytes(4) + iloc)


def avif_of_samples(count: int) -> bytes:
    """Return an AVIF that says it has so many samples, of a byte each."""
    data = bytearray(pictures()["animated AVIF"][0])
    struct.pack_into(">II", data, data.index(b"stsz") + 8, 1, count)
    struct.pack_into(">I", data, data.index(b"stsc") + 16, count)
    return bytes(data)


def hostile() -> Iterator[tuple[str, bytes]]:
    """Return files that cost much more than their size suggests, unless somebody counts."""
    yield "500,000 frames, GIF", gif(gif_frame() * 500_000)
    controls = [chunk(b"fcTL", struct.pack(">5I2H2B", each, 1, 1, 0, 0, 1, 10, 0, 0)) for each in range(20_000)]
    yield "20,000 frames, PNG", png(chunk(b"acTL", struct.pack(">II", 20_000, 0)), *controls)
    data, *_ = pictures()["progressive JPEG"]
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    yield "a thousand scans", data[:-2] + last_scan * 1000 + data[-2:]
    yield "a million segments", data[:2] + segment(0xE0, b"") * 1_000_000 + data[2:]

    yield "200,000 chunks", png(chunk(b"tEXt") * 200_000)

    data, *_ = pictures()["AVIF"]
    yield "a million boxes", data[:32] + box(b"free") * 1_000_000 + data[32:]
    yield "40,000 items", avif_of(bytes(8), *[(40, 8)] * 40_000)
    yield "a thousand times the same item", avif_of(bytes(MIB), *[(40, MIB)] * 1_000)
    yield "a thousand times the same extent", avif_of(bytes(MIB), (40, MIB) * 1_000)
    yield "a million AV1 units", avif_of(b"\x12\0" * MIB, (40, 2 * MIB))
    yield "a billion samples", avif_of_samples(10**9)
    yield "a thousand pictures behind one", avif_of(b"\x32\1x" * 1_000, (40, 3_000))


HOSTILE = dict(hostile())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_before_they_cost_anything(name: str) -> None:
    began = time.process_time()
    with pytest.raises(InvalidImage) as refusal:
        check(HOSTILE[name])
    assert refusal.value.__cause__ is None  # no decoder has met it
    assert time.process_time() - began < 2  # seconds; they would take up to minutes


def harmless() -> Iterator[tuple[str, bytes]]:
    """Return pictures with more in them than is worth looking at."""
    data, *_ = pictures()["animated WebP"]
    first = data.index(b"ANMF")
    frames = data[8:first] + data[first : data.index(b"ANMF", first + 4)] * 20_000
    yield "20,000 frames, WebP", b"RIFF" + struct.pack("<I", len(frames)) + frames
    yield "40,000 frames on a large screen, GIF", gif(gif_frame() * 40_000, (4096, 4096))
    yield "a million extensions, GIF", gif(b"!\xfe" + b"\1x" * 1_000_000 + b"\0" + gif_frame())
    yield "a million blocks, GIF", gif(gif_frame()[:-1] + b"\1x" * 1_000_000 + b"\0")
    inflating = zlib.compress(bytes(64 * MIB), 9)
    for name, text in {"iTXt": b"a\0\1\0\0\0", "zTXt": b"a\0\0", "iCCP": b"a\0\0"}.items():
        yield f"{name} without end", png(chunk(name.encode(), text + inflating) * 100)


HARMLESS = dict(harmless())


@pytest.mark.parametrize("name", HARMLESS)
def test_what_need_not_be_looked_at_costs_little(name: str) -> None:
    began = time.process_time()
    assert check(HARMLESS[name]).frames >= 1
    assert time.process_time() - began < 3  # seconds; some would take minutes, or gigabytes


# Metadata is not the picture

LARGE_TEXT = zlib.compress(random.Random(0).randbytes(3 * MIB).hex().encode())
NOT_THE_PICTURE = {
    "a megabyte of text, deflated": chunk(b"zTXt", b"prompt\0\0" + LARGE_TEXT),
    "a megabyte of international text": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LARGE_TEXT),
    "65 such texts": chunk(b"zTXt", b"prompt\0\0" + zlib.compress(bytes(MIB))) * 65,
    "text that does not inflate": chunk(b"zTXt", b"prompt\0\0spam"),
    "text by an unknown method": chunk(b"zTXt", b"prompt\0\1spam"),
    "text without a key": chunk(b"zTXt") + chunk(b"iTXt", b"spam"),
    "600 texts": chunk(b"tEXt", b"a\0b") * 600,
    "a profile that inflates without end": chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(64 * MIB))),
    "a profile that does not inflate": chunk(b"iCCP", b"a\0\0spam"),
    "a profile by an unknown method": chunk(b"iCCP", b"a\0\1spam"),
    "a profile without a name": chunk(b"iCCP", b"spam"),
    "an empty profile": chunk(b"iCCP"),
    "half a density": chunk(b"pHYs", b"abc"),
    "half a gamma": chunk(b"gAMA", b"ab"),
    "half of the chromaticities": chunk(b"cHRM", bytes(16)),
    "no rendering intent": chunk(b"sRGB"),
    "half of the transparency": chunk(b"tRNS", b"a"),
    "a time of no length": chunk(b"tIME"),
    "EXIF that is none": chunk(b"eXIf", b"spam"),
}


@pytest.mark.parametrize("place", ["before the pixels", "behind them"])
@pytest.mark.parametrize("name", NOT_THE_PICTURE)
def test_metadata_never_makes_a_png_bad(name: str, place: str) -> None:
    for whole in ("PNG", "grey PNG", "animated PNG"):
        data, _, frames = pictures()[whole]
        at = 33 if place == "before the pixels" else len(data) - 12
        assert check(data[:at] + NOT_THE_PICTURE[name] + data[at:]) == Picture("image/png", *SIZE, frames)


def test_a_printers_profile_of_megabytes_is_seen() -> None:
    profile = random.Random(1).randbytes(5 * MIB)
    assert opened(saved(noise(), "PNG", icc_profile=profile), "image/png", PIXELS).info["icc_profile"] == profile


@pytest.mark.parametrize("name", ["GIF", "animated GIF"])
def test_comments_and_applications_never_make_a_gif_bad(name: str) -> None:
    data, _, frames = pictures()[name]
    for extra in (b"!\xfe" + (b"\xff" + b"x" * 255) * 9_000 + b"\0", b"!\xff\0", b"!\xff\3abc\1x\0", b"!\xf9\1x\0"):
        at = 13 + 3 * 2 ** (data[10] % 8 + 1)
        assert check(data[:at] + extra + data[at:]) == Picture("image/gif", *SIZE, frames)


@pytest.mark.parametrize("kind", ["EXIF", "XMP ", "ICCP"])
def test_metadata_never_makes_a_webp_bad(kind: str) -> None:
    for options in ({"exif": b"x" * 99}, {"xmp": b"x" * 99}, {"icc_profile": b"x" * 99}):
        data = saved(noise(), "WEBP", **options)
        assert check(data.replace(b"x" * 99, bytes(99))) == Picture("image/webp", *SIZE, 1)
    for body in (b"", b"spam", bytes(MIB)):
        late = struct.pack("<4sI", kind.encode(), len(body)) + body
        data = saved(noise(), "WEBP", exif=exif(1)) + late
        assert check(data[:4] + struct.pack("<I", len(data) - 8) + data[8:]) == Picture("image/webp", *SIZE, 1)


@pytest.mark.parametrize("bad", [b"spam", b"MM\0*\xff\xff\xff\xff", bytes(40)])
def test_metadata_never_makes_an_avif_bad(bad: bytes) -> None:
    good = b"II*\0" + b"\x08\0\0\0" + bytes(40)
    for data in (saved(noise(), "AVIF", speed=10, exif=good), saved(noise(), "AVIF", speed=10, xmp=good)):
        assert good in data
        assert check(data.replace(good, bad.ljust(len(good), b"?"))) == Picture("image/avif", *SIZE, 1)
        offset = data.index(good) - 4
        assert check(data[:offset] + b"\xff" * 4 + data[offset + 4 :]).frames == 1


def with_a_table_for_each_item(data: bytes) -> bytes:
    """Return an AVIF as cavif writes it, with the properties of each item in an ipma of its own."""
    at = data.index(b"ipma") - 4
    size, _, flags, count = struct.unpack_from(">I4sII", data, at)
    entries, place = [], at + 16
    for _ in range(count):
        end = place + 3 + data[place + 2]
        entries.append(box(b"ipma", struct.pack(">II", flags, 1) + data[place:end]))
        place = end
    assert place == at + size
    tables, more = b"".join(entries), 16 * (count - 1)
    longer = bytearray(data[:at] + tables + data[at + size :])
    for kind in (b"meta", b"iprp"):
        start = longer.index(kind) - 4
        struct.pack_into(">I", longer, start, int.from_bytes(longer[start : start + 4], "big") + more)
    items = longer.index(b"iloc") + 10  # of which each is an id, zero, and one extent
    for number in range(int.from_bytes(longer[items : items + 2], "big")):
        extent = items + 2 + 14 * number + 6
        struct.pack_into(">I", longer, extent, int.from_bytes(longer[extent : extent + 4], "big") + more)
    return bytes(longer)


def test_a_transparent_avif_may_have_a_table_for_each_item() -> None:
    data = with_a_table_for_each_item(pictures()["transparent AVIF"][0])
    assert data.count(b"ipma") == 2
    with pytest.raises(SyntaxError, match="BMFF"):
        AvifImageFile(io.BytesIO(data))  # should it ever read them, nothing has to be mended
    assert check(data) == Picture("image/avif", *SIZE, 1)
    seen, meant = (opened(each, "image/avif", PIXELS) for each in (data, pictures()["transparent AVIF"][0]))
    assert seen.mode == "RGBA"
    assert seen.tobytes() == meant.tobytes()


def test_the_tiles_of_an_avif_may_be_the_same_bytes() -> None:
    data = saved(Image.new("L", (64, 64)), "AVIF", speed=10)
    av1 = data[data.index(b"mdat") + 4 :]
    assert survey_avif(memoryview(avif_of(av1, *[(40, len(av1))] * 200)), PIXELS) == 64 * 64


# How it behaves


@pytest.mark.parametrize("name", ["JPEG", "progressive JPEG", "PNG", "GIF", "AVIF"])
def test_bytes_are_not_copied(name: str) -> None:
    data = pictures()[name][0] + bytes(8 * MIB)
    tracemalloc.start()
    try:
        check(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MIB


MEMORY_SHORT = """
import resource, sys
from service import media
from tests.pictures import picture

data, least = sys.stdin.buffer.read(), picture(sys.argv[1])
media.develop(least, max_pixels=10**8, encoding="webp")
size = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv[2]) * 2**20, resource.RLIM_INFINITY))
try:
    media.develop(data, max_pixels=10**8, encoding="webp")
except MemoryError:
    print("short")
"""


@pytest.mark.parametrize("room", [5, 40])  # MiB
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"progressive": True, "subsampling": 0}),
        ("PNG", {"compress_level": 1}),
        ("GIF", {"interlace": 1}),
        ("WEBP", {"method": 0, "quality": 1}),
        ("AVIF", {"speed": 10, "quality": 1}),
    ],
)
def test_a_machine_short_of_memory_is_no_verdict_on_the_picture(
    kind: str, options: dict[str, object], room: int
) -> None:
    data = saved(Image.new("P" if kind == "GIF" else "RGB", (4000, 4000)), kind, **options)
    command = [sys.executable, "-c", MEMORY_SHORT, kind, str(room)]
    python = subprocess.run(command, input=data, capture_output=True, check=False)
    assert python.stdout == b"short\n", python.stderr


def test_threads_do_not_disturb_each_other() -> None:
    whole = [data for data, *_ in pictures().values()]
    files = [*whole, *(data[:-20] for data in whole)] * 4

    def outcome(data: bytes) -> Picture | str:
        try:
            return check(data)
        except InvalidImage as refusal:
            return refusal.detail

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(outcome, files)) == [outcome(data) for data in files]


def test_pillow_is_loaded_with_the_first_picture_and_only_the_plugins_of_the_five_types() -> None:
    script = (
        "import sys, service.media\n"
        "assert not any(name.startswith('PIL') for name in sys.modules)\n"
        "import service.media.decoding\n"
        "print(*sorted(name for name in sys.modules if name.startswith('PIL.') and name.endswith('Plugin')))"
    )
    python = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert python.stdout.split() == [f"PIL.{kind}ImagePlugin" for kind in ("Avif", "Gif", "Jpeg", "Png", "WebP")]


def test_odd_exif_is_not_written_into_the_log() -> None:
    odd = b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 0x0132, 2, 20, 0xFFFF)
    data = pictures()["JPEG"][0].replace(b"\xff\xd8", b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + odd), 1)
    script = "import sys, service.media as media; media.inspect(sys.stdin.buffer.read(), max_pixels=10_000)"
    python = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=True)
    assert python.stderr == b""


def test_no_detail_repeats_the_input() -> None:
    for data in (b"secret", b"GIF89asecret, secret, secret", b"\xff\xd8\xffsecret", b"\x89PNG\r\n\x1a\nsecret" * 9):
        with pytest.raises((InvalidImage, UnsupportedImage)) as refusal:
            check(data)
        assert refusal.value.detail
        assert "secret" not in refusal.value.detail


# Anything else


MAGIC = [
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"RIFF\xff\0\0\0WEBPVP8X",
    b"\0\0\0\x10ftypavif\0\0\0\0",
]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """Return a picture with a few of its bytes changed, dropped or doubled."""
    data = bytearray(pictures()[draw(st.sampled_from(sorted(pictures())))][0])
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(data)) | st.integers(0, min(300, len(data))))
        end = start + draw(st.integers(0, 8) | st.integers(0, 2000))
        data[start:end] = draw(st.binary(max_size=8) | st.just(bytes(data[start:end]) * 2))
    return bytes(data)


def judged(data: bytes) -> None:
    """Fail unless the bytes are a picture, or are refused in one of the two ways."""
    try:
        picture = inspect(data, max_pixels=200_000)
    except UnsupportedImage:
        assert sniff(data) is None
    except InvalidImage:
        return
    else:
        assert picture.content_type == sniff(data)
        assert 0 < picture.width * picture.height <= 200_000
        assert picture.frames > 0


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(MAGIC), st.binary(max_size=400))
@example(MAGIC[1], b"\xd9")
@example(MAGIC[3], b"")
def test_any_bytes_are_judged(magic: bytes, rest: bytes) -> None:
    judged(magic + rest)


@settings(max_examples=500, deadline=None)
@given(mutations())
def test_any_damage_is_judged(data: bytes) -> None:
    judged(data)
