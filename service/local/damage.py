"""Damage of the database's file: which errors tell of it, and looking for it.

A disk that loses bytes, or whoever writes over the file, damages pages of a table, of an index, or of the search in
titles. SQLite tells when it comes across them; until then all else works.
"""

import asyncio
import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Timer

from service.domain.errors import Unavailable

logger = logging.getLogger(__name__)

# What a program of ours got wrong, rather than the file or the disk.
_OUR_FAULT = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.NotSupportedError)
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_IOERR}
_PRIMARY = 0xFF  # the bits of an error's code that tell its kind
_BUSY = 0.5  # seconds to wait for another's transaction
_BRIEFLY = 2.0  # seconds for a look at the start, and when somebody asks whether the service is ready
REMEDY = "restore its backup, or recover it as described in docs/operations.md"


class Damage:
    """What is known of damage of one database's file. It is remembered until a check finds none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = ""

    def unavailable(self, error: sqlite3.DatabaseError) -> Unavailable:
        """Return what to raise for SQLite's error, and remember it if it tells of damage. Raises our own faults."""
        if isinstance(error, _OUR_FAULT):
            raise error
        if _kind(error) not in _DAMAGE:
            return Unavailable("The database is unavailable.")
        if not self._seen:
            logger.error("%s is damaged: %s; %s", self._path, error, REMEDY)
        self._seen = str(error)
        return Unavailable(f"The database is damaged: {REMEDY}.")

    async def gone(self) -> bool:
        """Return whether damage that was seen is gone. Raises Unavailable while a check does not find it gone."""
        if not self._seen:
            return False
        if await asyncio.to_thread(found, self._path, _BRIEFLY, titles=True) != "":
            raise Unavailable(f"The database is damaged: {REMEDY}.")
        logger.warning("%s passed the integrity check again", self._path)
        self._seen = ""
        return True

    async def look(self, seconds: float | None = _BRIEFLY, *, titles: bool = False) -> None:
        """Raise Unavailable for damage that shows within so many seconds; None looks at everything.

        With `titles` also at what the search in titles reads, which keeps writers waiting.
        """
        problem = await asyncio.to_thread(found, self._path, seconds, titles=titles)
        if problem:
            raise Unavailable(f"{self._path} is damaged: {problem}; {REMEDY}.")


def found(path: Path, seconds: float | None, *, titles: bool) -> str | None:
    """Return the first damage that a database has, "" if it has none, None if it cannot be told in time."""
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY, isolation_level=None)) as connection:
            timer = Timer(seconds, connection.interrupt) if seconds is not None else None
            if timer:
                timer.daemon = True
                timer.start()
            try:
                return _found(connection, titles=titles)
            finally:
                if timer:
                    timer.cancel()
                    timer.join()
    except sqlite3.DatabaseError as error:
        return _line(str(error)) if _kind(error) in _DAMAGE else None


def _found(connection: sqlite3.Connection, *, titles: bool) -> str:
    (told,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if told == "ok" and titles:
        connection.execute("INSERT INTO title_parts (title_parts) VALUES ('integrity-check')")
    return "" if told == "ok" else _line(told)


def _kind(error: sqlite3.DatabaseError) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & _PRIMARY


def _line(told: str) -> str:
    return " ".join(told.split())
