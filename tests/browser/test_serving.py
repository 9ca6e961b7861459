"""The page's files, as any client gets them."""

import gzip
import re
import subprocess
from pathlib import Path

import pytest

from bootstrap.emulator import Emulator
from service.web.gallery import page_files
from tests.api.client import Answer, ApiClient
from tests.api.conftest import lambda_on_local
from tests.api.gateway import http_event
from tests.browser.conftest import Clock, aws_service, local_service

PAGE = Path(__file__).parents[2] / "service" / "web" / "gallery"
FILES = ["/", *(f"/page/{name}" for name in page_files() if name != "index.html")]


async def get(depot: ApiClient, path: str, method: str = "GET", **headers: str) -> Answer:
    """Ask for a file; a header's underscores stand for hyphens."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await depot.fetch(depot.base_url + path, method, sent)


@pytest.mark.parametrize("path", FILES)
async def test_each_file_is_sent_once_and_then_only_when_it_is_another(depot: ApiClient, path: str) -> None:
    for coding in ("identity", "gzip"):
        first = await get(depot, path, accept_encoding=coding)
        assert (first.status, first.headers["Cache-Control"]) == (200, "no-cache")
        assert first.headers["Vary"] == "Accept-Encoding"
        again = await get(depot, path, accept_encoding=coding, if_none_match=first.headers["ETag"])
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", first.headers["ETag"])


async def test_a_file_is_the_same_compressed_and_not(depot: ApiClient) -> None:
    plain, compressed = await get(depot, "/"), await get(depot, "/", accept_encoding="br, gzip;q=1.0")
    refused = await get(depot, "/", accept_encoding="gzip;q=0, identity")
    assert (refused.body, refused.headers["ETag"]) == (plain.body, plain.headers["ETag"])
    assert "Content-Encoding" not in plain.headers
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed.body) == plain.body == (PAGE / "index.html").read_bytes()
    assert plain.headers["ETag"] != compressed.headers["ETag"]


async def test_a_file_that_is_another_is_not_sent_where_it_must_be_the_same(depot: ApiClient) -> None:
    etag = (await get(depot, "/")).headers["ETag"]
    assert (await get(depot, "/", if_match=etag)).status == 200
    assert (await get(depot, "/", if_match='"other"', if_none_match=etag)).outcome == (412, "precondition_failed")


async def test_head_tells_what_get_would_send(depot: ApiClient) -> None:
    got, asked = await get(depot, "/"), await get(depot, "/", "HEAD")
    assert (asked.status, asked.body) == (200, b"")
    for name in ("Content-Length", "Content-Type", "ETag", "Content-Security-Policy"):
        assert asked.headers[name] == got.headers[name]


@pytest.mark.parametrize("path", FILES)
async def test_nothing_may_be_done_for_the_page_but_what_it_is_made_for(depot: ApiClient, path: str) -> None:
    headers = (await get(depot, path)).headers
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


async def test_the_policy_names_the_storage_where_it_is_another_origin(emulator: Emulator) -> None:
    async with aws_service(emulator) as depot:
        policy = (await get(depot, "/")).headers["Content-Security-Policy"]
    assert f"connect-src 'self' {emulator.endpoint_url};" in policy
    assert f"img-src 'self' blob: data: {emulator.endpoint_url};" in policy


@pytest.mark.parametrize(
    ("public_url", "origin"),
    [
        ("https://pics.example", "https://pics.example"),
        ("https://pics.example:443/a/b", "https://pics.example"),
        ("http://192.168.1.5:8080", "http://192.168.1.5:8080"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_the_policy_names_the_public_url_where_links_lead(
    tmp_path: Path, path: str, public_url: str, origin: str
) -> None:
    async with local_service(tmp_path, Clock(), public_url=public_url) as depot:
        policy = (await get(depot, path)).headers["Content-Security-Policy"]
    assert f"connect-src 'self' {origin};" in policy
    assert f"img-src 'self' blob: data: {origin};" in policy


@pytest.mark.parametrize(
    "path", ["/page/", "/page/__init__.py", "/page/index.html", "/page/../page/api.js", "/pages"]
)
async def test_nothing_else_is_served(depot: ApiClient, path: str) -> None:
    assert (await depot.get(path)).outcome == (404, "not_found")


@pytest.mark.parametrize("path", ["/", "/page/api.js"])
async def test_other_methods_are_told_which_there_are(depot: ApiClient, path: str) -> None:
    refused = await depot.post(path, {})
    assert refused.outcome == (405, "method_not_allowed")
    assert refused.headers["Allow"] == "GET, HEAD, OPTIONS"


async def test_a_function_has_no_page(tmp_path: Path) -> None:
    async with lambda_on_local(http_event)(tmp_path) as function:
        assert (await function.get("/")).outcome == (404, "not_found")
        assert (await function.get("/page/api.js")).outcome == (404, "not_found")


def test_the_page_asks_for_every_module_at_once_and_for_no_other() -> None:
    page = (PAGE / "index.html").read_text()
    asked = set(re.findall(r'(?:href|src)="page/([\w.]+)"', page))
    assert asked == page_files().keys() - {"index.html"}


def test_no_file_of_the_page_is_left_out_of_a_release() -> None:
    """What git ignores would not be in the wheel either."""
    command = ["git", "check-ignore", *map(str, PAGE.iterdir())]
    ignored = subprocess.run(command, cwd=PAGE, check=False, capture_output=True, text=True).stdout.split()
    assert [each for each in ignored if not each.endswith("__pycache__")] == []
