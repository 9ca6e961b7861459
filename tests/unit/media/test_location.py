"""Coordinates go, everything else stays: pixels, orientation, the camera's name."""

import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.media import inspect, sniff
from service.media.location import without_location
from tests.pictures import chunk, picture

KINDS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "AVIF": "image/avif"}
LATITUDE, LONGITUDE = (48.0, 8.0, 14.25), (11.0, 34.0, 31.5)
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    b'xmp:Rating="5" exif:GPSLatitude="48,8.2375N">'
    b"<exif:GPSLongitude>11,34.525E</exif:GPSLongitude></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def exif(byte_order: str = "<") -> bytes:
    """Return EXIF with a camera, an orientation, and where it was."""
    made = Image.Exif()
    made.endian = byte_order
    made[0x010F], made[0x0110], made[0x0112] = "Some Maker", "Some Camera", 6
    made.get_ifd(0x8825).update({1: "N", 2: LATITUDE, 3: "E", 4: LONGITUDE, 29: "2026:01:02"})
    made.get_ifd(0x8769).update({0x9003: "2026:01:02 03:04:05"})
    return made.tobytes()


def located(kind: str, byte_order: str = "<") -> bytes:
    """Return a picture that says in EXIF and XMP where it was made."""
    return picture(kind, (48, 32), exif=exif(byte_order), xmp=XMP)


def opened(data: bytes) -> Any:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("kind", KINDS)
def test_coordinates_go_and_nothing_else(kind: str, byte_order: str) -> None:
    data = located(kind, byte_order)
    assert dict(opened(data).getexif().get_ifd(0x8825))
    clean = without_location(data, KINDS[kind])
    before, after = opened(data), opened(clean)
    assert dict(after.getexif().get_ifd(0x8825)) == {}
    assert 0x8825 not in after.getexif()
    for tag in (0x010F, 0x0110):
        assert after.getexif()[tag] == before.getexif()[tag]
    assert dict(after.getexif().get_ifd(0x8769)) == dict(before.getexif().get_ifd(0x8769))
    assert inspect(clean, max_pixels=10_000) == inspect(data, max_pixels=10_000)  # its orientation, too
    assert after.tobytes() == before.tobytes()
    assert len(clean) == len(data)


@pytest.mark.parametrize("kind", KINDS)
def test_no_number_of_a_coordinate_is_left_anywhere(kind: str) -> None:
    clean = without_location(located(kind), KINDS[kind])
    assert b"GPS" not in clean
    assert b"48,8.2375" not in clean
    assert b"11,34.525" not in clean
    for value in (*LATITUDE, *LONGITUDE):
        if not value.is_integer():
            numerator, denominator = value.as_integer_ratio()
            assert struct.pack("<II", numerator, denominator) not in clean


def as_it_is(xmp: bytes) -> bytes:
    """Return a PNG with XMP that is not compressed."""
    plain = picture("PNG")
    return plain[:33] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp) + plain[33:]


@pytest.mark.parametrize("kind", KINDS)
def test_the_rest_of_xmp_stays(kind: str) -> None:
    clean = without_location(as_it_is(XMP) if kind == "PNG" else located(kind), KINDS[kind])
    assert b'xmp:Rating="5"' in clean
    assert b"GPS" not in clean


@pytest.mark.parametrize("kind", [*KINDS, "GIF"])
def test_a_picture_that_says_nothing_of_it_stays_as_it_is(kind: str) -> None:
    data = picture(kind)
    assert without_location(data, KINDS.get(kind, "image/gif")) == data


@pytest.mark.parametrize("kind", KINDS)
def test_twice_is_as_good_as_once(kind: str) -> None:
    once = without_location(located(kind), KINDS[kind])
    assert without_location(once, KINDS[kind]) == once


def box(kind: bytes, body: bytes) -> bytes:
    """Return a box of MP4."""
    return struct.pack(">I4s", 8 + len(body), kind) + body


def track(handler: bytes, samples: tuple[int, int]) -> bytes:
    """Return a track that has one sample: where it begins, how long it is."""
    tables = box(b"stsz", struct.pack(">III", 0, samples[1], 1))
    tables += box(b"stsc", struct.pack(">IIIII", 0, 1, 1, 1, 1)) + box(
        b"stco", struct.pack(">III", 0, 1, samples[0])
    )
    media = box(b"hdlr", bytes(8) + handler + bytes(12)) + box(b"minf", box(b"stbl", tables))
    return box(b"trak", box(b"tkhd", bytes(84)) + box(b"mdia", media))


def video() -> bytes:
    """Return a video that says in three ways where it was taken: in its movie, beside it, along a track."""
    head = box(b"ftyp", b"mp42" + bytes(8)) + box(b"uuid", b"of somebody, +48.1373+011.5754/")
    data = box(b"mdat", b"frames here" + b"48.1374 11.5755")
    frames = len(head) + 8
    place = box(b"udta", box(b"\xa9xyz", b"\0\x12\x15\xc7+48.1373+011.5754/") + box(b"loci", b"Marienplatz"))
    tracks = track(b"vide", (frames, 11)) + track(b"camm", (frames + 11, 15))
    return head + data + box(b"moov", box(b"mvhd", bytes(100)) + tracks + place)


def test_pictures_and_videos_behind_the_first_are_cleaned_as_well() -> None:
    data = located("JPEG") + located("JPEG") + video() + b"SEFH of some maker, 48.1373, SEFT"
    clean = without_location(data, "image/jpeg")
    assert len(clean) == len(data)
    for place in (b"GPS", b"48.13", b"Marienplatz", b"camm"):
        assert place not in clean
    assert b"frames here" in clean
    assert b"vide" in clean
    second = clean[len(located("JPEG")) :]
    assert dict(opened(second).getexif().get_ifd(0x8825)) == {}
    assert second.startswith(without_location(located("JPEG"), "image/jpeg"))


@pytest.mark.parametrize("kind", [*KINDS, "GIF"])
def test_what_follows_a_picture_of_any_type_is_cleaned(kind: str) -> None:
    data = picture(kind)
    clean = without_location(data + located("JPEG") + video() + b"48.1373", KINDS.get(kind, "image/gif"))
    assert clean.startswith(data)
    assert b"GPS" not in clean
    assert b"48.13" not in clean
    assert b"frames here" in clean


@pytest.mark.parametrize(
    "hidden",
    [
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n 4\n45786966")),
        chunk(b"tEXt", b"Raw profile type APP1\0\napp1\n 4\n45786966"),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP)),
    ],
)
def test_metadata_of_a_png_that_cannot_be_read_as_it_is_goes_as_a_whole(hidden: bytes) -> None:
    plain = picture("PNG")
    data = plain[:33] + hidden + plain[33:]  # behind IHDR
    assert without_location(data, "image/png") == plain


def test_comments_of_a_png_stay() -> None:
    plain, comment = picture("PNG"), chunk(b"tEXt", b"Comment\0At the lake")
    data = plain[:33] + comment + plain[33:]
    assert without_location(data, "image/png") == data


@given(st.binary(max_size=400), st.sampled_from([b"II*\0", b"MM\0*"]), st.binary(max_size=200))
def test_bytes_that_only_look_like_exif_do_no_harm(before: bytes, tiff: bytes, after: bytes) -> None:
    data = before + tiff + after
    assert len(without_location(data, "image/jpeg")) == len(data)


@given(st.data())
def test_damaged_exif_never_stops_it(data: st.DataObject) -> None:
    jpeg = bytearray(located("JPEG"))
    start = jpeg.index(b"II*\0")
    for _ in range(data.draw(st.integers(1, 6))):
        jpeg[start + data.draw(st.integers(4, 300))] = data.draw(st.integers(0, 255))
    assert sniff(without_location(jpeg, "image/jpeg")) == "image/jpeg"
