"""Pages of a database that somebody wrote over while it is in use: it is unavailable, says so, and heals."""

import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import Unavailable
from service.domain.model import ImageQuery, now
from service.local.damage import found
from service.local.sqlite import SqliteRepository
from tests.contract.test_image_repository import an_upload, published

BUDGET = 10_000
TITLE = " ".join(f"word{n}" for n in range(20))


@pytest.fixture(scope="module")
async def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with more pages than one of everything."""
    path = tmp_path_factory.mktemp("library") / "pixdepot.db"
    async with SqliteRepository.opened(path, BUDGET) as records:
        for n in range(120):
            await published(
                records, an_upload("ada", title=f"{TITLE} {n}", description="x" * 2000, tags=("a", "b"))
            )
    return path


@pytest.fixture
def database(library: Path, tmp_path: Path) -> Path:
    """Return a copy of the library."""
    return Path(shutil.copy(library, tmp_path))


def pages(path: Path, name: str) -> list[int]:
    """Return the numbers of a table's or an index's pages, the root's first."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT pageno FROM dbstat WHERE name = ? ORDER BY path", (name,)).fetchall()
    assert rows
    return [number for (number,) in rows]


def write_over(path: Path, name: str, *, whole: bool = True) -> None:
    """Write over all pages of a table or an index; of the middle one alone unless `whole`."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    found = pages(path, name)
    with path.open("r+b") as file:
        for page in found if whole else [found[len(found) // 2]]:
            file.seek((page - 1) * size)
            file.write(b"damage. " * (size // 8))


@contextmanager
def written_over(path: Path, name: str) -> Iterator[None]:
    """Write over all pages of a table or an index, and put back what was there at the end."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.read_bytes()
    write_over(path, name)
    try:
        yield
    finally:
        with path.open("r+b") as file:
            file.write(before)


Ask = Callable[[SqliteRepository], Awaitable[Any]]
# What is written over, and what then comes across it.
DAMAGED: dict[str, Ask] = {
    "images": lambda records: records.image("an id"),
    "images_due": lambda records: records.due(now(), 10),
    "images_usage": lambda records: records.usage("ada"),
    "listed": lambda records: records.find(ImageQuery(), None, 10),
    "listed_of_user": lambda records: records.find(ImageQuery(user_id="ada"), None, 10),
    "listed_tags": lambda records: records.find(ImageQuery(tags=("a",)), None, 10),
    "title_parts_data": lambda records: records.find(ImageQuery(title="word"), None, 10),
    "title_parts_idx": lambda records: records.find(ImageQuery(title="word"), None, 10),
    "claims": lambda records: records.begin(an_upload()),
}


@pytest.mark.parametrize("name", [name for name in DAMAGED if name != "claims"])
async def test_damage_is_unavailable_is_remembered_and_is_over_when_a_check_finds_none(
    database: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with SqliteRepository.opened(database, BUDGET) as records:
        with written_over(database, name):
            for _ in range(2):
                with pytest.raises(Unavailable, match="damaged"):
                    await DAMAGED[name](records)
                with pytest.raises(Unavailable, match=r"docs/operations\.md"):
                    await records.check()
            told = [each for each in caplog.records if each.levelname == "ERROR"]
            assert len(told) == 1
            assert str(database) in told[0].getMessage()
        await records.check()
        await DAMAGED[name](records)
        await published(records, an_upload())


@pytest.mark.parametrize("name", DAMAGED)
async def test_an_examination_finds_damage_that_nothing_came_across(database: Path, name: str) -> None:
    async with SqliteRepository.opened(database, BUDGET) as records:
        await records.examine()
        with written_over(database, name), pytest.raises(Unavailable, match=f"{database} is damaged"):
            await records.examine()


@pytest.mark.parametrize("name", DAMAGED)
async def test_a_database_with_damage_in_its_middle_is_not_opened(database: Path, name: str) -> None:
    with written_over(database, name), pytest.raises(Unavailable, match=r"docs/operations\.md"):
        async with SqliteRepository.opened(database, BUDGET):
            pytest.fail("opened")


async def test_a_write_that_comes_across_damage_changes_nothing(database: Path) -> None:
    upload = an_upload()
    async with SqliteRepository.opened(database, BUDGET) as records:
        await records.begin(upload)
        with written_over(database, "listed_tags"), pytest.raises(Unavailable):
            await published(records, an_upload("eve", tags=("a",)))
        await records.check()
        assert (await records.find(ImageQuery(user_id="eve"), None, 10)).images == ()


async def test_a_look_at_a_large_database_is_over_in_time(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) "
            "INSERT INTO claims SELECT 'ada', 'key ' || i, '', '', '', i, i FROM n"
        )
    assert found(database, 0.005, titles=True) is None
    with written_over(database, "images_due"):
        assert found(database, None, titles=True)
