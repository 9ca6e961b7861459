"""HTTP requests, responses and routes without a framework. Skins convert their framework's types to these."""

import re
import string
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from urllib.parse import unquote

from service.domain.errors import InvalidRequest, PreconditionFailed, RangeNotSatisfiable, TooLarge, exact
from service.domain.model import ByteStream

_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")
_KEY = re.compile(r'[!#-~][!-~]{0,254}|"(?:[ !#-\[\]-~]|\\["\\]){1,255}"')


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request. Header names are lower-case. Path parameters and the query are percent-decoded; `path` is not.

    `base_url` is the service's URL as the client used it, without a trailing slash; links begin with it.
    `payload_limit` is the largest response of the skin in characters, or None without a limit. `takes_bytes` tells
    whether the skin can send binary responses. `claims` are token claims that a gateway has verified, or None. They
    never come from the client.
    """

    method: str
    path: str
    body: ByteStream
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    base_url: str = ""
    payload_limit: int | None = None
    takes_bytes: bool = True
    claims: Mapping[str, Any] | None = None

    def with_parameters(self, parameters: Mapping[str, str]) -> "ApiRequest":
        """Return the same request with the path parameters of its route."""
        return replace(self, parameters=parameters)

    def carries(self, size: int) -> bool:
        """Return whether `size` bytes fit into a response as base64."""
        return self.payload_limit is None or (size + 2) // 3 * 4 <= self.payload_limit

    async def read(self, limit: int) -> bytes:
        """Return the whole body. Raises TooLarge above `limit` bytes, before it reads if Content-Length says so."""
        self.refuse_over(limit)
        body = bytearray()
        async for chunk in self.body:
            body += chunk
            if len(body) > limit:
                raise TooLarge(f"The body is too large: the limit is {exact(limit)}.")
        return bytes(body)

    @property
    def content_length(self) -> int | None:
        """Return the Content-Length in bytes, or None without a valid one."""
        length = self.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() else None

    @property
    def has_body(self) -> bool:
        """Return whether the headers announce a body that is not empty."""
        return bool(self.content_length) or "transfer-encoding" in self.headers

    @property
    def idempotency_key(self) -> str | None:
        """Return the Idempotency-Key, or None without one. Raises InvalidRequest if it is not valid.

        The header has the bare key, or a quoted string (RFC 9651 section 3.3.3,
        draft-ietf-httpapi-idempotency-key-header), whose quotes are not part of the key.
        """
        key = self.headers.get("idempotency-key")
        if key is None:
            return None
        if not _KEY.fullmatch(key):
            message = "Must have 1 to 255 visible ASCII characters, or be a string in double quotes."
            raise InvalidRequest("The header is invalid: see `errors`.", {"Idempotency-Key": [message]})
        return re.sub(r"\\(.)", r"\1", key[1:-1]) if key.startswith('"') else key

    def refuse_over(self, limit: int) -> None:
        """Raise TooLarge if the Content-Length is above `limit` bytes. Reads nothing."""
        if (self.content_length or 0) > limit:
            raise TooLarge(f"The body is too large: the limit is {exact(limit)}.")


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """One response. A streamed body requires its exact `length` in bytes."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | ByteStream = b""
    length: int | None = None

    def with_headers(self, headers: Mapping[str, str]) -> "ApiResponse":
        """Return the same response with these headers added or replaced."""
        return ApiResponse(self.status, {**self.headers, **headers}, self.body, self.length)


@dataclass(frozen=True, slots=True)
class Route:
    """A route for skins. In its path, `{name}` matches one segment, and `{name+}` all remaining segments."""

    method: str
    path: str
    operation: str
    endpoint: Callable[[ApiRequest], Awaitable[ApiResponse]]

    def match(self, path: str) -> dict[str, str] | None:
        """Return the decoded parameters of a request's path, or None if the path does not match."""
        found = _pattern(self.path).fullmatch(path)
        return {name: unquote(value) for name, value in found.groupdict().items()} if found else None


@cache
def _pattern(template: str) -> re.Pattern[str]:
    spans = re.sub(r"\\{(\w+)\\\+\\}", r"(?P<\1>.+)", re.escape(template))
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", spans))


def plain_path(path: str) -> str:
    """Decode percent-encoded unreserved characters of a path (RFC 3986 section 6.2.2.2).

    Reserved characters stay encoded, because `%2F` is part of its segment and no separator.
    """

    def decoded(found: re.Match[str]) -> str:
        letter = chr(int(found[1], 16))
        return letter if letter in _UNRESERVED else found[0]

    return re.sub("%([0-9A-Fa-f]{2})", decoded, path)


@dataclass(frozen=True, slots=True)
class Span:
    """A byte range of a representation, from `start` (inclusive) to `stop` (exclusive)."""

    start: int
    stop: int


def _named(condition: str) -> list[str]:
    """Return the entity tags of a condition."""
    return [each.strip() for each in condition.split(",")]


def if_none_match(headers: Mapping[str, str], etag: str) -> bool:
    """Return whether If-None-Match has this ETag (RFC 9110 section 13.1.2: weak comparison)."""
    condition = headers.get("if-none-match", "")
    return condition.strip() == "*" or etag in [each.removeprefix("W/") for each in _named(condition)]


def if_match(headers: Mapping[str, str], etag: str) -> bool:
    """Return whether If-Match is absent or has this ETag (RFC 9110 section 13.1.1: strong comparison)."""
    condition = headers.get("if-match", "*")
    return condition.strip() == "*" or etag in _named(condition)


def not_modified(headers: Mapping[str, str], etag: str) -> bool:
    """Return whether the client's cached copy of a GET or HEAD is current.

    Evaluate the conditions in the order of RFC 9110 section 13.2.2. Ignore conditions on dates, because the service
    sends no Last-Modified. Raises PreconditionFailed if If-Match does not match.
    """
    if not if_match(headers, etag):
        raise PreconditionFailed("The ETag in If-Match is not the current one: fetch the image again.")
    return if_none_match(headers, etag)


_CODING = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:;\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?", re.ASCII)


def takes_gzip(headers: Mapping[str, str]) -> bool:
    """Return whether the client prefers gzip to plain bytes, by Accept-Encoding (RFC 9110 section 12.5.3).

    A client that accepts neither gets plain bytes, as section 12.4.1 allows.
    """
    weights: dict[str, float] = {}
    for each in headers.get("accept-encoding", "").lower().split(","):
        if coding := _CODING.fullmatch(each):
            weights[coding[1].removeprefix("x-")] = float(coding[2] or 1)
    others = weights.get("*", 0.0)
    gzip, identity = weights.get("gzip", others), weights.get("identity", others)
    return gzip > 0 and gzip >= identity


def requested_span(headers: Mapping[str, str], etag: str, size: int) -> Span | None:
    """Return the requested byte range, or None to send the whole representation (RFC 9110 section 14).

    Ignore several ranges, other units, invalid syntax, numbers of more than 18 digits, and an If-Range that does
    not match. Raises RangeNotSatisfiable if the range begins after the end.
    """
    asked = re.fullmatch(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", headers.get("range", ""), re.ASCII)
    if not asked or asked.groups() == ("", "") or headers.get("if-range", etag) != etag:
        return None
    first, last = asked.groups()
    if not first:
        start, stop = max(size - int(last), 0), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= stop:
        raise RangeNotSatisfiable(size)
    return Span(start, stop)


async def representation(
    request: ApiRequest,
    etag: str,
    size: int,
    headers: Mapping[str, str],
    read: Callable[[int, int], Awaitable[ByteStream]],
) -> ApiResponse:
    """Respond to a GET or HEAD of stored bytes with 200, 206 or 304. `read(start, stop)` opens the bytes.

    Raises PreconditionFailed, RangeNotSatisfiable, and the errors of `read`. HEAD reads nothing.
    """
    validators = {**headers, "ETag": etag, "Accept-Ranges": "bytes"}
    if not_modified(request.headers, etag):
        return ApiResponse(304, validators)
    span = requested_span(request.headers, etag, size)
    status, span = (206, span) if span else (200, Span(0, size))
    if status == 206:
        validators["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
    body = b"" if request.method == "HEAD" else await read(span.start, span.stop)
    return ApiResponse(status, validators, body, span.stop - span.start)
