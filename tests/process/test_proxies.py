"""The command line behind a proxy, and beside one that is not meant for it."""

import base64
from urllib.parse import urlsplit

import pytest

import pixdepot as client
from tests.pictures import picture
from tests.process.servers import Server
from tests.process.typist import Typist
from tests.servers.httpproxy import proxying

NAME = "pixdepot.example"  # no resolver knows it


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_pictures_go_and_come_through_the_proxy(server: Server, pixdepot: Typist, variable: str) -> None:
    (pixdepot.directory / "a.jpg").write_bytes(data := picture(noise=True))
    async with proxying() as (proxy, place):
        settings = {variable: f"http://ada:s3cret@{place}", "PIXDEPOT_URL": f"http://{NAME}:{server.port}"}
        sent = await pixdepot("upload a.jpg --user ME", **settings)
        assert sent.code == 0, sent
        image_id = sent.out.split()[-1]
        fetched = await pixdepot(f"get {image_id} --to copy.jpg", **settings)
        assert fetched.code == 0, fetched
    assert (pixdepot.directory / "copy.jpg").read_bytes() == data
    assert {"GET", "POST", "PUT"} == {method for method, _ in proxy.requests}
    assert {urlsplit(url).netloc for _, url in proxy.requests} == {f"{NAME}:{server.port}"}
    assert proxy.authorizations == {f"Basic {base64.b64encode(b'ada:s3cret').decode()}"}


async def test_this_machine_is_reached_without_a_proxy(server: Server, pixdepot: Typist) -> None:
    async with proxying() as (proxy, place):
        for url in (server.url, f"http://localhost:{server.port}"):
            settings = {"HTTP_PROXY": place, "ALL_PROXY": place, "PIXDEPOT_URL": url}
            assert (await pixdepot("ls --user ME", **settings)).code == 0
    assert proxy.requests == []


async def test_a_proxy_that_cannot_be_used_is_told_of_by_its_name(pixdepot: Typist) -> None:
    settings = {"PIXDEPOT_URL": f"https://{NAME}"}
    unknown = await pixdepot("ls", HTTPS_PROXY="socks5://ada:s3cret@127.0.0.1:1080", **settings)
    assert (unknown.code, unknown.error.count("\n")) == (1, 1)
    assert "HTTPS_PROXY" in unknown.error
    assert "s3cret" not in unknown.error
    gone = await pixdepot("ls", HTTPS_PROXY="http://ada:s3cret@127.0.0.1:9", **settings)
    assert (gone.code, gone.error.count("\n")) == (1, 1)
    assert "The proxy 127.0.0.1 cannot be reached" in gone.error
    assert "s3cret" not in gone.error


async def test_tls_goes_through_a_tunnel(server: Server, pixdepot: Typist) -> None:
    async with proxying() as (proxy, place):
        settings = {"HTTPS_PROXY": place, "PIXDEPOT_URL": f"https://{NAME}:{server.port}"}
        refused = await pixdepot("ls", **settings)  # the server speaks no TLS
    assert refused.code == 1
    assert {*proxy.requests} == {("CONNECT", f"{NAME}:{server.port}")}


async def test_a_program_says_whether_its_client_heeds_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxying() as (proxy, place):
        monkeypatch.setenv("HTTP_PROXY", place)
        url = f"http://{NAME}:{server.port}"
        async with client.Client(url, user_id="ada", trust_env=True) as heeding:
            assert [each async for each in heeding.images(user_id="nobody")] == []
        assert len(proxy.requests) == 1
        async with client.Client(url, user_id="ada", max_retries=0) as heedless:
            with pytest.raises(client.ConnectionFailed):
                await heedless.get("an-id")
        assert len(proxy.requests) == 1
