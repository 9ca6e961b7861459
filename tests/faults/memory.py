"""Ordinary pictures in a row, at a server that has the 512 MiB of docs/deploy.md: it stays, and ends up small."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp

from tests.faults.tally import Tally
from tests.photographs import PHOTOGRAPHS, Photograph, uploads
from tests.process.caps import capped
from tests.process.crowds import clients, upload
from tests.process.servers import PATIENCE, PIXDEPOT, Server, serving

LIMIT = 512 * 2**20  # bytes
IDLE = 150 * 10**6
_CLIENTS = 4
_LOOK_AGAIN = 0.1  # seconds


async def measure(place: Path, seed: int, count: int) -> list[Tally]:
    """Upload so many of all kinds."""
    return [await uploaded(place, list(uploads(count, seed)))]


async def uploaded(place: Path, pictures: Sequence[Photograph]) -> Tally:
    """Upload pictures by a few clients, each one after the other; what is not taken or refused in time is wrong."""
    tally, answers = Tally("photographs of 1 to 50 megapixels in 512 MiB"), Counter[int]()
    assert all(len(each.data) < 10 * 2**20 for each in PHOTOGRAPHS)
    place.mkdir(parents=True, exist_ok=True)
    with capped(LIMIT, PIXDEPOT, "serve") as command, tally.timed():
        async with (
            serving(place, *command, PIXDEPOT_MAX_PIXELS=str(2**26)) as server,
            clients() as session,
        ):
            todo = iter(pictures)
            await asyncio.gather(*(_upload(session, server, todo, answers, tally) for _ in range(_CLIENTS)))
            await _look(server, tally)
    tally.count = answers[201]
    tally.figures += f"; answers {dict(sorted(answers.items()))}"
    return tally


async def _upload(
    session: aiohttp.ClientSession, server: Server, todo: Iterator[Photograph], answers: Counter[int], tally: Tally
) -> None:
    for each in todo:
        try:
            status = await upload(session, server.url, each.filename, each.data)
        except aiohttp.ClientError as error:
            tally.violations.append(f"{each.filename}: {error!r} after {answers.total()} answers")
            return
        answers[status] += 1
        if status not in {201, 503}:
            tally.violations.append(f"{each.filename} is answered {status}")


async def _look(server: Server, tally: Tally) -> None:
    """Write down the most memory that the server took, and what it takes when it has nothing to do."""
    if server.process.returncode is not None:
        tally.violations.append(f"the server ended with {server.process.returncode}")
        return
    peak, clock = server.memory("VmHWM"), asyncio.get_running_loop().time
    until = clock() + PATIENCE
    idle = server.memory()
    while idle >= IDLE and clock() < until:
        await asyncio.sleep(_LOOK_AGAIN)
        idle = server.memory()
    tally.figures = f"at most {peak / 2**20:.0f} MiB, idle {idle / 2**20:.0f}"
    if idle >= IDLE:
        tally.violations.append(f"{idle:,} bytes are kept by an idle server")
