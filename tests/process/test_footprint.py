"""What a server costs: the time until it answers, and the memory that it takes."""

import http.client
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.api.client import ApiClient, form, some_details
from tests.pictures import picture
from tests.process.memory import forget_peak
from tests.process.servers import PIXDEPOT, environment, serving

RUNS = 7  # of each, one after the other by turns; their medians are compared
ATTEMPTS = 3  # measurements, since a busy machine can spoil one
MIB = 2**20


# ---------------------------------------------------------------- time


def test_a_server_answers_within_two_and_a_half_times_what_importing_aiohttp_takes(tmp_path: Path) -> None:
    ratios = []
    while len(ratios) < ATTEMPTS and min(ratios, default=9.9) > 2.5:
        pairs = [(seconds_to_import(tmp_path), seconds_to_answer(tmp_path)) for _ in range(RUNS)]
        imports, starts = zip(*pairs, strict=True)
        ratios.append(statistics.median(starts) / statistics.median(imports))
    assert min(ratios) <= 2.5, ratios


def seconds_to_import(directory: Path) -> float:
    """Return how long Python takes to load aiohttp's server."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import aiohttp.web"], env=environment(directory), check=True)
    return time.perf_counter() - start


def seconds_to_answer(directory: Path) -> float:
    """Return how long a server takes from its start to its first answer."""
    start = time.perf_counter()
    command = [PIXDEPOT, "serve", "--port", "0", "--data", "data"]
    with (
        (directory / "log").open("wb") as log,
        subprocess.Popen(
            command, cwd=directory, env=environment(directory), stdout=subprocess.PIPE, stderr=log
        ) as server,
    ):
        assert server.stdout
        port = re.search(rb":(\d+) ", server.stdout.readline())
        assert port, (directory / "log").read_text()
        connection = http.client.HTTPConnection("127.0.0.1", int(port[1]))
        connection.request("GET", "/health")
        status = connection.getresponse().status
        seconds = time.perf_counter() - start
        connection.close()
        server.terminate()
    assert status == 200
    return seconds


async def test_a_server_on_local_files_loads_nothing_of_the_aws_sdk(tmp_path: Path) -> None:
    async with serving(tmp_path, sys.executable, "-X", "importtime", "-m", "service") as server:
        await server.api.uploaded()
        await server.api.get("/images")
    loaded = set(re.findall(r"^import time: .*\| +([\w.]+)$", server.log, re.MULTILINE))
    packages = {module.partition(".")[0] for module in loaded}
    assert "aiohttp" in packages
    assert not packages & {"aioboto3", "aiobotocore", "boto3", "botocore", "s3transfer"}


# ---------------------------------------------------------------- memory

PICTURES = {
    "photo.jpg": lambda: picture(size=(4000, 3000), noise=True, quality=52),  # 12 megapixels, as phones have
    "photo.png": lambda: picture("PNG", size=(1500, 1160), noise=True),
}
Way = Callable[[ApiClient, bytes, str], Awaitable[None]]


async def by_base64(api: ApiClient, data: bytes, filename: str) -> None:
    """Upload as JSON."""
    await api.uploaded(data, filename=filename)


async def by_form(api: ApiClient, data: bytes, filename: str) -> None:
    """Upload as a form."""
    kind, body = form(some_details(filename=filename), data, filename=filename, kind=content_type(filename))
    assert (await api.post("/images", body=body, headers={"Content-Type": kind})).status == 201


async def directly(api: ApiClient, data: bytes, filename: str) -> None:
    """Upload to storage, and complete."""
    begun = (await api.begin(data, filename=filename, content_type=content_type(filename))).json
    assert (await api.put(begun["upload"], data)).status == 200
    assert (await api.post(f"/uploads/{begun['image_id']}/complete")).status == 200


def content_type(filename: str) -> str:
    """Return the content type of a picture of that name."""
    return {"jpg": "image/jpeg", "png": "image/png"}[filename.rpartition(".")[2]]


@pytest.mark.parametrize("filename", PICTURES)
@pytest.mark.parametrize("way", [by_base64, by_form, directly])
async def test_a_picture_of_5_mib_costs_half_of_the_idle_memory_beside_itself(
    tmp_path: Path, way: Way, filename: str
) -> None:
    data = PICTURES[filename]()
    assert 4.5 * MIB < len(data) < 5.5 * MIB, len(data)
    async with serving(tmp_path) as server:
        await way(server.api, picture("JPEG" if filename.endswith("jpg") else "PNG"), filename)
        idle = server.memory()
        forget_peak(server.process.pid)
        await way(server.api, data, filename)
        peak = server.memory("VmHWM")
    assert idle + len(data) / 2 < peak, "the peak was not seen"
    assert peak <= 1.5 * idle + len(data), f"idle {idle / MIB:.1f} MiB, peak {peak / MIB:.1f} MiB"
