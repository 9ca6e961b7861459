"""Downloads that break off: they go on where they were, and end whole or not at all."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web

import pixdepot
from pixdepot import Client
from service.server import listen
from tests.client.depot import Depot, depot
from tests.pictures import picture
from tests.servers.proxy import Fault
from tests.servers.relay import Relay, relayed

PHOTO = picture(size=(1500, 1000), noise=True)
HALF = len(PHOTO) // 2


@dataclass
class Road:
    """A client's way to a service, on which connections break off."""

    depot: Depot
    relay: Relay
    url: str

    def client(self, **options: object) -> Client:
        return Client(self.url, user_id="ada", timeout=2.0, **options)  # type: ignore[arg-type]

    @property
    def ranges(self) -> list[str | None]:
        """Return what parts of pictures were asked for."""
        return [each.get("Range") for each in self.depot.asked["download"]]


@pytest.fixture
async def road(tmp_path: Path) -> AsyncIterator[Road]:
    async with depot(tmp_path / "depot") as site, relayed(urlsplit(site.proxy.url).port or 0) as (relay, url):
        yield Road(site, relay, url)


@pytest.fixture
async def image(road: Road) -> pixdepot.Image:
    async with road.client() as client:
        return await client.upload(PHOTO, filename="lake.jpg")


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Return a directory for pictures."""
    (tmp_path / "shelf").mkdir()
    return tmp_path / "shelf"


async def test_a_download_goes_on_where_the_connection_broke_off(
    road: Road, image: pixdepot.Image, shelf: Path
) -> None:
    road.relay.cut_answers_after = len(PHOTO) // 4
    async with road.client(max_retries=2) as client:  # fewer than are needed: one that gets further counts for none
        path = await client.download(image, shelf)
    assert path.read_bytes() == PHOTO
    starts = [int(re.fullmatch(r"bytes=(\d+)-", each)[1]) for each in road.ranges[1:]]  # type: ignore[index, arg-type]
    assert len(starts) >= 4
    assert starts == sorted(starts)
    held = {each.get("If-Range") for each in road.depot.asked["download"][1:]}
    assert held == {f'"{image.sha256}"'}


async def test_what_came_is_kept_for_the_next_call(road: Road, image: pixdepot.Image, shelf: Path) -> None:
    road.relay.cut_answers_after = HALF
    async with road.client(max_retries=0) as client:
        with pytest.raises(pixdepot.ConnectionFailed):
            await client.download(image, shelf / "photo.jpg")
    assert not (shelf / "photo.jpg").exists()
    road.relay.cut_answers_after = None
    told: list[int] = []
    async with road.client() as client:
        path = await client.download(
            image.image_id, shelf / "photo.jpg", on_progress=lambda done, size: told.append(done)
        )
    assert path.read_bytes() == PHOTO
    assert road.ranges[-1] == f"bytes={told[0]}-"
    assert 0 < told[0] <= HALF  # a reset takes with it what nobody has read yet
    assert list(shelf.iterdir()) == [path]


async def test_what_was_kept_and_is_something_else_is_fetched_anew(
    road: Road, image: pixdepot.Image, shelf: Path
) -> None:
    road.relay.cut_answers_after = HALF
    async with road.client(max_retries=0) as client:
        with pytest.raises(pixdepot.ConnectionFailed):
            await client.download(image, shelf)
        (part,) = shelf.iterdir()
        road.relay.cut_answers_after = None
        for spoilt in (bytes(part.stat().st_size), bytes(len(PHOTO)), bytes(2 * len(PHOTO))):
            part.write_bytes(spoilt)
            path = await client.download(image, shelf)
            assert path.read_bytes() == PHOTO


async def test_bytes_that_are_not_the_recorded_ones_never_take_a_file_s_place(
    road: Road, image: pixdepot.Image, shelf: Path
) -> None:
    (original,) = road.depot.directory.glob(f"objects/images/{image.image_id}/*/original")
    original.chmod(0o644)
    original.write_bytes(bytes(len(PHOTO)))
    (shelf / "lake.jpg").write_bytes(b"what was there before")
    async with road.client() as client:
        with pytest.raises(pixdepot.DigestMismatch):
            await client.download(image, shelf)
    assert (shelf / "lake.jpg").read_bytes() == b"what was there before"
    assert len(list(shelf.iterdir())) == 1


@pytest.mark.parametrize("fault", [each for each in Fault if each.is_quick], ids=lambda fault: fault.name)
async def test_a_download_survives_every_fault(
    road: Road, image: pixdepot.Image, shelf: Path, fault: Fault
) -> None:
    road.depot.spoil("download", fault, fault)
    async with road.client() as client:
        assert (await client.download(image, shelf)).read_bytes() == PHOTO


async def test_a_server_s_filename_leads_nowhere_else(image: pixdepot.Image, road: Road, shelf: Path) -> None:
    async with road.client() as client:
        path = await client.download(replace(image, filename="../../lake.jpg"), shelf)
    assert path == shelf / "lake.jpg"


# ---------------------------------------------------------------- from storage, where the service says so


@dataclass
class Elsewhere:
    """A service that sends downloads to its storage, which breaks off half-way the first time."""

    url: str = ""
    asked: list[web.Request] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    async def service(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer secret"
        return web.Response(status=302, headers={"Location": f"{self.url}/storage/photo?signature=x%2Fy"})

    async def storage(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        start = request.http_range.start or 0
        headers = {"Content-Length": str(len(PHOTO) - start)}
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        await response.prepare(request)
        if len(self.asked) == 1:
            await response.write(PHOTO[:HALF])
            assert request.transport
            request.transport.close()
        else:
            await response.write(PHOTO[start:])
        return response


@asynccontextmanager
async def elsewhere() -> AsyncIterator[Elsewhere]:
    made, listening = Elsewhere(), listen("127.0.0.1", 0)
    app = web.Application()
    app.router.add_get("/images/{id}", made.service)
    app.router.add_get("/storage/photo", made.storage)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    made.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


async def test_storage_is_asked_for_the_rest_and_is_not_shown_the_token(image: pixdepot.Image, shelf: Path) -> None:
    async with elsewhere() as site, Client(site.url, "secret") as client:
        path = await client.download(image, shelf)
    assert path.read_bytes() == PHOTO
    first, second = site.asked
    assert first.rel_url.raw_query_string == "signature=x%2Fy"
    assert 0 < second.http_range.start <= HALF
    for each in site.asked:
        assert "Authorization" not in each.headers
        assert "If-Range" not in each.headers
