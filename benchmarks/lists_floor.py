"""What a page of 50 images with all their links costs, beside the least that it could: HTTP, the query, the hashes.

On the local backend, for there nothing of an SDK is in between. Ours is `pixdepot serve`. The floor is the sum of
what cannot be left out, each by itself: aiohttp that answers an equally long document; SQLite giving the columns of
these 50 rows, as they are; and one HMAC-SHA-256 for each of the 150 links, over what is signed. All is CPU, of the
server's process or of this one.
"""

import hmac
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from service.local.database import connect, migrate
from service.local.rows import IMAGE_COLUMNS

from .figures import Figure
from .library import fill_sqlite, library, with_variants
from .servers import OURS, cpu_of, running

GOAL = 2.2
USER, PAGE = "user-0", 50
PATH = f"/images?user_id={USER}"


async def measure(rounds: int = 25, times: int = 80) -> list[Figure]:
    """Return the one figure."""
    with TemporaryDirectory() as place:
        database = Path(place, "data", "pixdepot.db")
        database.parent.mkdir()
        connection = connect(database)
        migrate(connection)
        images = list(with_variants(library(5_000)))
        fill_sqlite(connection, iter(images))
        # The server does not start where the storage has none of the newest images.
        original = database.parent / "objects" / max(images, key=lambda each: each.created_at).object_key
        original.parent.mkdir(parents=True)
        original.touch()
        ours = {"PIXDEPOT_DATA_DIR": str(database.parent)}
        async with running(Path(place), {"ours": OURS}, ours) as servers:
            answer = await servers["ours"].get(PATH)
            hello = ("-m", "benchmarks.rivals.hello", str(len(answer)))
            async with running(Path(place), {"http": hello}, {}) as floor:
                ways = {
                    "ours": (servers["ours"].cpu, lambda: servers["ours"].get(PATH)),
                    "http": (floor["http"].cpu, lambda: floor["http"].get(PATH)),
                    "query": (time.thread_time, _query(connection)),
                    "hashes": (time.thread_time, _hashes(json.loads(answer))),
                }
                taken = await cpu_of(ways, rounds, times)
        connection.close()
    least = taken["http"] + taken["query"] + taken["hashes"]
    return [Figure("list 50 images, local, against HTTP + query + hashes", taken["ours"], least, GOAL)]


def _query(connection: Any) -> Callable[[], Awaitable[object]]:
    connection.row_factory = None
    source = "listed JOIN images USING (image_id)"
    sql = f"SELECT {IMAGE_COLUMNS} FROM {source} WHERE listed.user_id = ? ORDER BY listing DESC LIMIT {PAGE}"

    async def query() -> None:
        assert len(connection.execute(sql, (USER,)).fetchall()) == PAGE

    return query


def _hashes(page: dict[str, Any]) -> Callable[[], Awaitable[object]]:
    links = [url for image in page["images"] for url in links_of(image)]
    signed = [urlsplit(url)._replace(scheme="", netloc="").geturl().encode() for url in links]
    key = b"k" * 32

    async def hash_all() -> None:
        for each in signed:
            hmac.digest(key, each, "sha256").hex()

    return hash_all


def links_of(image: dict[str, Any]) -> list[str]:
    """Return an image's links: to itself, and to each of its variants."""
    return [image["url"], *(each["url"] for each in image["variants"].values())]
