"""Bytes of strangers are read in time that grows no faster than they do, by every parser that gets some.

Each row is a parser and the worst that is known for it. Limits elsewhere make most of these inputs impossible: they
are left out here, since only growth tells a parser that is linear from one that is not.
"""

import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import jwt
import pytest
from marshmallow import ValidationError
from multipart import PushMultipartParser

from lambda_adapter.api import _query
from service.api.fields import DateBound, Filename, TagFilter, Tags, Text, WholeNumber
from service.api.forms import media_type
from service.api.http import ApiRequest, Route, if_match, not_modified, requested_span
from service.api.identity import bearer_token
from service.api.jsonbody import JsonBody, loads
from service.api.tokens import _key_id
from service.domain.disposition import content_disposition
from service.domain.errors import PixdepotError
from service.domain.model import ImageQuery, now
from service.domain.search import decode_cursor
from service.local.links import LinkSigner
from service.media import declared_type, inspect, without_location
from service.media.exif import exif_orientation
from tests.pictures import chunk, picture
from tests.unit.media.test_location import box, track
from tests.unit.media.test_location_kinds import in_jpeg, in_png, in_webp

KIB = 1024
TIMES, MOST = 8, 24  # so much larger, so much slower at most: quadratic would be 64
ATTEMPTS = 3  # others may slow one of two measurements down; what is quadratic fails each time
Case = tuple[Callable[[Any], object], Callable[[int], Any], int]


def times(unit: bytes, size: int) -> bytes:
    """Return about so many bytes of one pattern."""
    return unit * (size // len(unit))


# ---------------------------------------------------------------- pictures


def strip(data: bytes) -> object:
    kinds = {b"\xff": "image/jpeg", b"\x89": "image/png", b"G": "image/gif", b"R": "image/webp"}
    return without_location(data, kinds[data[:1]])


def look(data: bytes) -> object:
    return inspect(data, max_pixels=50_000_000)


def xmp(packet: bytes) -> bytes:
    return in_png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet))


def more_xmp(unit: bytes, size: int) -> bytes:
    head, packet = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32, times(unit, size)
    pieces = range(0, len(packet), 65_000)
    return in_jpeg(0xE1, *(head + struct.pack(">II", size, at) + packet[at : at + 65_000] for at in pieces))


def directories(*entry: int, size: int) -> bytes:
    """Return EXIF whose first directory has this entry as often as it can, at most half of all, and then zeros."""
    count = min(size // 24, 65_535)
    body = b"".join(struct.pack("<HHII", *entry[:-1], entry[-1] + n % 4096) for n in range(count))
    return b"II*\0" + struct.pack("<IH", 8, count) + (body + b"\xff" * 4).ljust(size, b"\xff")


def overlapping(size: int) -> bytes:
    """Return EXIF with as many pointers to GPS directories as those have entries; they overlap, the last first."""
    count = size // 36
    start = 8 + 2 + 12 * count + 4
    pointers = b"".join(struct.pack("<HHII", 0x8825, 4, 1, start + 2 * (count - n)) for n in range(count))
    return (
        b"II*\0" + struct.pack("<IH", 8, count) + pointers + bytes(4) + struct.pack("<H", count) * (7 * count + 9)
    )


def chain(size: int) -> bytes:
    """Return EXIF of directories that follow each other, each with a thumbnail that is all of it."""
    links = (
        struct.pack("<HHHIIHHIII", 2, 0x201, 4, 1, 8, 0x202, 4, 1, size - 8, 38 + at)
        for at in range(0, size - 30, 30)
    )
    return b"II*\0\x08\0\0\0" + b"".join(links)


def eXIf(data: bytes) -> bytes:  # noqa: N802 - the chunk's own name
    return in_png(chunk(b"eXIf", data))


def in_segments(marker: int, head: bytes, data: bytes) -> bytes:
    return in_jpeg(marker, *(head + data[at : at + 65_000] for at in range(0, len(data), 65_000)))


def movie(*boxes: bytes) -> bytes:
    return picture() + box(b"ftyp", b"mp42" + bytes(8)) + box(b"moov", b"".join(boxes))


def samples(size: int) -> bytes:
    made = bytearray(track(b"camm", (0, 1)))
    at = made.index(b"stco")
    del made[at - 4 :]
    tables = box(b"stco", struct.pack(">II", 0, size // 4) + bytes(size // 4 * 4))
    for name in (b"trak", b"mdia", b"minf", b"stbl"):
        place = made.index(name) - 4
        struct.pack_into(">I", made, place, len(made) - place + len(tables))
    return movie(bytes(made) + tables)


def gif(blocks: bytes) -> bytes:
    return picture("GIF")[:-1] + blocks + b";"


def avif(*boxes: bytes) -> bytes:
    return picture("AVIF") + b"".join(boxes)


GPS_A, DEGREES, NUMBERS = b"<exif:GPSa", b"1\xb0", b"+11.111111111111111"
LOCATION: Mapping[str, Case] = {
    "XMP, tags unclosed, in segments": (strip, lambda n: more_xmp(GPS_A, n), 32 * KIB),
    "XMP, tags unclosed": (strip, lambda n: xmp(times(GPS_A, n)), 64 * KIB),
    "XMP, tags closed": (strip, lambda n: xmp(b"<a>" + times(b"<gps>1</gps>", n) + b"</a>"), 16 * KIB),
    "XMP, comments unclosed": (strip, lambda n: xmp(times(b"<!-- ", n)), 128 * KIB),
    "XMP, deep": (strip, lambda n: xmp(times(b"<a>", n)), 32 * KIB),
    "XMP, one attribute": (strip, lambda n: xmp(b"<a b='" + b"x" * n + b"'/>"), 128 * KIB),
    "XMP, attributes": (
        strip,
        lambda n: xmp(b"<a " + b" ".join(b"a%d='1'" % each for each in range(n // 9)) + b"/>"),
        32 * KIB,
    ),
    "XMP, entities": (
        strip,
        lambda n: xmp(b"<!DOCTYPE a [<!ENTITY b '" + b"b" * n + b"'>]><a>" + times(b"&b;", n) + b"</a>"),
        128 * KIB,
    ),
    "XMP, text": (strip, lambda n: xmp(b"<a>" + times(NUMBERS, n) + b"</a>"), 128 * KIB),
    "text, digits": (strip, lambda n: in_png(chunk(b"tEXt", b"a\0" + b"1" * n)), 128 * KIB),
    "text, degrees": (strip, lambda n: in_png(chunk(b"tEXt", b"a\0" + times(DEGREES, n))), 128 * KIB),
    "text, numbers": (strip, lambda n: in_png(chunk(b"tEXt", b"a\0" + times(NUMBERS, n))), 128 * KIB),
    "EXIF, overlapping GPS directories": (strip, lambda n: eXIf(overlapping(n)), 64 * KIB),
    "EXIF, many Exif directories": (strip, lambda n: eXIf(directories(0x8769, 4, 1, 8, size=n)), 64 * KIB),
    "EXIF, lists of directories": (strip, lambda n: eXIf(directories(0x014A, 4, 60_000, 8, size=n)), 64 * KIB),
    "EXIF, overlapping text": (strip, lambda n: eXIf(directories(0x010E, 2, n // 2, 8, size=n)), 64 * KIB),
    "EXIF, overlapping XMP": (strip, lambda n: eXIf(directories(0x02BC, 2, n // 2, 8, size=n)), 64 * KIB),
    "EXIF, chained": (strip, lambda n: eXIf(chain(n)), 64 * KIB),
    "EXIF, in many segments": (
        strip,
        lambda n: in_jpeg(0xE1, *[b"Exif\0\0" + directories(0x8825, 4, 1, 8, size=4000)] * (n // 4000)),
        64 * KIB,
    ),
    "Photoshop": (
        strip,
        lambda n: in_segments(0xED, b"Photoshop 3.0\0", times(b"8BIM\4\4" + bytes(6), n)),
        64 * KIB,
    ),
    "IPTC": (
        strip,
        lambda n: in_segments(
            0xED, b"Photoshop 3.0\0", b"8BIM\4\4\0\0" + struct.pack(">I", n) + times(b"\x1c\2\5\0\0", n) + bytes(5)
        ),
        32 * KIB,
    ),
    "tail, beginnings": (strip, lambda n: picture() + times(b"\xff\xd8\xff", n), 32 * KIB),
    "tail, pictures without end": (strip, lambda n: picture() + times(b"\xff\xd8\xff\xe1\0\2", n), 64 * KIB),
    "tail, segments": (strip, lambda n: picture() + b"\xff\xd8" + times(b"\xff\xe1\0\2", n), 64 * KIB),
    "tail, videos": (strip, lambda n: picture() + times(b"\0\0\0\x08ftyp", n), 64 * KIB),
    "tail, boxes": (strip, lambda n: movie(times(b"\0\0\0\x08free", n)), 64 * KIB),
    "tail, samples": (strip, samples, 64 * KIB),
    "WebP": (strip, lambda n: in_webp(b"ANMF", bytes(16) + times(b"abcd" + bytes(4), n)), 64 * KIB),
    "GIF, blocks": (strip, lambda n: gif(b"\x21\xfe" + times(b"\1a", n) + b"\0"), 64 * KIB),
    "GIF, comments": (strip, lambda n: gif(times(b"\x21\xfe\1a\0", n)), 32 * KIB),
    "PNG": (strip, lambda n: in_png(chunk(b"IDAT") * (n // 12)), 64 * KIB),
}
PICTURES: Mapping[str, Case] = {
    "JPEG, segments": (look, lambda n: in_jpeg(0xE1, *[b""] * (n // 4)), 64 * KIB),
    "JPEG, fill": (look, lambda n: picture()[:2] + b"\xff" * n + picture()[2:], 128 * KIB),
    "JPEG, stuffing": (look, lambda n: picture()[:-2] + times(b"\xff\0", n), 256 * KIB),
    "PNG, chunks": (look, lambda n: in_png(chunk(b"IDAT") * (n // 12)), 64 * KIB),
    "GIF, blocks": (look, lambda n: gif(b"\x21\xfe" + times(b"\1a", n) + b"\0"), 64 * KIB),
    "GIF, frames": (look, lambda n: gif(times(b"\x2c" + bytes(4) + b"\1\0\1\0\0\2\2\x44\1\0", n)), 4 * KIB),
    "WebP, chunks": (look, lambda n: in_webp(b"ANMF", times(b"abcd" + bytes(4), n)), 128 * KIB),
    "AVIF, boxes": (look, lambda n: avif(times(b"\0\0\0\x08free", n)), 64 * KIB),
    "EXIF": (exif_orientation, lambda n: directories(0, 0, 0, 0, size=n), 64 * KIB),
}

# ---------------------------------------------------------------- bodies


def form(body: bytes, boundary: str, piece: int) -> None:
    with PushMultipartParser(boundary, max_segment_count=10**6) as parser:
        for at in range(0, len(body), piece):
            for _ in parser.parse(body[at : at + piece]):
                pass


def form_case(boundary: bytes, unit: bytes, piece: int) -> Case:
    head = b'--%b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' % boundary
    return lambda body: form(body, boundary.decode(), piece), lambda n: head + times(unit, n), 64 * KIB


def feed(body: bytes, piece: int) -> object:
    reader = JsonBody(limit=10**9, text_limit=10**9)
    for at in range(0, len(body), piece):
        reader.feed(body[at : at + piece])
    return reader.close()


def picture_case(unit: bytes, piece: int) -> Case:
    return lambda body: feed(body, piece), lambda n: b'{"image_data": "' + times(unit, n) + b'"}', 16 * KIB


BODIES: Mapping[str, Case] = {
    "form, almost the boundary": form_case(b"b" * 70, b"\r\n--" + b"b" * 69, 997),
    "form, the boundary's beginning": form_case(b"-" * 70, b"-", 997),
    "form, line ends": form_case(b"b", b"\r\n", 64),
    "form, half line ends": form_case(b"b", b"\r", 64),
    "form, parts": form_case(b"b", b'\r\n--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n', 997),
    "form, before it": (lambda body: form(body, "b", 64), lambda n: times(b"\r\n-", n), 64 * KIB),
    "form, headers": (lambda body: form(body, "b", 64), lambda n: b"--b\r\n" + times(b"a: b\r\n", n), 64 * KIB),
    "form, one header": (lambda body: form(body, "b", 64), lambda n: b"--b\r\na: " + b"b" * n, 64 * KIB),
    "picture, plain": picture_case(b"AAAA", 7),
    "picture, escaped": picture_case(rb"\/AAA", 7),
    "picture, in other words": picture_case(rb"\u0041", 997),
    "JSON, digits": (loads, lambda n: b"[" + b"1" * n + b"]", 64 * KIB),
    "JSON, fractions": (loads, lambda n: b"[1." + b"1" * n + b"]", 64 * KIB),
    "JSON, strings": (loads, lambda n: b"[" + times(b'"",', n) + b'""]', 16 * KIB),
    "JSON, escapes": (loads, lambda n: b'["' + times(rb"\ud83d\ude00", n) + b'"]', 16 * KIB),
    "JSON, keys": (
        loads,
        lambda n: b"{" + b",".join(b'"%d":1' % each for each in range(n // 8)) + b"}",
        16 * KIB,
    ),
    "JSON, blanks": (loads, lambda n: b" " * n + b'{"a"' + b" " * n + b"}", 64 * KIB),
    "JSON, in small pieces": (lambda body: feed(body, 7), lambda n: b'{"a' + times(rb"\"", n), 16 * KIB),
}

# ---------------------------------------------------------------- heads, and what is in bodies


def headed(name: str, value: str) -> dict[str, str]:
    return {name: value}


def request(headers: dict[str, str]) -> ApiRequest:
    return ApiRequest("GET", "/", None, headers=headers)  # type: ignore[arg-type]


def signer(policy: str) -> object:
    return LinkSigner(b"secret", now).check_post({"policy": policy, "signature": policy})


MARKS = "\u0300\u0316"  # of two classes, so that they have to be sorted
VALUES: Mapping[str, Case] = {
    "Content-Type, parameters": (media_type, lambda n: "a" + ";b=c" * (n // 4), 8 * KIB),
    "Content-Type, quotes": (media_type, lambda n: 'a; b="' + '\\"' * (n // 2), 32 * KIB),
    "Content-Type, blanks": (media_type, lambda n: "a;" + " " * n + "b", 64 * KIB),
    "If-None-Match": (lambda each: not_modified(each, '"a"'), lambda n: headed("if-none-match", "," * n), 32 * KIB),
    "If-Match": (lambda each: if_match(each, '"a"'), lambda n: headed("if-match", '"b" , ' * (n // 6)), 32 * KIB),
    "Range": (lambda each: requested_span(each, "", 9), lambda n: headed("range", "bytes=" + " " * n), 64 * KIB),
    "Authorization": (bearer_token, lambda n: headed("authorization", "Bearer" + " " * n), 64 * KIB),
    "Idempotency-Key": (
        lambda each: request(each).idempotency_key,
        lambda n: headed("idempotency-key", '"' + '\\"' * n),
        64 * KIB,
    ),
    "Content-Length": (
        lambda each: request(each).content_length,
        lambda n: headed("content-length", "9" * min(n, 4000)),
        4 * KIB,
    ),
    "path": (
        Route("GET", "/images/{a}/{b}/{c+}", "", None).match,  # type: ignore[arg-type]
        lambda n: "/images" + "/%41" * (n // 4),
        16 * KIB,
    ),
    "query": (_query, lambda n: {"rawQueryString": "&a=%41" * (n // 6)}, 8 * KIB),
    "cursor": (
        lambda text: decode_cursor(b"secret", ImageQuery(), text),
        lambda n: "A" * n,
        64 * KIB,
    ),
    "token's header": (_key_id, lambda n: "W1" * (n // 2) + ".a.b", 64 * KIB),
    "policy": (signer, lambda n: "A" * n, 64 * KIB),
    "filename": (Filename().deserialize, lambda n: "a" + MARKS * (n // 2), 4 * KIB),
    "filename, composed": (Filename().deserialize, lambda n: "a" + MARKS[0] * n, 4 * KIB),
    "extension": (declared_type, lambda n: "." * n, 64 * KIB),
    "download's name": (
        lambda name: content_disposition.__wrapped__("inline", name),
        lambda n: "\u00e9" * n,
        32 * KIB,
    ),
    "title": (Text(most=200).deserialize, lambda n: "a" + MARKS * (n // 2), 4 * KIB),
    "description": (Text(most=10**9, lines=True).deserialize, lambda n: ("a" + MARKS * 15) * (n // 31), 8 * KIB),
    "tags": (Tags().deserialize, lambda n: ["a" + MARKS * (n // 2)], 4 * KIB),
    "tag filter": (TagFilter().deserialize, lambda n: "a" + MARKS * (n // 2), 4 * KIB),
    "tag filter, many": (TagFilter().deserialize, lambda n: "a," * (n // 2), 16 * KIB),
    "limit": (WholeNumber().deserialize, lambda n: "1" * n, 64 * KIB),
    "date": (DateBound().deserialize, lambda n: " 0000" * (n // 5) + "x", 16 * KIB),
}


def seconds(parse: Callable[[Any], object], given: Any) -> float:
    """Return the CPU time of this thread that it takes, at best."""
    best = float("inf")
    for _ in range(3):
        began = time.thread_time()
        with suppress(PixdepotError, ValidationError, ValueError, IndexError, jwt.PyJWTError, RecursionError):
            parse(given)
        best = min(best, time.thread_time() - began)
    return best


@pytest.mark.parametrize("case", [*LOCATION.values()], ids=[*LOCATION])
def test_taking_places_out_is_linear(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", [*PICTURES.values()], ids=[*PICTURES])
def test_looking_at_a_picture_is_linear(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", [*BODIES.values()], ids=[*BODIES])
def test_reading_a_body_is_linear(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", [*VALUES.values()], ids=[*VALUES])
def test_reading_a_value_is_linear(case: Case) -> None:
    check(case)


def check(case: Case) -> None:
    parse, make, size = case
    for _ in range(ATTEMPTS):
        small, large = (seconds(parse, make(each)) for each in (size, TIMES * size))
        if large <= MOST * max(small, 0.0005):
            return
    pytest.fail(f"{TIMES} times as much took {large / small:.0f} times as long")
