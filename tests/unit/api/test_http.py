"""Ranges, conditions, routes and bodies: what HTTP asks of them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.api.forms import media_type
from service.api.http import (
    ApiRequest,
    ApiResponse,
    Route,
    Span,
    not_modified,
    plain_path,
    representation,
    requested_span,
    takes_gzip,
)
from service.domain.errors import RangeNotSatisfiable, TooLarge
from service.domain.model import ByteStream

ETAG = '"abc"'
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
OFFSETS = st.integers(0, 200)
DATA = bytes(range(100))


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for each in chunks:
        yield each


# ---------------------------------------------------------------- ranges


def span(value: str, size: int, **headers: str) -> Span | None:
    return requested_span({"range": value, **headers}, ETAG, size)


@given(first=OFFSETS, last=OFFSETS, size=OFFSETS)
def test_a_range_is_what_a_slice_would_be(first: int, last: int, size: int) -> None:
    if last < first:
        assert span(f"bytes={first}-{last}", size) is None
    elif first >= size:
        with pytest.raises(RangeNotSatisfiable) as outside:
            span(f"bytes={first}-{last}", size)
        assert outside.value.headers["Content-Range"] == f"bytes */{size}"
    else:
        found, whole = span(f"bytes={first}-{last}", size), list(range(size))
        assert found is not None
        assert whole[found.start : found.stop] == whole[first : last + 1]
        assert found.stop <= size


@given(first=OFFSETS, size=OFFSETS)
def test_a_range_without_an_end_goes_to_the_end(first: int, size: int) -> None:
    if first < size:
        assert span(f"bytes={first}-", size) == Span(first, size)
    else:
        with pytest.raises(RangeNotSatisfiable):
            span(f"bytes={first}-", size)


@given(length=OFFSETS, size=OFFSETS)
def test_a_range_without_a_beginning_is_the_last_bytes(length: int, size: int) -> None:
    if length and size:
        assert span(f"bytes=-{length}", size) == Span(max(0, size - length), size)
    else:
        with pytest.raises(RangeNotSatisfiable):
            span(f"bytes=-{length}", size)


@given(value=st.one_of(st.text(), st.from_regex(r"\Abytes=[0-9 ,\-a-f]{0,30}\Z")), size=OFFSETS)
@example(value="bytes=" + "9" * 5_000 + "-", size=10)
@example(value="bytes=٣-٤", size=10)
def test_no_range_header_at_all_is_a_failure(value: str, size: int) -> None:
    try:
        found = span(value, size)
    except RangeNotSatisfiable:
        return
    assert found is None or 0 <= found.start < found.stop <= size


@pytest.mark.parametrize(
    "value", ["bytes=0-1,3-4", "lines=0-1", "bytes=-", "bytes=", "0-1", "bytes=2-1", "Bytes 0-1"]
)
def test_what_is_not_one_range_of_bytes_means_the_whole(value: str) -> None:
    assert span(value, 10) is None


def test_no_range_means_the_whole() -> None:
    assert requested_span({}, ETAG, 10) is None


@given(TEXT)
@example('"abc" ')
@example('W/"abc"')
def test_if_range_holds_for_the_very_etag_only(condition: str) -> None:
    expected = Span(0, 1) if condition == ETAG else None
    assert span("bytes=0-0", 10, **{"if-range": condition}) == expected


# ---------------------------------------------------------------- conditions

ETAGS = st.builds('"{}"'.format, st.text(st.sampled_from("abc123-_.+/="), max_size=8))


@given(
    named=st.lists(st.tuples(st.booleans(), ETAGS), max_size=5), etag=ETAGS, gap=st.sampled_from([",", ", ", " , "])
)
def test_if_none_match_holds_when_the_etag_is_named_strong_or_weak(
    named: list[tuple[bool, str]], etag: str, gap: str
) -> None:
    value = gap.join(f"W/{each}" if weak else each for weak, each in named)
    assert not_modified({"if-none-match": value}, etag) == (etag in [each for _, each in named])


def test_a_star_names_every_etag_and_nothing_names_none() -> None:
    assert not_modified({"if-none-match": " * "}, ETAG)
    assert not not_modified({"if-none-match": ""}, ETAG)
    assert not not_modified({}, ETAG)


# ---------------------------------------------------------------- codings


@pytest.mark.parametrize(
    ("accepted", "gzip"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("gzip;q=0.001", True),
        ("gzip ; Q=1.000 , br", True),
        ("*", True),
        ("br, *;q=0.1", True),
        ("identity;q=0, gzip", True),
        ("*;q=0, gzip", True),
        ("identity;q=0, *", True),
        ("gzip;q=0.5, identity;q=0.5", True),
        (None, False),
        ("", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("identity", False),
        ("identity;q=0", False),
        ("br", False),
        ("gzipped", False),
        ("gzip;q=0.1, identity;q=0.9", False),
        ("gzip;q=2", False),
        ("gzip;q=-1", False),
        ("gzip;level=9", False),
        (",;,=,q=1", False),
    ],
)
def test_gzip_is_sent_where_it_is_accepted_and_not_liked_less_than_plain_bytes(
    accepted: str | None, gzip: bool
) -> None:
    assert takes_gzip({} if accepted is None else {"accept-encoding": accepted}) == gzip


@given(st.text(st.sampled_from("gzip;q=01.*, x-\t")))
def test_no_accepted_coding_at_all_is_a_failure(value: str) -> None:
    assert takes_gzip({"accept-encoding": value}) in {True, False}


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("/images", "/images"),
        ("/%69mages/%7Ea%2d", "/images/~a-"),
        ("/images%2F1", "/images%2F1"),
        ("/images%2f1", "/images%2f1"),
        ("/%25%32%46", "/%252F"),
        ("/%C3%A9%zz%", "/%C3%A9%zz%"),
    ],
)
def test_a_plain_path_has_the_same_segments(path: str, plain: str) -> None:
    assert plain_path(path) == plain


# ---------------------------------------------------------------- representations


async def represent(method: str = "GET", **headers: str) -> tuple[ApiResponse, list[tuple[int, int]]]:
    """Return the answer for DATA, and what was read for it."""
    reads: list[tuple[int, int]] = []

    async def read(start: int, stop: int) -> ByteStream:
        reads.append((start, stop))
        return stream(DATA[start:stop])

    request = ApiRequest(
        method, "/", stream(), headers={name.replace("_", "-"): each for name, each in headers.items()}
    )
    return await representation(request, ETAG, len(DATA), {"Content-Type": "image/png"}, read), reads


@pytest.mark.parametrize(
    ("headers", "status", "length", "reads"),
    [
        ({}, 200, 100, [(0, 100)]),
        ({"range": "bytes=10-19"}, 206, 10, [(10, 20)]),
        ({"if_none_match": ETAG}, 304, None, []),
        ({"if_none_match": ETAG, "range": "bytes=500-"}, 304, None, []),
        ({"if_none_match": '"other"', "range": "bytes=99-"}, 206, 1, [(99, 100)]),
    ],
)
async def test_a_representation_reads_what_it_sends_and_a_head_reads_nothing(
    headers: dict[str, str], status: int, length: int | None, reads: list[tuple[int, int]]
) -> None:
    get, read_by_get = await represent("GET", **headers)
    head, read_by_head = await represent("HEAD", **headers)
    assert (get.status, get.length, read_by_get) == (status, length, reads)
    assert (head.status, head.headers, head.length, head.body, read_by_head) == (
        status,
        get.headers,
        length,
        b"",
        [],
    )
    assert get.headers.items() >= {"ETag": ETAG, "Accept-Ranges": "bytes", "Content-Type": "image/png"}.items()
    assert ("Content-Range" in get.headers) == (status == 206)


# ---------------------------------------------------------------- routes and bodies


@pytest.mark.parametrize(
    ("template", "path", "parameters"),
    [
        ("/images", "/images", {}),
        ("/images", "/images/", None),
        ("/images", "/imagesx", None),
        ("/images/{id}", "/images/1", {"id": "1"}),
        ("/images/{id}", "/images/%C3%A9%2f", {"id": "é/"}),
        ("/images/{id}", "/images/%2541", {"id": "%41"}),
        ("/images/{id}", "/images/", None),
        ("/images/{id}", "/images/1/2", None),
        ("/images/{id}/x", "/images/1/x", {"id": "1"}),
        ("/storage/{key+}", "/storage/a/b/c", {"key": "a/b/c"}),
        ("/storage/{key+}", "/storage/", None),
        ("/openapi.json", "/openapi-json", None),
    ],
)
def test_a_route_matches_whole_segments(template: str, path: str, parameters: dict[str, str] | None) -> None:
    async def endpoint(request: ApiRequest) -> ApiResponse:
        return ApiResponse(200)

    assert Route("GET", template, "any", endpoint).match(path) == parameters


async def test_a_body_is_read_up_to_its_limit() -> None:
    assert await ApiRequest("POST", "/", stream(b"ab", b"", b"c")).read(3) == b"abc"
    with pytest.raises(TooLarge):
        await ApiRequest("POST", "/", stream(b"ab", b"cd")).read(3)


async def test_a_body_announced_over_its_limit_is_not_read() -> None:
    async def untouched() -> AsyncIterator[bytes]:
        yield b""
        pytest.fail("the body was read")

    with pytest.raises(TooLarge):
        await ApiRequest("POST", "/", untouched(), headers={"content-length": "4"}).read(3)


@pytest.mark.parametrize(
    ("headers", "length", "has_body"),
    [
        ({}, None, False),
        ({"content-length": "0"}, 0, False),
        ({"content-length": "7"}, 7, True),
        ({"content-length": "-1"}, None, False),
        ({"content-length": "٣"}, None, False),
        ({"transfer-encoding": "chunked"}, None, True),
    ],
)
def test_a_length_is_what_was_announced(headers: dict[str, str], length: int | None, has_body: bool) -> None:
    request = ApiRequest("POST", "/", stream(), headers=headers)
    assert (request.content_length, request.has_body) == (length, has_body)


# ---------------------------------------------------------------- media types


@pytest.mark.parametrize(
    ("value", "kind", "parameters"),
    [
        ("application/json", "application/json", {}),
        ("Application/JSON ; Charset=UTF-8", "application/json", {"charset": "UTF-8"}),
        ('multipart/form-data; boundary="a b;c"', "multipart/form-data", {"boundary": "a b;c"}),
        ("", "", {}),
        (";", "", {}),
    ],
)
def test_a_media_type_has_a_kind_and_parameters(value: str, kind: str, parameters: dict[str, str]) -> None:
    assert media_type(value) == (kind, parameters)


@given(st.one_of(st.text(), st.text(st.sampled_from("ab/;=\"\\*'%01 ,\udcffé"))))
@example("application/json; charset*=utf-8''utf-16")
@example("ÿ\udcff")
def test_no_media_type_at_all_is_a_failure(value: str) -> None:
    kind, parameters = media_type(value)
    assert kind == kind.strip().lower()
    everything: list[Any] = [*parameters.keys(), *parameters.values()]
    assert all(isinstance(each, str) for each in everything)
