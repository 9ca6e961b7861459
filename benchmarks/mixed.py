"""How many requests of 64 clients one process answers, and how long the slowest wait, beside FastAPI and boto3.

Of ten requests five are for a page of 50 images with all their links, four for one image, and one uploads a picture
in base64: 640 x 480 pixels, so that its decode is not all that is measured. Both servers do the same with the same
stub of S3 and DynamoDB: verify, make two smaller pictures, store, and tell the metadata. They take turns.
"""

import asyncio
import itertools
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.pictures import base64_of, picture

from .figures import Figure
from .servers import OURS, Server, running
from .stub import PHOTOS, images, running_stub

CLIENTS = 64
GOAL_TIME, GOAL_SLOWEST = 0.25, 0.5
SERVERS = {"ours": OURS, "rival": ("-m", "benchmarks.rivals.fastapi_boto3")}
LIST = f"/images?user_id={PHOTOS}"
UPLOAD = {"user_id": PHOTOS, "title": "A lake", "filename": "lake.jpg", "image_data": ""}
MIX = ("list", "view", "list", "view", "list", "upload", "list", "view", "list", "view")


async def measure(rounds: int = 4, seconds: float = 8.0, clients: int = CLIENTS) -> list[Figure]:
    """Return the time for a request, and that within which 99 of 100 are answered."""
    spent: dict[str, list[float]] = {name: [] for name in SERVERS}
    latencies: dict[str, list[float]] = {name: [] for name in SERVERS}
    with TemporaryDirectory() as place:
        async with running_stub(Path(place)) as environment, running(Path(place), SERVERS, environment) as servers:
            for n in range(rounds + 1):
                for name in sorted(servers, reverse=bool(n % 2)):
                    began = time.perf_counter()
                    taken = await _crowd(servers[name], seconds if n else seconds / 4, clients)
                    if n:  # the first round warms up
                        spent[name].append((time.perf_counter() - began) / len(taken))
                        latencies[name] += taken
    each = {name: statistics.median(taken) * 1000 for name, taken in spent.items()}
    slowest = {name: statistics.quantiles(taken, n=100)[-1] * 1000 for name, taken in latencies.items()}
    name = f"{clients} clients, mixed"
    return [
        Figure(f"{name}, time for a request, FastAPI and boto3", each["ours"], each["rival"], GOAL_TIME),
        Figure(f"{name}, 99 of 100 within, FastAPI and boto3", slowest["ours"], slowest["rival"], GOAL_SLOWEST),
    ]


async def _crowd(server: Server, seconds: float, clients: int) -> list[float]:
    """Return how many seconds each request took that some clients made in this time, one after the other each."""
    taken: list[float] = []
    ends = time.perf_counter() + seconds

    async def client(n: int) -> None:
        for kind in itertools.islice(itertools.cycle(MIX), n, None):
            began = time.perf_counter()
            if began > ends:
                return
            await ask(server, kind)
            taken.append(time.perf_counter() - began)

    await asyncio.gather(*map(client, range(clients)))
    return taken


async def ask(server: Server, kind: str) -> bytes:
    """Send one request of a kind; return the body of its answer, which must be good."""
    if kind == "list":
        return await server.get(LIST)
    if kind == "view":
        return await server.get(f"/images/{images(PHOTOS)[0].image_id}?metadata_only=true")
    return await server.post("/images", upload())


_chosen = itertools.count()


def upload() -> dict[str, str]:
    """Return an upload of a picture that is one of several."""
    return {**UPLOAD, "image_data": _PICTURES[next(_chosen) % len(_PICTURES)]}


_PICTURES = [base64_of(picture(size=(640, 480), seed=seed, quality=85)) for seed in range(8)]
