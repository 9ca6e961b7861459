"""SQLite reads no list whole, and takes over a database that an older version made."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import product
from pathlib import Path

import pytest

from benchmarks.library import fill_sqlite, library, upload_of
from service.local import lists
from service.local.rows import image_columns, upload_columns
from service.local.sqlite import SqliteRepository, connect, migrate
from service.model import Image, ImageQuery, Position, State, fold

NOON = datetime(2025, 9, 15, 12, tzinfo=UTC)
SHAPES = [
    ImageQuery(user, tags, any_tag, title, since, since and NOON, viewer)
    for user, (tags, any_tag), title, since, viewer in product(
        (None, "ada"),
        (((), False), (("a",), False), (("a", "b"), False), (("a", "b"), True)),
        (None, "su", "sun", "sunset"),
        (None, NOON - timedelta(days=1)),
        (None, "ada", "ben"),
    )
]


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    migrate(connection)
    fill_sqlite(connection, library(3_000))
    yield connection
    connection.close()


@pytest.mark.parametrize("query", SHAPES)
@pytest.mark.parametrize("after", [None, Position(NOON, "an id")])
def test_no_list_is_read_whole_or_sorted(
    database: sqlite3.Connection, query: ImageQuery, after: Position | None
) -> None:
    statements = []
    database.set_trace_callback(statements.append)
    lists.find(database, query, after, 50, 1_000)
    database.set_trace_callback(None)
    selects = [each for each in statements if each.startswith("SELECT")]
    assert selects
    for each in selects:
        for row in database.execute(f"EXPLAIN QUERY PLAN {each}"):
            plan = row["detail"]
            # FTS5 calls every look-up a scan; "M" says that it is of what matches. Subqueries have plans.
            looked_up = plan.startswith(("SEARCH", "CORRELATED SCALAR SUBQUERY")) or "(subquery-" in plan
            assert looked_up or ":" in plan.partition("INDEX")[2], plan
            assert "TEMP B-TREE" not in plan


async def test_a_database_of_the_first_version_keeps_its_lists(tmp_path: Path) -> None:
    path, images = tmp_path / "pixdepot.db", list(library(60))
    make_version_1(path, images)
    async with SqliteRepository.opened(path, 1_000) as records:
        for query in (
            ImageQuery(),
            ImageQuery(user_id=images[0].details.user_id),
            ImageQuery(tags=(images[0].details.tags or images[1].details.tags)[:1]),
            ImageQuery(title=fold(images[0].details.title)[:4]),
        ):
            expected = [each for each in reversed(images) if lists_it(query, each)]
            assert expected
            assert list((await records.find(query, None, 100)).images) == expected
        assert (await records.find(ImageQuery(viewer="nobody"), None, 100)).images == ()
        await records.retire(images[3].image_id, {State.READY}, NOON)
        assert images[3] not in (await records.find(ImageQuery(), None, 100)).images


def lists_it(query: ImageQuery, image: Image) -> bool:
    return (
        query.user_id in {None, image.details.user_id}
        and set(query.tags) <= set(image.details.tags)
        and (query.title or "") in fold(image.details.title)
    )


def make_version_1(path: Path, images: list[Image]) -> None:
    """Write a database as the first version did, with these images and one upload that is pending."""
    connection = connect(path)
    connection.executescript(resources.files("service.local").joinpath("schema-1.sql").read_text())
    connection.execute("PRAGMA user_version = 1")
    for n, each in enumerate(images):
        columns = {**upload_columns(upload_of(each)), **image_columns(each), "deadline": None}
        for later in ("visibility", "placeholder", "variants_json", "strip_location"):
            del columns[later]
        if n == 0:
            pending = {**columns, "image_id": "pending", "state": State.PENDING, "deadline": 1}
            insert(connection, pending)
        insert(connection, columns)
        for tag in json.loads(str(columns["tags_json"])):
            row = (fold(tag), columns["created_at"], each.image_id)
            connection.execute("INSERT INTO image_tags VALUES (?, ?, ?)", row)
    connection.close()


def insert(connection: sqlite3.Connection, columns: dict[str, object]) -> None:
    marks = ", ".join(f":{name}" for name in columns)
    connection.execute(f"INSERT INTO images ({', '.join(columns)}) VALUES ({marks})", columns)
