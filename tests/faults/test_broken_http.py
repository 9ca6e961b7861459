"""Raw bytes against a real server: what is not HTTP, what is odd HTTP, and clients that leave in the middle."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.process.servers import Server, serving
from tests.process.wire import Response, answered, connected, head, upload

CANARY = "CaNaRy-5c1f"  # it must not come back


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with serving(tmp_path_factory.mktemp("broken-http")) as running:
        yield running
        running.process.terminate()
        assert await asyncio.wait_for(running.process.wait(), 10) == 0  # no broken client keeps it


@pytest.fixture(autouse=True)
async def good_health(server: Server) -> AsyncIterator[None]:
    before = len(server.log)
    yield
    assert (await server.api.get("/health")).status == 200
    assert "Traceback" not in server.log[before:]
    assert "ERROR" not in server.log[before:]


def line(text: str, *headers: str) -> bytes:
    """Return a request with this request line."""
    return "\r\n".join([text, "Host: here", *headers, "", ""]).encode("latin-1")


CHUNKED = upload("Transfer-Encoding: chunked")
BAD = (400, "invalid_request")

BROKEN = {
    # the request line
    "no HTTP at all": (f"{CANARY}\r\n\r\n".encode(), BAD),
    "binary": (bytes(range(256)) + CANARY.encode(), BAD),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + CANARY.encode() + b"\r\n\r\n", BAD),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
    "the header of a proxy": (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + head("GET", "/health"), BAD),
    "HTTP/0.9": (f"GET /{CANARY}\r\n\r\n".encode(), BAD),
    "HTTP/2.0": (line(f"GET /{CANARY} HTTP/2.0"), BAD),
    "an unknown version": (line(f"GET /{CANARY} HTTP/9.9"), BAD),
    "a method in lower case": (line(f"get /{CANARY} HTTP/1.1"), BAD),
    "an unknown method": (line(f"BREW /images?{CANARY} HTTP/1.1"), (405, "method_not_allowed")),
    "an unknown method on nothing": (line(f"BREW /{CANARY} HTTP/1.1"), (404, "not_found")),
    "no target": (line("GET  HTTP/1.1"), BAD),
    "a target that is no path": (line(f"GET {CANARY} HTTP/1.1"), BAD),
    "a target without a host": (line("GET http:///health HTTP/1.1"), BAD),
    "a space in the target": (line(f"GET /images {CANARY} HTTP/1.1"), BAD),
    "a control character in the target": (line(f"GET /{CANARY}\x01 HTTP/1.1"), BAD),
    "a NUL in the target": (line(f"GET /{CANARY}\0 HTTP/1.1"), BAD),
    "an endless target": (head("GET", f"/{CANARY}" + "a" * 100_000), (414, "uri_too_long")),
    # header fields
    "an endless header": (head("GET", "/images", f"X-{CANARY}: " + "a" * 100_000), (431, "fields_too_large")),
    "an endless name": (head("GET", "/images", "X" * 100_000 + f": {CANARY}"), (431, "fields_too_large")),
    "headers without end": (
        head("GET", "/images", *[f"X-{CANARY}-{n}: {n}" for n in range(5_000)]),
        (431, "fields_too_large"),
    ),
    "a NUL in a header": (head("GET", "/images", f"X-{CANARY}: a\0b"), BAD),
    "a line feed in a header": (head("GET", "/images", f"X-{CANARY}: a\nb"), BAD),
    "a carriage return in a header": (head("GET", "/images", f"X-{CANARY}: a\rb"), BAD),
    "a folded header": (head("GET", "/images", f"X-{CANARY}: a\r\n b"), BAD),
    "a header without a name": (head("GET", "/images", f": {CANARY}"), BAD),
    "a header without a colon": (head("GET", "/images", CANARY), BAD),
    "a space before the colon": (head("GET", "/images", f"X-{CANARY} : a"), BAD),
    "a space before the first header": (line("GET /images HTTP/1.1").replace(b"Host", b" Host"), BAD),
    "no host": (f"GET /{CANARY} HTTP/1.1\r\n\r\n".encode(), BAD),
    "two hosts": (head("GET", "/images", f"Host: {CANARY}"), BAD),
    "a host that is none": (f"GET /images HTTP/1.1\r\nHost: {CANARY} <>\r\n\r\n".encode(), BAD),
    "a host that would be a header": (b"GET /images HTTP/1.1\r\nHost: a%0d%0aX-Evil: 1\r\n\r\n", BAD),
    # where the body ends
    "a length that is no number": (upload(f"Content-Length: {CANARY}"), BAD),
    "a negative length": (upload("Content-Length: -1", f"X-Other: {CANARY}"), BAD),
    "a length with a sign": (upload("Content-Length: +4", f"X-Other: {CANARY}") + b"null", BAD),
    "a length in hexadecimal": (upload("Content-Length: 0x4", f"X-Other: {CANARY}") + b"null", BAD),
    "a length beyond 64 bits": (upload("Content-Length: " + "9" * 30), BAD),
    "two lengths": (upload("Content-Length: 4", "Content-Length: 5", f"X-Other: {CANARY}") + b"null", BAD),
    "the same length twice": (upload("Content-Length: 4", "Content-Length: 4") + b"null", BAD),
    "two lengths in one": (upload("Content-Length: 4, 4") + b"null", BAD),
    "a length and chunks": (upload("Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n", BAD),
    "chunks and a length": (upload("Transfer-Encoding: chunked", "Content-Length: 4") + b"0\r\n\r\n", BAD),
    "an unknown transfer encoding": (upload(f"Transfer-Encoding: {CANARY}"), BAD),
    "chunks that are not the last encoding": (upload("Transfer-Encoding: chunked, identity"), BAD),
    "chunks twice": (upload("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + b"0\r\n\r\n", BAD),
    "a chunk of no size": (CHUNKED + f"{CANARY}\r\n".encode(), BAD),
    "a chunk of no size after a good one": (CHUNKED + b"1\r\n{\r\n" + f"{CANARY}\r\n".encode(), BAD),
    "a chunk longer than it says": (CHUNKED + f"1\r\n{CANARY}\r\n0\r\n\r\n".encode(), BAD),
    "a chunk of negative size": (CHUNKED + b"-1\r\n\r\n", BAD),
    "a chunk of boundless size": (CHUNKED + b"f" * 40 + b"\r\n", BAD),
    "a chunk whose size ends in a bare line feed": (CHUNKED + b"4\nnull\r\n0\r\n\r\n", BAD),
}  # fmt: skip


@pytest.mark.parametrize(("broken", "outcome"), BROKEN.values(), ids=BROKEN.keys())
async def test_what_is_not_http_is_a_problem_of_the_client(
    server: Server, broken: bytes, outcome: tuple[int, str]
) -> None:
    async with connected(server) as wire:
        wire.send(broken)
        answer = await wire.response()
        assert answer.outcome == outcome
        assert_plain(answer)
        assert answer.headers["connection"] == "close"
        assert await wire.rest() == b""  # and it is closed: what follows is nobody's request


def assert_plain(answer: Response) -> None:
    """Check that an answer tells nothing of the request, nor of what answers."""
    assert CANARY not in answer.body.decode() + str(answer.headers)
    assert answer.headers["server"] == "pixdepot"


async def test_the_methods_that_there_are_go_with_the_refusal_of_one_that_there_is_not(server: Server) -> None:
    answer = await answered(server, line("BREW /images HTTP/1.1"))
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


ODD = {
    "an absolute target": (line("GET http://elsewhere.example/health HTTP/1.1"), 200),
    "HTTP/1.0": (b"GET /health HTTP/1.0\r\n\r\n", 200),
    "empty lines before the request": (b"\r\n\r\n" + head("GET", "/health"), 200),
    "a path that is not UTF-8": (head("GET", "/images/%ff%fe"), 404),
    "a path with a NUL": (head("GET", "/images/%00"), 404),
    "a path that would be a header": (head("GET", "/images/%0d%0aX-Evil:%201"), 404),
    "a path that climbs": (head("GET", "/images/../../etc/passwd"), 404),
    "a path that climbs in storage": (head("GET", "/storage/images/..%2f..%2f..%2fetc%2fpasswd"), 403),
    "a query that is not UTF-8": (head("GET", "/images?title=%ff"), 200),
    "a request id that would be a header": (head("GET", "/health", "X-Request-ID: a%0d%0aX-Evil: 1"), 200),
    "a method of a proxy": (b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: here\r\n\r\n", 404),
    "a method of WebDAV": (head("PROPFIND", "/images"), 405),
    "a method that sends all back": (head("TRACE", "/images", f"X-Other: {CANARY}"), 405),
    "the server as such": (head("OPTIONS", "*"), 404),
    "a header that is not ASCII": (head("GET", "/health", "X-Name: \xe9"), 200),
    "an upgrade": (head("GET", "/health", "Connection: Upgrade", "Upgrade: websocket"), 200),
    "an upgrade to HTTP/2": (
        head("GET", "/health", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAAA"),
        200,
    ),
    "another expectation": (head("GET", "/health", "Expect: 200-ok"), 200),
    "a body where none is asked for": (head("GET", "/health", "Content-Length: 4") + b"null", 200),
    "chunks with extensions and trailers": (
        CHUNKED + b"4;name=value\r\nnull\r\n0\r\nX-Trailer: 1\r\n\r\n",
        400,
    ),
    "a body of 99 GB": (upload("Content-Length: 99000000000"), 413),
}


@pytest.mark.parametrize(("odd", "status"), ODD.values(), ids=ODD.keys())
async def test_what_is_odd_is_answered_like_anything_else(server: Server, odd: bytes, status: int) -> None:
    answer = await answered(server, odd)
    assert answer.status == status, answer
    assert answer.headers["x-request-id"]
    assert "x-evil" not in answer.headers
    assert_plain(answer)
    assert status < 400 or answer.outcome


# ---------------------------------------------------------------- refusals that a page of another origin may read

PAGE, OTHER_PAGE = "https://app.example", "https://other.example"
REFUSED = {
    "a long target": (("GET", "/images?title=" + "a" * 9_000), (), 414),
    "a very long target": (("GET", "/images?title=" + "a" * 100_000), (), 414),
    "a long header field": (("GET", "/images"), ("X-Long: " + "a" * 9_000,), 431),
    "too many header fields": (("GET", "/images"), tuple(f"X-{n}: 1" for n in range(200)), 431),
    "two hosts": (("GET", "/images"), ("Host: there",), 400),
    "no HTTP": (("GET", "/images"), ("X-Bad: a\0b",), 400),
    "an unknown method": (("BREW", "/images"), (), 405),
    "nothing there": (("GET", "/nowhere"), (), 404),
    "a method that is not taken": (("PUT", "/images"), (), 405),
    "a body too large": (
        ("POST", "/images"),
        ("Content-Type: application/json", "Content-Length: 99000000000"),
        413,
    ),
}


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Return a server that pages of two other origins may call."""
    directory = tmp_path_factory.mktemp("shared")
    async with serving(directory, PIXDEPOT_CORS_ORIGINS=f"{PAGE},{OTHER_PAGE}") as running:
        yield running


@pytest.mark.parametrize(("line", "fields", "status"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_page_of_a_listed_origin_may_read_why_it_is_refused(
    shared: Server, server: Server, line: tuple[str, str], fields: tuple[str, ...], status: int
) -> None:
    for origin in (PAGE, OTHER_PAGE):
        answer = await answered(shared, head(*line, f"Origin: {origin}", *fields))
        assert answer.outcome[0] == status
        assert answer.headers["access-control-allow-origin"] == origin
        assert "x-request-id" in answer.headers["access-control-expose-headers"].lower()
        assert answer.headers["vary"] == "Origin"
    for asked, origin in ((shared, "https://evil.example"), (server, PAGE)):
        answer = await answered(asked, head(*line, f"Origin: {origin}", *fields))
        assert answer.outcome[0] == status
        assert "access-control-allow-origin" not in answer.headers


async def test_a_head_that_cannot_be_read_as_far_as_its_origin_may_be_read_by_any_page(shared: Server) -> None:
    answer = await answered(shared, head("GET", "/images", "X-Long: " + "a" * 150_000, f"Origin: {PAGE}"))
    assert (answer.outcome[0], answer.headers["access-control-allow-origin"]) == (431, "*")


async def test_a_slow_body_is_no_secret_either(shared: Server) -> None:
    async with connected(shared) as wire:
        wire.send(upload("Transfer-Encoding: chunked", f"Origin: {PAGE}"), b"4;\r\nnull\r\nnonsense")
        answer = await wire.response()
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (400, PAGE)


async def test_a_preflight_for_a_long_target_is_granted_so_that_its_refusal_can_be_read(shared: Server) -> None:
    target, asks = "/images?title=" + "a" * 9_000, "Access-Control-Request-Method: GET"
    answer = await answered(shared, head("OPTIONS", target, f"Origin: {PAGE}", asks))
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (204, PAGE)


@pytest.mark.parametrize("name", ["If-None-Match", "Accept-Encoding"])
async def test_a_field_that_is_repeated_is_one_list(server: Server, name: str) -> None:
    etag = (await answered(server, head("GET", "/"))).headers["etag"]
    compressed = (await answered(server, head("GET", "/", "Accept-Encoding: gzip"))).headers["etag"]
    if name == "If-None-Match":
        answer = await answered(server, head("GET", "/", f"If-None-Match: {etag}", 'If-None-Match: "other"'))
        assert answer.status == 304
    else:
        answer = await answered(server, head("GET", "/", "Accept-Encoding: gzip", "Accept-Encoding: br"))
        assert answer.headers["etag"] == compressed


# ---------------------------------------------------------------- several at once, and clients that leave


async def test_requests_in_a_row_are_answered_in_order(server: Server) -> None:
    async with connected(server) as wire:
        wire.send(head("GET", "/health"), head("GET", "/nowhere"), head("GET", "/health"))
        assert [(await wire.response()).status for _ in range(3)] == [200, 404, 200]


async def test_a_thousand_in_a_row_are_answered_too(server: Server) -> None:
    async with connected(server) as wire:
        wire.send(head("GET", "/health") * 1000)
        assert {(await wire.response()).status for _ in range(1000)} == {200}


async def test_what_is_not_http_behind_a_good_request_is_refused_after_it(server: Server) -> None:
    async with connected(server) as wire:
        wire.send(head("GET", "/health"))
        assert (await wire.response()).status == 200
        wire.send(f"{CANARY}\r\n\r\n".encode(), head("GET", "/health"))
        assert (await wire.response()).outcome == BAD
        assert await wire.rest() == b""


async def test_a_refused_body_is_not_taken_for_the_next_request(server: Server) -> None:
    smuggled = head("DELETE", "/images/0198c5a5-0000-7000-8000-000000000000?user_id=ada")
    async with connected(server) as wire:
        wire.send(upload("Content-Length: 99000000000"), smuggled)
        assert (await wire.response()).outcome == (413, "too_large")
        wire.writer.write_eof()
        assert await wire.rest() == b""


LEFT = {
    "nothing": b"",
    "half of a request line": b"GET /hea",
    "half of a head": b"GET /health HTTP/1.1\r\nHost: he",
    "a whole request": head("GET", "/health"),
    "half of a body": upload("Content-Length: 100") + b"{",
    "half of a chunk": CHUNKED + b"100\r\n{",
    "chunks without an end": CHUNKED + b"1\r\n{\r\n",
    "a request, and half of another": head("GET", "/health") + b"GET /hea",
    "half of an upgrade": head("GET", "/health", "Connection: Upgrade", "Upgrade: websocket") + b"\x81\x05",
}


@pytest.mark.parametrize("sent", LEFT.values(), ids=LEFT.keys())
@pytest.mark.parametrize("way", ["ends its side", "resets"])
async def test_a_client_that_leaves_is_nobodys_trouble(server: Server, sent: bytes, way: str) -> None:
    async with connected(server) as wire:
        wire.send(sent)
        await wire.writer.drain()
        if way == "ends its side":
            wire.writer.write_eof()
            await wire.rest()  # the server closes, with an answer or without
