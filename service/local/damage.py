"""Detection of a damaged database file, by SQLite's errors and by checks.

A faulty disk, or another program that writes to the file, can damage pages of a table, of an index, or of the title
search. SQLite reports a damaged page only when it reads it; until then everything else works.
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
    """The known damage of one database file. It is remembered until a check finds none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = ""

    @property
    def is_known(self) -> bool:
        """Return whether damage was seen, and no check has found it repaired."""
        return bool(self._seen)

    def unavailable(self, error: sqlite3.DatabaseError) -> Unavailable:
        """Return the error to raise for SQLite's error, and remember damage. Re-raise programming errors."""
        if isinstance(error, _OUR_FAULT):
            raise error
        if _kind(error) not in _DAMAGE:
            return Unavailable("The database is unavailable.")
        if not self._seen:
            logger.error("%s is damaged: %s; %s", self._path, error, REMEDY)
        self._seen = str(error)
        return Unavailable(f"The database is damaged: {REMEDY}.")

    async def gone(self) -> bool:
        """Return whether known damage is repaired. Raises Unavailable while a check still finds it."""
        if not self._seen:
            return False
        if await asyncio.to_thread(found, self._path, _BRIEFLY, titles=True) != "":
            raise Unavailable(f"The database is damaged: {REMEDY}.")
        logger.warning("%s passed the integrity check again", self._path)
        self._seen = ""
        return True

    async def look(self, seconds: float | None = _BRIEFLY, *, titles: bool = False) -> None:
        """Check the database for at most this many seconds, or completely if None. Raises Unavailable for damage.

        With `titles` also check the index of the title search, which blocks writers.
        """
        problem = await asyncio.to_thread(found, self._path, seconds, titles=titles)
        if problem:
            raise Unavailable(f"{self._path} is damaged: {problem}; {REMEDY}.")


def found(path: Path, seconds: float | None, *, titles: bool) -> str | None:
    """Return the first damage of a database, "" if there is none, or None if the time is over."""
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
