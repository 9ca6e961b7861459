"""The database file: connections, transactions and schema upgrades."""

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
    """Open a connection with the settings that the repository relies on."""
    connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None)
    connection.row_factory = sqlite3.Row
    cache = f"cache_size = -{_CACHE}"
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", cache):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def in_transaction(change: Callable[[sqlite3.Connection], T]) -> Callable[[sqlite3.Connection], T]:
    """Wrap a change in a transaction, so that it is applied completely or not at all."""

    def transaction(connection: sqlite3.Connection) -> T:
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            return change(connection)

    return transaction


def migrate(connection: sqlite3.Connection) -> None:
    """Upgrade the schema, inside a transaction. Raises Unavailable if a newer version wrote the database."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found > _VERSION:
        raise Unavailable("A newer version of Pixdepot wrote this data directory: upgrade Pixdepot.")
    if found == _VERSION:
        return  # write nothing, so that the service starts on a full disk
    connection.create_function("fold", 1, fold, deterministic=True)
    for version in range(found + 1, _VERSION + 1):
        # Execute statement by statement, because executescript would commit first.
        script = resources.files(__package__).joinpath(f"schema-{version}.sql").read_text()
        for statement in _statements(script):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {_VERSION}")


def rewrite_version(connection: sqlite3.Connection) -> None:
    """Write the version again, unchanged: the smallest change that a commit must write to the disk."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {found}")


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Checkpoint the write-ahead log into the database, so that its space is reused. Does not wait for locks."""
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    return True


def lacks_room(error: sqlite3.OperationalError) -> bool:
    """Return whether the disk may be full. SQLite reports an exceeded disk quota as an I/O error."""
    return error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


def _statements(script: str) -> list[str]:
    statements, rest = [], ""
    for line in script.splitlines(keepends=True):
        rest += line
        if sqlite3.complete_statement(rest):
            statements.append(rest)
            rest = ""
    return statements
