"""The database's file: how it is opened, written to in transactions, and brought up to date."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import TypeVar

from service.domain.errors import Unavailable
from service.domain.model import fold

T = TypeVar("T")

_VERSION = 8  # of the schema, kept in PRAGMA user_version
_CACHE = 4_096  # KiB for each connection
_BUSY = 10.0  # seconds to wait for another process's transaction


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection in the mode that everything here relies on."""
    connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None)
    connection.row_factory = sqlite3.Row
    cache = f"cache_size = -{_CACHE}"
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", cache):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def in_transaction(change: Callable[[sqlite3.Connection], T]) -> Callable[[sqlite3.Connection], T]:
    """Return the same change in a transaction of its own: done as a whole, or not at all."""

    def transaction(connection: sqlite3.Connection) -> T:
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            return change(connection)

    return transaction


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, inside a transaction. Raises Unavailable for a newer version's database."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > _VERSION:
        raise Unavailable("A newer version of Pixdepot wrote this data directory: upgrade Pixdepot.")
    if found == _VERSION:
        return  # nothing is written, so that a full disk is no reason not to start
    connection.create_function("fold", 1, fold, deterministic=True)
    for version in range(found + 1, _VERSION + 1):
        # Statement by statement: executescript would commit first.
        script = resources.files(__package__).joinpath(f"schema-{version}.sql").read_text()
        for statement in _statements(script):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {_VERSION}")


def rewrite_version(connection: sqlite3.Connection) -> None:
    """Write the version as it is: the smallest change that a commit has to bring to the disk."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {found}")


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Bring changes from the log into the database, so that the log's room is used anew. Waits for nobody."""
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    return True


def lacks_room(error: sqlite3.OperationalError) -> bool:
    """Return whether the disk may be full; where a quota is used up, SQLite tells of an I/O error."""
    return error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


def _statements(script: str) -> list[str]:
    statements, rest = [], ""
    for line in script.splitlines(keepends=True):
        rest += line
        if sqlite3.complete_statement(rest):
            statements.append(rest)
            rest = ""
    return statements
