"""What comes over a socket that no client library would send."""

import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests.api.client import form, some_details
from tests.pictures import base64_of, picture, sha256_of
from tests.process.servers import Server
from tests.process.wire import answered, connected, head, upload


@pytest.fixture(autouse=True)
async def good_health(server: Server) -> AsyncIterator[None]:
    """Check after each test that the server answers, and has nothing to complain of."""
    before = len(server.log)
    yield
    assert (await server.api.get("/health/ready")).status == 200
    assert "Traceback" not in server.log[before:]
    assert "ERROR" not in server.log[before:]


HUGE = 99_000_000_000  # bytes


def document(user_id: str) -> bytes:
    """Return the body of a base64 upload."""
    return json.dumps({**some_details(user_id=user_id), "image_data": base64_of(picture())}).encode()


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
