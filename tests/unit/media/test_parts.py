"""What a decoder is given of a picture: its pixels and how they are to be shown, not what only others read."""

import os
import re
import tracemalloc
from io import SEEK_END, BytesIO

import pytest
from PIL import ImageCms
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from service.media import develop
from service.media.parts import decodable
from tests.pictures import chunk, picture, segment

MIB = 2**20
EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # turned by a quarter
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta/>"


def jpeg_with(*segments: bytes, tail: bytes = b"") -> bytes:
    plain = picture(exif=EXIF, icc_profile=PROFILE)
    return plain[:2] + b"".join(segments) + plain[2:] + tail


def png_with(*chunks: bytes, tail: bytes = b"") -> bytes:
    plain = picture("PNG", exif=EXIF, icc_profile=PROFILE)
    return plain[:33] + b"".join(chunks) + plain[33:] + tail


JPEG_METADATA = {
    "XMP": segment(0xE1, XMP),
    "more XMP": segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(60_000)) * 3,
    "Photoshop's": segment(0xED, b"Photoshop 3.0\x008BIM"),
    "other pictures": segment(0xE2, b"MPF\0" + bytes(40)),
    "provenance": segment(0xEB, b"JP\0\0" + bytes(500)),
    "a comment": segment(0xFE, b"made by hand"),
    "a comment after fill": b"\xff\xff" + segment(0xFE, b"made by hand"),
    "nothing at all": segment(0xE5, b""),
}
PNG_METADATA = {
    "text": chunk(b"tEXt", b"Author\0Ada"),
    "provenance": chunk(b"caBX", bytes(100_000)),
    "somebody's own": chunk(b"prVt", b"") * 2,
}


@pytest.mark.parametrize("metadata", JPEG_METADATA.values(), ids=JPEG_METADATA.keys())
def test_of_a_jpeg_only_metadata_is_left_out(metadata: bytes) -> None:
    seen = decodable(jpeg_with(metadata, metadata), "image/jpeg").read()
    assert re.sub(b"\xff+", b"\xff", seen) == re.sub(b"\xff+", b"\xff", jpeg_with())  # fill stands for nothing


@pytest.mark.parametrize("metadata", PNG_METADATA.values(), ids=PNG_METADATA.keys())
def test_of_a_png_only_metadata_is_left_out(metadata: bytes) -> None:
    assert decodable(png_with(metadata), "image/png").read() == png_with()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
def test_a_picture_without_metadata_is_given_as_it_is_with_whatever_follows(kind: str) -> None:
    data = picture(kind, noise=True) + b"a motion video"
    assert decodable(data, f"image/{kind.lower()}").read() == data


def test_what_tells_how_pixels_are_to_be_shown_is_seen() -> None:
    jpeg, png = jpeg_with(*JPEG_METADATA.values()), png_with(*PNG_METADATA.values())
    for data, kind, opened in ((jpeg, "image/jpeg", JpegImageFile), (png, "image/png", PngImageFile)):
        with opened(decodable(data, kind)) as seen, opened(BytesIO(data)) as whole:
            assert seen.tobytes() == whole.tobytes()
            assert seen.info["icc_profile"] == PROFILE
            assert seen.getexif() == whole.getexif() != {}
        made = develop(data, max_pixels=10**6, encoding="webp").picture
        assert (made.width, made.height) == (48, 64)


def test_it_reads_like_a_file_wherever_one_looks() -> None:
    data = jpeg_with(*JPEG_METADATA.values(), tail=b"a motion video")
    file = decodable(data, "image/jpeg")
    whole = file.read()
    for at in (0, 1, 2, 3, 700, len(whole) - 1, len(whole), len(whole) + 5):
        assert file.seek(at) == file.tell() == at
        assert file.read(5) == whole[at : at + 5]
    assert file.seek(-5, SEEK_END) == len(whole) - 5
    assert file.read() == b"video"


def test_10_mib_of_metadata_are_not_copied() -> None:
    data = jpeg_with(*(segment(0xE1, XMP + os.urandom(65_000)) for _ in range(160)))
    assert len(data) > 9.9 * MIB
    develop(data, max_pixels=10**6, encoding="webp")  # whatever is imported, is
    tracemalloc.start()
    try:
        develop(data, max_pixels=10**6, encoding="webp")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MIB / 2
