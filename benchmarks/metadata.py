"""What a request costs beside its backend: one image's metadata and links, with all that every request has.

Ours is the real server and dispatch over an image in memory: deadlines, the request's id, CORS, a line of the log,
metrics, links. Its rivals are FastAPI on uvicorn with the like of it, and a bare aiohttp handler that does nothing
but answer as many bytes. CPU of each server's process; the client is another.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from .figures import Figure
from .servers import Server, cpu_of, running
from .without_backend import ORIGIN, image

GOAL_FASTAPI, GOAL_HELLO = 0.7, 1.35
PATH = f"/images/{image().image_id}?metadata_only=true"
OURS, FASTAPI = ("-m", "benchmarks.without_backend"), ("-m", "benchmarks.rivals.fastapi_view")


async def measure(rounds: int = 25, times: int = 400) -> list[Figure]:
    """Return a figure for each rival."""
    with TemporaryDirectory() as place:
        async with running(Path(place), {"ours": OURS, "fastapi": FASTAPI}, {}) as servers:
            size = len(await view(servers["ours"]))
            hello = ("-m", "benchmarks.rivals.hello", str(size))
            async with running(Path(place), {"hello": hello}, {}) as bare:
                every = {**servers, **bare}
                taken = await cpu_of(
                    {name: (each.cpu, lambda each=each: view(each)) for name, each in every.items()}, rounds, times
                )
    name = "metadata of an image, no backend"
    return [
        Figure(f"{name}, against FastAPI on uvicorn", taken["ours"], taken["fastapi"], GOAL_FASTAPI),
        Figure(f"{name}, against a bare aiohttp handler", taken["ours"], taken["hello"], GOAL_HELLO),
    ]


async def view(server: Server) -> bytes:
    """Return the answer, as a page of another site asks for it."""
    return await server.get(PATH, {"Origin": ORIGIN})
