"""How long the event loop stands still at worst, while 8 base64 uploads of 10 MiB arrive beside metadata reads."""

import asyncio
import statistics

from .figures import Figure
from .heavy import SIZE, Site, as_json, picture, site
from .stub import PHOTOS, images
from .watched import OURS, WHOLE_BODY

GOAL = 0.1
AT_ONCE = 8
_PAUSE = 0.005  # seconds between two reads


async def measure(rounds: int = 15, size: int = SIZE) -> list[Figure]:
    """Return the one figure: the medians of each round's worst."""
    body = as_json(picture(size))
    worst: dict[str, list[float]] = {OURS: [], WHOLE_BODY: []}
    async with site(*worst) as servers:
        for name in worst:
            await servers.upload(name, body)
        for n in range(rounds):
            for name in sorted(worst, reverse=bool(n % 2)):
                worst[name].append(await _worst(servers, name, body) * 1000)
    ours, rival = (statistics.median(worst[name]) for name in (OURS, WHOLE_BODY))
    name = f"worst lag, {AT_ONCE} uploads of {size / 2**20:g} MiB at once"
    return [Figure(f"{name}, bodies read whole", ours, rival, GOAL)]


async def _worst(servers: Site, name: str, body: bytes) -> float:
    """Return the worst lag in seconds, of one round."""
    server, http = servers.servers[name], servers.http
    read = f"{server.url}/images/{images(PHOTOS)[0].image_id}?metadata_only=true"

    async def reading() -> None:
        while True:
            async with http.get(read) as answer:
                assert answer.ok, await answer.text()
            await asyncio.sleep(_PAUSE)

    await server.watch(http)
    async with asyncio.TaskGroup() as group:
        reads = group.create_task(reading())
        await asyncio.gather(*(servers.upload(name, body) for _ in range(AT_ONCE)))
        reads.cancel()
    return await server.worst_lag(http)
