"""SQLite reads no list whole, and takes over a database that an older version made."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from itertools import product
from pathlib import Path

import pytest

from benchmarks.library import fill_sqlite, library, upload_of
from service.domain.model import Details, Image, ImageQuery, Position, State, fold
from service.local import lists, rows
from service.local.database import connect, migrate
from service.local.rows import image_columns, upload_columns
from service.local.sqlite import SqliteRepository

NOON = datetime(2025, 9, 15, 12, tzinfo=UTC)
ABROAD = replace(
    next(library(1)),
    details=Details("ada", "İstanbul, Athens, ΑΘΉΝΑ: ﬁne art", "photo.jpg", tags=("İzmir", "Fine", "ﬁne", "Plain")),
)
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


@pytest.fixture
def older(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a database of the version that folded case alone, with one image in it and one upload that waits."""
    path = tmp_path / "pixdepot.db"
    with monkeypatch.context() as before, closing(connect(path)) as connection:
        before.setattr("service.local.database._VERSION", 6)
        for module in (lists, rows):
            before.setattr(module, "fold", str.casefold)
        migrate(connection)
        insert(connection, {**upload_columns(upload_of(ABROAD)), **image_columns(ABROAD), "deadline": None})
        waiting = replace(ABROAD, image_id="waiting")
        insert(connection, {**upload_columns(upload_of(waiting)), "state": State.PENDING})
        lists.write(connection, ABROAD)
    return path


async def test_what_was_folded_by_case_alone_is_found_in_any_form(older: Path) -> None:
    for _ in range(2):  # when it is opened for the first time, and later
        async with SqliteRepository.opened(older, 1_000) as records:
            found = [
                (await records.find(query, None, 100)).images
                for query in (
                    *(ImageQuery(title=fold(part)) for part in ("istanbul", "İSTANBUL", "ΑΘΉΝΑ", "fine art", "n")),
                    *(ImageQuery(tags=(fold(tag),)) for tag in ("IZMIR", "İzmir", "fine", "plain")),
                    ImageQuery(tags=(fold("izmir"), "plain"), title=fold("athens, αθήνα")),
                )
            ]
            assert found == [(ABROAD,)] * len(found)
    with closing(connect(older)) as connection:
        connection.execute("INSERT INTO title_parts (title_parts, rank) VALUES ('integrity-check', 1)")
        folded = {title for (title,) in connection.execute("SELECT title_folded FROM images")}
        tags = {tag for (tag,) in connection.execute("SELECT tag FROM listed_tags")}
    assert (folded, tags) == ({fold(ABROAD.details.title)}, {"izmir", "fine", "plain"})


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
