"""What a page of 50 images costs the server's CPU, beside aioboto3 in plain aiohttp, and boto3 in FastAPI.

All three query the same stub of DynamoDB and answer the same images with links to the same objects: 150 of them
where images have both variants, 50 where they have none.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from .figures import Figure
from .servers import OURS, cpu_of, running
from .stub import PHOTOS, PLAIN, running_stub

GOAL = 0.1
SERVERS = {
    "ours": OURS,
    "aioboto3": ("-m", "benchmarks.rivals.aioboto3_pages"),
    "FastAPI and boto3": ("-m", "benchmarks.rivals.fastapi_boto3"),
}
LINKS = {PHOTOS: 150, PLAIN: 50}


async def measure(rounds: int = 15, times: int = 16) -> list[Figure]:
    """Return a figure for each rival and each kind of page."""
    figures = []
    with TemporaryDirectory() as place:
        async with (
            running_stub(Path(place)) as environment,
            running(Path(place), SERVERS, environment) as servers,
        ):
            for user, links in LINKS.items():
                path = f"/images?user_id={user}"
                ways = {
                    name: (each.cpu, lambda each=each, path=path: each.get(path)) for name, each in servers.items()
                }
                taken = await cpu_of(ways, rounds, times)
                ours = taken.pop("ours")
                name = f"list 50 images, {links} links"
                figures += [Figure(f"{name}, against {rival}", ours, each, GOAL) for rival, each in taken.items()]
    return figures
