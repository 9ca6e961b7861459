"""What comes over a socket that no client library would send."""

import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests.api.client import form, some_details
from tests.pictures import base64_of, picture, sha256_of
from tests.process.servers import Server
from tests.process.wire import Response, connected


@pytest.fixture(autouse=True)
async def good_health(server: Server) -> AsyncIterator[None]:
    """Check after each test that the server answers, and has nothing to complain of."""
    before = len(server.log)
    yield
    assert (await server.api.get("/health/ready")).status == 200
    assert "Traceback" not in server.log[before:]
    assert "ERROR" not in server.log[before:]


HUGE = 99_000_000_000  # bytes
CANARY = "CaNaRy-5c1f"


def head(method: str, target: str, *headers: str) -> bytes:
    """Return the head of a request."""
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: here", *headers, "", ""]).encode("latin-1")


def upload(*headers: str, kind: str = "application/json") -> bytes:
    """Return the head of an upload."""
    return head("POST", "/images", f"Content-Type: {kind}", *headers)


def document(user_id: str) -> bytes:
    """Return the body of a base64 upload."""
    return json.dumps({**some_details(user_id=user_id), "image_data": base64_of(picture())}).encode()


async def answered(server: Server, *pieces: bytes) -> Response:
    """Send bytes, and return the answer to them."""
    async with connected(server) as wire:
        wire.send(*pieces)
        return await wire.response()


async def put_link(server: Server, data: bytes) -> tuple[str, list[str]]:
    """Return the target of a link that takes these bytes, and the headers that go with it."""
    link = (await server.api.begin(data)).json["upload"]
    url = urlsplit(link["url"])
    return f"{url.path}?{url.query}", [f"{name}: {value}" for name, value in link["headers"].items()]


async def listed_of(server: Server, user_id: str) -> int:
    """Return how many images of a user are listed."""
    return int((await server.api.get("/images", params={"user_id": user_id})).json["count"])


# ---------------------------------------------------------------- announced sizes


@pytest.mark.parametrize("expecting", [[], ["Expect: 100-continue"]], ids=["sending", "asking"])
@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=b"])
async def test_99_gigabytes_are_refused_before_they_are_sent(
    server: Server, kind: str, expecting: list[str]
) -> None:
    refused = await answered(server, upload(f"Content-Length: {HUGE}", *expecting, kind=kind))
    assert refused.outcome == (413, "too_large")
    assert refused.headers["connection"] == "close"


@pytest.mark.parametrize("expecting", [[], ["Expect: 100-continue"]], ids=["sending", "asking"])
@pytest.mark.parametrize("path", ["/uploads", "/images/0198c5a5-0000-7000-8000-000000000000"])
async def test_so_are_documents(server: Server, path: str, expecting: list[str]) -> None:
    method = "POST" if path == "/uploads" else "PATCH"
    refused = await answered(
        server, head(method, path, "Content-Type: application/json", f"Content-Length: {HUGE}", *expecting)
    )
    assert refused.outcome == (413, "too_large")


@pytest.mark.parametrize("expecting", [[], ["Expect: 100-continue"]], ids=["sending", "asking"])
async def test_so_are_direct_uploads(server: Server, expecting: list[str]) -> None:
    target, headers = await put_link(server, picture())
    sent = [f"Content-Length: {HUGE}", *expecting]
    assert (await answered(server, head("PUT", target, *headers, *sent))).outcome == (413, "too_large")
    kind = "Content-Type: multipart/form-data; boundary=b"
    assert (await answered(server, head("POST", "/storage", kind, *sent))).outcome == (
        413,
        "too_large",
    )


async def test_a_link_that_is_not_ours_is_refused_before_anything_is_sent(server: Server) -> None:
    target, headers = await put_link(server, picture())
    forged = target.replace("signature=", "signature=0")
    refused = await answered(server, head("PUT", forged, *headers, "Content-Length: 631", "Expect: 100-continue"))
    assert refused.outcome == (403, "forbidden")


async def test_a_client_that_asks_first_is_told_to_go_on(server: Server) -> None:
    body = document("asks-first")
    async with connected(server) as wire:
        wire.send(upload(f"Content-Length: {len(body)}", "Expect: 100-continue"))
        assert (await wire.head()).status == 100
        wire.send(body)
        assert (await wire.response()).status == 201
        wire.send(upload(f"Content-Length: {len(body)}"), body)  # the connection is as good as new
        assert (await wire.response()).status == 201


async def test_a_client_that_asks_storage_first_is_told_to_go_on(server: Server) -> None:
    data = picture()
    target, headers = await put_link(server, data)
    async with connected(server) as wire:
        wire.send(head("PUT", target, *headers, f"Content-Length: {len(data)}", "Expect: 100-continue"))
        assert (await wire.head()).status == 100
        wire.send(data)
        assert (await wire.response()).status == 200


async def test_http_1_0_knows_no_continue(server: Server) -> None:
    body = document("asks-first")
    request = upload(f"Content-Length: {len(body)}", "Expect: 100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
    assert (await answered(server, request, body)).status == 201


# ---------------------------------------------------------------- bodies that break off


@pytest.mark.parametrize("way", ["base64", "form", "chunked"])
async def test_a_body_that_breaks_off_leaves_nothing(server: Server, way: str) -> None:
    user_id = f"breaks-off-{way}"
    kind, body = "application/json", document(user_id)
    if way == "form":
        kind, body = form(some_details(user_id=user_id), picture())
    length = f"Content-Length: {len(body)}" if way != "chunked" else "Transfer-Encoding: chunked"
    sent = body[:-20] if way != "chunked" else b"%x\r\n%b\r\n" % (len(body) - 20, body[:-20])
    async with connected(server) as wire:
        wire.send(upload(length, "Expect: 100-continue", kind=kind))
        assert (await wire.head()).status == 100
        wire.send(sent)
        wire.writer.write_eof()
        await wire.rest()
    assert await listed_of(server, user_id) == 0


async def test_a_direct_upload_that_breaks_off_can_be_sent_again(server: Server) -> None:
    data = picture(size=(400, 300), noise=True)
    begun = (await server.api.begin(data)).json
    url = urlsplit(begun["upload"]["url"])
    headers = [f"{name}: {value}" for name, value in begun["upload"]["headers"].items()]
    async with connected(server) as wire:
        asked = head("PUT", f"{url.path}?{url.query}", *headers, f"Content-Length: {len(data)}")
        wire.send(asked.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert (await wire.head()).status == 100
        wire.send(data[:-1])
        wire.writer.write_eof()
        await wire.rest()
    complete = f"/uploads/{begun['image_id']}/complete"
    assert (await server.api.post(complete)).outcome == (409, "upload_missing")
    assert (await server.api.put(begun["upload"], data)).status == 200
    assert (await server.api.post(complete)).json["metadata"]["sha256"] == sha256_of(data)


async def test_a_download_that_breaks_off_is_nobodys_trouble(server: Server) -> None:
    data = picture("PNG", size=(1500, 1500), noise=True)  # more than sockets buffer
    image_id = (await server.api.uploaded(data, filename="photo.png"))["image_id"]
    async with connected(server) as wire:
        wire.send(head("GET", f"/images/{image_id}?download=true"))
        assert (await wire.head()).status == 200


# ---------------------------------------------------------------- what is not HTTP

CHUNKED = upload("Transfer-Encoding: chunked")
BROKEN = {
    "no HTTP at all": f"{CANARY}\r\n\r\n".encode(),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + CANARY.encode() + b"\r\n\r\n",
    "an unknown version": f"GET /{CANARY} HTTP/9.9\r\nHost: here\r\n\r\n".encode(),
    "a space in the target": f"GET /images {CANARY} HTTP/1.1\r\nHost: here\r\n\r\n".encode(),
    "a control character in the target": f"GET /{CANARY}\x01 HTTP/1.1\r\nHost: here\r\n\r\n".encode(),
    "an endless target": head("GET", f"/{CANARY}" + "a" * 100_000),
    "an endless header": head("GET", "/images", f"X-{CANARY}: " + "a" * 100_000),
    "headers without end": head("GET", "/images", *[f"X-{CANARY}-{n}: {n}" for n in range(5_000)]),
    "a NUL in a header": head("GET", "/images", f"X-{CANARY}: a\0b"),
    "a line break in a header": head("GET", "/images", f"X-{CANARY}: a\nb"),
    "a header without a name": head("GET", "/images", f": {CANARY}"),
    "a header without a colon": head("GET", "/images", CANARY),
    "a space before the colon": head("GET", "/images", f"X-{CANARY} : a"),
    "a length that is no number": upload(f"Content-Length: {CANARY}"),
    "a negative length": upload("Content-Length: -1", f"X-Other: {CANARY}"),
    "two lengths": upload("Content-Length: 4", "Content-Length: 5", f"X-Other: {CANARY}") + b"null",
    "a length and chunks": upload("Content-Length: 4", "Transfer-Encoding: chunked", f"X-Other: {CANARY}"),
    "an unknown transfer encoding": upload(f"Transfer-Encoding: {CANARY}"),
    "a chunk of no size": CHUNKED + f"{CANARY}\r\n".encode(),
    "a chunk of no size after a good one": CHUNKED + b"1\r\n{\r\n" + f"{CANARY}\r\n".encode(),
    "a chunk longer than it says": CHUNKED + f"1\r\n{CANARY}\r\n0\r\n\r\n".encode(),
    "a chunk of negative size": CHUNKED + b"-1\r\n\r\n",
    "a chunk of boundless size": CHUNKED + b"f" * 40 + b"\r\n",
    "an unknown method": f"BREW /{CANARY} HTTP/1.1\r\nHost: here\r\n\r\n".encode(),
    "no host": f"GET /{CANARY} HTTP/1.1\r\n\r\n".encode(),
    "two hosts": head("GET", "/images", f"Host: {CANARY}"),
    "a host that is none": f"GET /images HTTP/1.1\r\nHost: {CANARY} <>\r\n\r\n".encode(),
}  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
async def test_what_is_not_http_is_a_problem_of_the_client(server: Server, broken: bytes) -> None:
    async with connected(server) as wire:
        wire.send(broken)
        answer = await wire.response()
        assert answer.status in {400, 413, 431}
        assert answer.outcome
        assert CANARY not in answer.body.decode() + str(answer.headers)
        assert await wire.rest() == b""  # and the connection is closed


ODD = {
    "an absolute target": (b"GET http://elsewhere.example/health HTTP/1.1\r\nHost: here\r\n\r\n", 200),
    "HTTP/1.0": (b"GET /health HTTP/1.0\r\n\r\n", 200),
    "a path that is not UTF-8": (head("GET", "/images/%ff%fe"), 404),
    "a path with a NUL": (head("GET", "/images/%00"), 404),
    "a path that climbs": (head("GET", "/images/../../etc/passwd"), 404),
    "a path that climbs in storage": (head("GET", "/storage/images/..%2f..%2f..%2fetc%2fpasswd"), 403),
    "a query that is not UTF-8": (head("GET", "/images?title=%ff"), 200),
    "a method of a proxy": (b"CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: here\r\n\r\n", 404),
    "the server as such": (head("OPTIONS", "*"), 404),
    "a header that is not ASCII": (head("GET", "/health", "X-Name: \xe9"), 200),
    "an upgrade": (head("GET", "/health", "Connection: Upgrade", "Upgrade: websocket"), 200),
    "another expectation": (head("GET", "/health", "Expect: 200-ok"), 200),
}


@pytest.mark.parametrize(("odd", "status"), ODD.values(), ids=ODD.keys())
async def test_what_is_odd_is_answered_like_anything_else(server: Server, odd: bytes, status: int) -> None:
    answer = await answered(server, odd)
    assert answer.status == status, answer
    assert answer.headers["x-request-id"]
    assert status < 400 or answer.outcome


async def test_requests_in_a_row_are_answered_in_order(server: Server) -> None:
    async with connected(server) as wire:
        wire.send(head("GET", "/health"), head("GET", "/nowhere"), head("GET", "/health"))
        assert [(await wire.response()).status for _ in range(3)] == [200, 404, 200]
