"""Libraries of synthetic images: made-up titles, tags and users, without the pictures.

The n-th word, tag or user comes up in proportion to 1/n (Zipf), as words do: a few are everywhere, most are rare.
The same seed makes the same library; its images are a second apart, from the oldest to the newest.
"""

import random
import sqlite3
import uuid
from asyncio import Semaphore, gather, sleep
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate, islice
from typing import Any

from service.aws.items import image_attributes, posting, text, upload_item
from service.domain.model import Content, Details, Expected, Image, State, Upload, Variant
from service.domain.search import terms
from service.local.lists import write
from service.local.rows import image_columns, upload_columns

_WORDS = """
the sea at summer lake a old morning blue garden in light winter house red river evening tree bridge of
mountain snow sunset street window green city flower night white beach road autumn cloud boat station
rain spring tower field harbour golden market wood stone bird church moon island path roof valley storm
castle village quiet horse mist shore yellow square mill wave glass forest cat meadow lantern small black
train pond orchard sand gate kitchen door open hill silver orange farm dog coast fog wind wall clock
shadow leaf lamp narrow ferry broken fountain cliff ship barn star bench ice northern peak stairs chair
tram cellar southern bicycle apple lonely rope arch deep fire bell painted umbrella tulip sky pier
lighthouse grass table crooked violet frost attic rooftop canal bread ivy purple early moss swan dune
thistle kite copper quarry falls chimney willow pebble reed long grove sail bakery dusk loft marsh heron
basket candle twilight plum curtain poppy cherry lane ladder ridge gull creek fern wheat bottle carpet
fence owl maple rusty juniper pine letter alder sparrow shutter mosaic vine cedar anchor haze barrel fox
dawn otter pear lilac brass plough dew nettle hazel cottage jetty birch velvet amber finch glacier oak
marble walnut ember zinc yacht quilt hedgehog
"""
WORDS = tuple(_WORDS.split())
TAGS = WORDS[::-1]
START = datetime(2020, 1, 1, tzinfo=UTC)


def library(count: int, seed: int = 1) -> Iterator[Image]:
    """Yield `count` images, the oldest first."""
    chance = random.Random(seed)
    users = zipf(chance, [f"user-{n}" for n in range(max(20, count // 50))])
    words, tags = zipf(chance, WORDS), zipf(chance, TAGS)
    content = Content("image/jpeg", 1_234_567, "ab" * 32, 4000, 3000)
    for n in range(count):
        title = " ".join(words(chance.randint(2, 4))).capitalize()
        details = Details(users(1)[0], title, "photo.jpg", "", tuple(dict.fromkeys(tags(chance.randint(0, 4)))))
        image_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        created_at = START + timedelta(seconds=n)
        yield Image(image_id, details, content, f"images/{image_id}/0/original", created_at, created_at)


def with_variants(images: Iterator[Image]) -> Iterator[Image]:
    """Yield the images with both variants, as photographs have them, and names as cameras give them."""
    sizes = {"thumb": (320, 240), "display": (1080, 810)}
    for n, image in enumerate(images):
        place = image.object_key.removesuffix("original")
        variants = tuple(Variant(name, f"{place}{name}", "image/webp", *size) for name, size in sizes.items())
        named = replace(image.details, filename=f"IMG_{n % 10_000:04}.jpg")
        yield replace(image, details=named, variants=variants)


def zipf(chance: random.Random, choices: Sequence[str]) -> Callable[[int], list[str]]:
    """Return what draws so many of the choices, the n-th in proportion to 1/n."""
    weights = list(accumulate(1 / n for n in range(1, len(choices) + 1)))
    return lambda count: chance.choices(choices, cum_weights=weights, k=count)


def upload_of(image: Image) -> Upload:
    """Return the upload that an image was."""
    expected = Expected("PUT", image.content.content_type, image.content.file_size, image.content.sha256)
    return Upload(image.image_id, image.details, expected, image.created_at, image.created_at, State.READY)


def fill_sqlite(connection: sqlite3.Connection, images: Iterator[Image]) -> None:
    """Write images into a database of the current schema that nobody else has open."""
    for pragma in ("synchronous = OFF", "cache_size = -400000"):
        connection.execute(f"PRAGMA {pragma}")
    while rows := list(islice(images, 10_000)):
        columns = [{**upload_columns(upload_of(each)), **image_columns(each), "deadline": None} for each in rows]
        names = columns[0].keys()
        sql = f"INSERT INTO images ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"
        with connection:
            connection.execute("BEGIN")
            connection.executemany(sql, columns)
            for each in rows:
                write(connection, each)
    connection.execute("ANALYZE")


async def fill_dynamodb(
    dynamodb: Any, table: str, index_table: str, images: Iterator[Image], asked: set[str] | None = None
) -> None:
    """Write images into the tables; of the index only the terms that will be asked for, where these are given."""
    turns = Semaphore(8)

    async def put(table: str, items: Sequence[Any]) -> None:
        left: Any = {table: [{"PutRequest": {"Item": item}} for item in items]}
        async with turns:
            while left:
                left = (await dynamodb.batch_write_item(RequestItems=left)).get("UnprocessedItems")
                await sleep(0)

    def rows(image: Image) -> Iterator[Any]:
        wanted = (term for term in terms(image.details) if asked is None or term in asked)
        return (posting(image.image_id, image.created_at, image.details, each, image.updated_at) for each in wanted)

    while some := list(islice(images, 2_000)):
        postings = [row for image in some for row in rows(image)]
        await gather(*(put(table, each) for each in _batches([dynamodb_item(image) for image in some])))
        await gather(*(put(index_table, each) for each in _batches(postings)))


def dynamodb_item(image: Image) -> dict[str, Any]:
    """Return the item of a published image."""
    item = {**upload_item(upload_of(image)), **image_attributes(image), "state": text(State.READY)}
    return {name: value for name, value in item.items() if name not in {"due", "deadline"}}


def _batches(items: list[Any]) -> Iterator[Sequence[Any]]:
    return (items[n : n + 25] for n in range(0, len(items), 25))
