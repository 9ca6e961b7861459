"""File descriptors that run out: clients alone cannot do it, and where they are gone nothing is forgotten."""

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from service.domain import model
from service.domain.errors import Unavailable
from service.runtime import open_service
from service.settings import Settings
from tests.pictures import picture
from tests.process.servers import PIXDEPOT, Server, serving
from tests.process.wire import connected

PICTURE = picture()
ADA = {"user_id": "ada"}
HEALTH = b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n"
LIMIT = 160
ROOT = Path(__file__).parents[2]


def limited(soft: int, hard: int) -> tuple[str, ...]:
    """Return the command line of a server that may have so many files open."""
    return ("prlimit", f"--nofile={soft}:{hard}", PIXDEPOT, "serve")


@contextmanager
def starved(pid: int) -> Iterator[None]:
    """Let a process open no more files, for the length of the block; those that are open stay so."""
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, usual[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)


async def answers(server: Server) -> bool:
    """Return whether a new connection is answered."""
    async with connected(server) as wire:
        wire.send(HEALTH)
        try:
            return (await wire.response()).status == 200
        except ConnectionResetError:  # it was closed before the request had come
            return False


async def test_the_server_takes_as_many_descriptors_as_it_may(tmp_path: Path) -> None:
    async with serving(tmp_path, *limited(100, 300)) as server:
        assert resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE) == (300, 300)


async def test_a_connection_too_many_is_turned_away_and_the_others_work(tmp_path: Path) -> None:
    async with serving(tmp_path, *limited(LIMIT, LIMIT)) as server, AsyncExitStack() as stack:
        assert (await server.api.upload(PICTURE, **ADA)).status == 201  # on a connection that stays open
        for _ in range(LIMIT):
            await stack.enter_async_context(connected(server))
        assert not await answers(server)
        assert (await server.api.upload(PICTURE, **ADA)).status == 201
        assert server.log.count("connections are turned away") == 1
        await stack.aclose()
        while not await answers(server):
            pass


async def test_with_no_descriptor_left_the_log_stays_short_and_uploads_say_why(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, AsyncExitStack() as stack:
        image_id = (await server.api.uploaded(PICTURE, **ADA))["image_id"]
        with starved(server.process.pid):
            waiting = await stack.enter_async_context(connected(server))
            waiting.send(HEALTH)
            refused = await server.api.upload(PICTURE, **ADA)
            assert refused.outcome == (503, "unavailable")
            assert refused.json["detail"] == "The server has too many files open: raise its limit (ulimit -n)."
            while "no connection can be accepted" not in server.log:  # noqa: ASYNC110 - a file tells nobody
                await asyncio.sleep(0.05)
        assert (await waiting.response()).status == 200  # it waited
        assert server.log.count("no connection can be accepted") == 1
        assert '"level":"ERROR"' not in server.log
        assert len(server.log) < 20_000
        assert (await server.api.upload(PICTURE, **ADA)).status == 201
        assert (await server.api.download(image_id)).body == PICTURE


async def test_what_cannot_be_listed_is_not_forgotten(tmp_path: Path) -> None:
    def later() -> model.datetime:
        return model.now() + timedelta(days=1)

    async with open_service(Settings(data_dir=tmp_path), later) as runtime:
        depot = runtime.api.services.depot
        for number in range(20):
            image_id = f"00000000-0000-7000-8000-{number:012}"
            expected = model.Expected("PUT", "image/jpeg", 5)
            begun = model.now() - timedelta(hours=1)
            upload = model.Upload(image_id, model.Details("ada", "t", "a.jpg"), expected, begun, begun)
            await depot.records.begin(upload)
            await depot.objects.put(depot.sealed_key(image_id), b"bytes", "image/jpeg")
        with starved(os.getpid()):
            with pytest.raises(Unavailable):
                [each async for each in depot.objects.list("images/")]
            starving = await runtime.sweeper.sweep()
        fed = await runtime.sweeper.sweep()
        left = [each.key async for each in depot.objects.list("images/")]
    assert (starving.removed, starving.failed >= 20) == (0, True)
    assert (fed.removed, fed.failed, left) == (20, 0, [])


def test_once_all_is_loaded_a_picture_of_any_format_needs_no_other_file(tmp_path: Path) -> None:
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "AVIF"):
        (tmp_path / kind).write_bytes(picture(kind, size=(900, 700)))
    script = """
import sys
from pathlib import Path
from service import media
media.preload()
pictures, before = [each.read_bytes() for each in Path(sys.argv[1]).iterdir()], set(sys.modules)
for data in pictures:
    for encoding in ("webp", "avif"):
        media.develop(data, max_pixels=10**7, encoding=encoding)
    media.without_location(data, media.sniff(data))
print(sorted(set(sys.modules) - before))
"""
    loaded = subprocess.run([sys.executable, "-c", script, tmp_path], cwd=ROOT, check=True, capture_output=True)
    assert loaded.stdout == b"[]\n"
