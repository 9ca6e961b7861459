"""How long SQLite takes for a page of each shape of query, against a page of a user's images.

A library of a million images; first pages and later ones of queries from the frequent to the rare, in turn.
"""

import random
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.library import TAGS, WORDS, fill_sqlite, library
from service.domain.model import ImageQuery, Position
from service.local.database import connect, migrate
from service.local.sqlite import SqliteRepository
from service.settings import Settings

IMAGES, SHORT_IMAGES = 1_000_000, 2_000
PAGE, PAGES = 50, 3
GOAL = 3.0


async def measure(short: bool = False) -> list[Figure]:
    """Return each shape's median, and that of the plain user query."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "pixdepot.db"
        images = SHORT_IMAGES if short else IMAGES
        connection = connect(path)
        migrate(connection)
        fill_sqlite(connection, library(images))
        connection.close()
        async with SqliteRepository.opened(path, Settings().read_budget) as records:
            times = await _times(records, images, 5 if short else 40)
    plain = statistics.median(times.pop("a user"))
    shapes = ((name, statistics.median(taken)) for name, taken in times.items())
    return [Figure(f"{name}, {images:,} images, against a user", ours, plain, GOAL) for name, ours in shapes]


async def _times(records: SqliteRepository, images: int, rounds: int) -> dict[str, list[float]]:
    """Return milliseconds by shape, after one round that does not count."""
    chance = random.Random(3)
    times: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for name, query in _shapes(chance, images).items():
            after: Position | None = None
            for _ in range(PAGES):
                started = time.perf_counter()
                page = await records.find(query, after, PAGE)
                if number:
                    times.setdefault(name, []).append((time.perf_counter() - started) * 1000)
                after = page.next
                if after is None:
                    break
    return times


def _shapes(chance: random.Random, images: int) -> dict[str, ImageQuery]:
    """Return a query of every shape."""
    user = f"user-{min(int(chance.paretovariate(0.3)), images // 50) - 1}"
    one, other = chance.sample(TAGS, k=2)
    word = chance.choice(WORDS)
    begin = chance.randrange(len(word) - 1) if len(word) > 3 else 0
    part = word[begin : begin + chance.randint(3, 8)] if len(word[begin:]) >= 3 else word
    return {
        "a user": ImageQuery(user_id=user),
        "the feed": ImageQuery(),
        "one tag": ImageQuery(tags=(one,)),
        "two tags, both": ImageQuery(tags=(one, other)),
        "two tags, either": ImageQuery(tags=(one, other), any_tag=True),
        "a part of a title": ImageQuery(title=part),
        "two words of a title": ImageQuery(title=" ".join(chance.sample(WORDS[:40], k=2))),
        "two letters": ImageQuery(title=word[:2]),
        "a user's tag": ImageQuery(user_id=user, tags=(one,)),
        "a user's part of a title": ImageQuery(user_id=user, title=part),
        "a tag and a part of a title": ImageQuery(tags=(one,), title=part),
    }
