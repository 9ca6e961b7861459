"""How many items DynamoDB reads for each item that a list returns, beside scanning and filtering.

On dynalite, whose capacity units are as on AWS: libraries of a thousand to a hundred thousand images, pages of 50,
walks of ten pages; every read counted by a proxy, those of the image table too. Then what an upload writes.
"""

import random
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.counting import Count, counting
from benchmarks.figures import Figure
from benchmarks.library import TAGS, WORDS, fill_dynamodb, library, upload_of
from bootstrap.emulator import AccessKey
from bootstrap.resources import resources
from service.aws.dynamodb import DynamoRepository
from service.aws.session import Clients, opened_clients
from service.domain.model import Image, ImageQuery, Position, State, fold
from service.domain.search import candidates
from service.settings import Settings
from tests.aws.stand_in import sdk_environment
from tests.servers import dynalite

from .rivals.missing import by_debian

SIZES, SHORT_SIZES = (1_000, 10_000, 100_000), (300, 1_000)
PAGE, PAGES = 50, 10
GROWTH = 1.05
GOALS = {"a user": 1.1, "the feed": 1.5, "one tag": 2.0, "a part of a title": 4.0, "any part": 4.0}


@dataclass(frozen=True, slots=True)
class Reading:
    """What walks of one shape of query read for each image they returned."""

    items: float
    units: float
    requests: float
    worst_page: int  # items read for it


async def measure(short: bool = False) -> list[Figure]:
    """Return items read for each item returned against 1 item, and against the scan of the same library."""
    results: list[Figure] = []
    before: dict[str, float] = {}
    for size in SHORT_SIZES if short else SIZES:
        async with _service() as (clients, settings, count):
            images = list(library(size))
            shapes = _shapes(images)
            await _fill(clients, settings, images, [each for queries in shapes.values() for each in queries])
            records = DynamoRepository(clients, settings.table, settings.index_table, settings.read_budget)
            await records.secret()
            scanned = await _scan(clients, settings, count)
            for name, queries in shapes.items():
                reading = await _walks(records, queries, count)
                results += _results(f"{name}, {size:,} images", reading, scanned, GOALS.get(name), settings)
                if name in before:
                    grown = f"{name}, {size:,} images against {min(SIZES):,}"
                    results.append(Figure(grown, reading.items, before[name], GROWTH, "items read"))
                elif name in ("a user", "the feed", "one tag", "a part of a title"):
                    before[name] = reading.items
    return results + await _writes()


def _results(
    name: str, reading: Reading, scanned: Reading, goal: float | None, settings: Settings
) -> Iterable[Figure]:
    if goal:
        yield Figure(name, reading.items, 1.0, goal, "items read")
    else:
        budget = settings.read_budget + 2 * PAGE  # the last read may take a little more
        yield Figure(f"{name}, its worst page against the budget", reading.worst_page, budget, 1.0, "items read")
    yield Figure(f"{name}, against a scan", reading.items, scanned.items, 1.0, "items read")
    yield Figure(f"{name}, against a scan", reading.units, scanned.units, 1.0, "read units")
    yield Figure(f"{name}, per page", reading.requests * PAGE, 1.0, 60.0, "requests")


def _shapes(images: Sequence[Image]) -> dict[str, list[ImageQuery]]:
    """Return queries of every shape. The n-th of words, tags and users is as frequent in any size of library."""
    return {**_FIXED, "any part": [ImageQuery(title=each) for each in islice(_parts(images), 24)]}


def _parts(images: Sequence[Image]) -> Iterator[str]:
    """Yield parts of titles, cut out anywhere, that a page of images have."""
    chance = random.Random(2)
    titles = [fold(each.details.title) for each in images]
    tried = set()
    for title in chance.sample(titles, k=min(len(titles), 1_000)):
        start, length = chance.randrange(len(title) - 2), chance.randint(3, 12)
        part = title[start : start + length]
        if part not in tried and sum(part in each for each in titles) >= PAGE:
            yield part
        tried.add(part)


_FIXED = {
    "a user": [ImageQuery(user_id=f"user-{n}") for n in range(3)],
    "the feed": [ImageQuery()],
    "one tag": [ImageQuery(tags=(tag,)) for tag in TAGS[:6]],
    "a part of a title": [
        ImageQuery(title=each) for each in (*WORDS[:12], "lake", "summer", "mor", "gard", "the s")
    ],
    "two tags, both": [ImageQuery(tags=(TAGS[a], TAGS[b])) for a, b in ((0, 1), (2, 9), (4, 40), (30, 31))],
    "two tags, either": [ImageQuery(tags=(TAGS[a], TAGS[b]), any_tag=True) for a, b in ((0, 1), (2, 9))],
    "a user's tag": [ImageQuery(user_id="user-0", tags=(TAGS[n],)) for n in (0, 20)],
    "two letters": [ImageQuery(title=part) for part in ("la", "zi")],
}


async def _walks(records: DynamoRepository, queries: Sequence[ImageQuery], count: Count) -> Reading:
    before, returned, worst = replace(count), 0, 0
    for query in queries:
        after: Position | None = None
        for _ in range(PAGES):
            looked = count.items
            page = await records.find(query, after, PAGE)
            worst = max(worst, count.items - looked)
            returned += len(page.images)
            after = page.next
            if after is None:
                break
    return _reading(before, count, returned, worst)


async def _scan(clients: Clients, settings: Settings, count: Count) -> Reading:
    """Read a page as a design without lists does: all there is, for the newest may be anywhere."""
    before = replace(count)
    start: dict[str, Any] = {}
    while True:
        found: Any = await clients.dynamodb.scan(TableName=settings.table, **start)
        if "LastEvaluatedKey" not in found:
            break
        start = {"ExclusiveStartKey": found["LastEvaluatedKey"]}
    return _reading(before, count, PAGE, count.items - before.items)


def _reading(before: Count, count: Count, returned: int, worst: int) -> Reading:
    items, units = count.items - before.items, count.units - before.units
    returned = max(returned, 1)
    return Reading(items / returned, units / returned, (count.requests - before.requests) / returned, worst)


async def _writes() -> list[Figure]:
    """Return the write units of an upload, and of its delete, against one unit."""
    results = []
    titles = {
        "a title of 18 letters, 3 tags": "A morning at lakes",
        "200 letters, 20 tags": (" ".join(WORDS))[:200],
    }
    async with _service() as (clients, settings, count):
        records = DynamoRepository(clients, settings.table, settings.index_table, settings.read_budget)
        for (name, title), tags in zip(titles.items(), (TAGS[:3], TAGS[:20]), strict=True):
            image = next(library(1, seed=len(tags)))
            image = replace(image, details=replace(image.details, title=title, tags=tuple(tags)))
            upload = replace(upload_of(image), state=State.PENDING)
            before = [count.units]
            for work in (
                records.begin(upload),
                records.prepare(upload),
                records.publish(image, settled=True),
                records.retire(image.image_id, {State.READY}, image.created_at),
            ):
                await work
                before.append(count.units)
            steps = ("its record", "its index rows", "made ready", "deleted")
            taken = zip(steps, before, before[1:], strict=False)
            results += [
                Figure(f"{name}: {step}", then - now, 1.0, 1000.0, "write units") for step, now, then in taken
            ]
    return results


async def _fill(
    clients: Clients, settings: Settings, images: Sequence[Image], queries: Iterable[ImageQuery]
) -> None:
    # Rows of terms that nobody asks for change nothing of what is read, and would be most of the work.
    asked = {term for query in queries for choice in candidates(query) for term in choice}
    await fill_dynamodb(clients.dynamodb, settings.table, settings.index_table, iter(images), asked)


@asynccontextmanager
async def _service() -> AsyncIterator[tuple[Clients, Settings, Count]]:
    settings = Settings(backend="aws")
    if missing := dynalite.available():
        raise by_debian(missing, "nodejs npm")
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        database = await stack.enter_async_context(dynalite.running_dynalite(Path(directory)))
        url, count = await stack.enter_async_context(counting(database))
        with sdk_environment(url, AccessKey("any", "any")):
            clients = await stack.enter_async_context(opened_clients(settings))
        for each in resources(clients, settings):
            if each.name in {f"table {settings.table}", f"table {settings.index_table}"}:
                await each.up()
        yield clients, settings, count
