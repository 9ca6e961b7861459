"""The image repository in one SQLite database in WAL mode.

Each transition is one transaction, which is on disk when it returns (`synchronous=FULL`). So a process that is
killed at any time leaves the state before or after the transition. One thread writes and another thread reads.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from service.domain.errors import Unavailable
from service.domain.model import (
    CLAIM_LIFE,
    Adopt,
    Claim,
    Failure,
    Image,
    ImageQuery,
    Mended,
    Page,
    Position,
    Reindexed,
    State,
    Upload,
)

from . import lists, statements
from .damage import REMEDY, Damage
from .database import checkpoint, connect, in_transaction, lacks_room, migrate, rewrite_version
from .recent import Recent
from .rows import (
    claim_columns,
    details_columns,
    image_columns,
    read_claim,
    read_upload,
    to_ms,
    upload_columns,
    variant_columns,
)

T = TypeVar("T")

_REMEDIES = {  # by primary result code (https://www.sqlite.org/rescode.html)
    **dict.fromkeys((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB), f" To repair it, {REMEDY}."),
    **dict.fromkeys(
        (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM),
        " Set PIXDEPOT_DATA_DIR (or --data) to a directory that this user can write to.",
    ),
}


class SqliteRepository:
    """`ImageRepository` on SQLite. Several processes may share the file."""

    def __init__(self, path: Path, read_budget: int, make_room: Callable[[], bool]) -> None:
        self._path, self._budget, self._make_room = path, read_budget, make_room
        self._damage = Damage(path)
        self._threads: dict[str, ThreadPoolExecutor] = {}
        self._connections: dict[str, sqlite3.Connection] = {}
        self._secret: bytes | None = None
        self._checked = Recent(self._check)

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, path: Path, read_budget: int, make_room: Callable[[], bool] = lambda: False
    ) -> AsyncIterator["SqliteRepository"]:
        """Open the database, create it on first use, and close it at the end. Raises Unavailable for another file.

        On a full disk, deletes call `make_room`, which returns whether it freed space.
        """
        repository = cls(path, read_budget, make_room)
        try:
            for name in ("write", "read"):
                repository._threads[name] = ThreadPoolExecutor(1, f"pixdepot-sqlite-{name}")
            await repository._open()
            yield repository
        finally:
            for name in repository._connections:
                with suppress(sqlite3.DatabaseError):  # what is durable is so already
                    await repository._run(name, sqlite3.Connection.close)
            for thread in repository._threads.values():
                thread.shutdown()

    async def _open(self) -> None:
        try:
            for name in self._threads:
                self._connections[name] = await self._run(name, lambda _: connect(self._path))
            await self._run("write", in_transaction(migrate))
            found = await self._run("read", statements.secret)
            self._secret = found or await self._run("write", in_transaction(statements.new_secret))
        except sqlite3.DatabaseError as error:
            remedy = _REMEDIES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "")
            raise Unavailable(f"{self._path} cannot be opened: {error}.{remedy}") from error
        await self._damage.look()

    async def _run(self, name: str, work: Callable[[Any], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads[name], work, self._connections.get(name))

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._run("read", query)
        except sqlite3.DatabaseError as error:
            raise self._damage.unavailable(error) from error

    async def _write(self, change: Callable[[sqlite3.Connection], T], *, deletes: bool = False) -> T:
        """Run a change in a transaction. A change that `deletes` may use the reserved disk space."""
        once = in_transaction(change)

        def transaction(connection: sqlite3.Connection) -> T:
            # A checkpoint frees the space of the write-ahead log for other changes.
            rooms: tuple[Callable[[], bool], ...] = (partial(checkpoint, connection), self._make_room)
            for make_room in rooms if deletes else ():
                try:
                    return once(connection)
                except sqlite3.OperationalError as error:
                    if not lacks_room(error) or not make_room():
                        raise
            return once(connection)

        try:
            return await self._run("write", transaction)
        except sqlite3.DatabaseError as error:
            raise self._damage.unavailable(error) from error

    async def secret(self) -> bytes:
        """See `ImageRepository`."""
        if self._secret is None:
            found = await self._read(statements.secret)
            self._secret = await self._write(statements.new_secret) if found is None else found
        return self._secret

    async def identity(self) -> str | None:
        """See `ImageRepository`. The ID is in the table of the secret."""
        return await self._read(statements.identity)

    async def identify(self, identity: str, *, replacing: str | None = None) -> str:
        """See `ImageRepository`."""

        def change(connection: sqlite3.Connection) -> str:
            found = statements.identity(connection)
            if found is None or found == replacing:
                row = (statements.DEPOT, identity.encode())
                connection.execute("INSERT OR REPLACE INTO secrets VALUES (?, ?)", row)
                return identity
            return found

        return await self._write(change)

    async def claim(self, claim: Claim) -> Claim:
        """See `ImageRepository`."""

        def change(connection: sqlite3.Connection) -> Claim:
            row = claim_columns(claim)
            expired = to_ms(claim.created_at - CLAIM_LIFE)
            connection.execute("DELETE FROM claims WHERE created_at <= ?", (expired,))
            connection.execute(statements.insert("claims", row), row)
            sql = "SELECT * FROM claims WHERE user_id = :user_id AND key = :key"
            return read_claim(connection.execute(sql, row).fetchone())

        return await self._write(change)

    async def begin(self, upload: Upload) -> None:
        """See `ImageRepository`."""
        row = upload_columns(upload)

        def change(connection: sqlite3.Connection) -> None:
            if not statements.is_deleted(connection, upload.image_id):
                connection.execute(statements.insert("images", row), row)

        await self._write(change)

    async def prepare(self, upload: Upload) -> None:
        """See `ImageRepository`. SQLite does it as part of `publish`."""

    async def upload(self, image_id: str) -> Upload | None:
        """See `ImageRepository`."""
        sql = "SELECT * FROM images WHERE image_id = ?"
        row = await self._read(lambda connection: connection.execute(sql, (image_id,)).fetchone())
        return read_upload(row) if row else None

    async def image(self, image_id: str) -> Image | None:
        """See `ImageRepository`."""
        return await self._read(lambda connection: statements.ready(connection, image_id))

    async def extend(self, image_id: str, expires_at: datetime) -> Upload | None:
        """See `ImageRepository`."""

        def change(connection: sqlite3.Connection) -> Upload | None:
            row = statements.row(connection, image_id, {State.PENDING})
            if row is None:
                return None
            upload = read_upload(row)
            upload = replace(upload, expires_at=max(upload.expires_at, expires_at))
            sql = "UPDATE images SET expires_at = ?, deadline = ? WHERE image_id = ?"
            connection.execute(sql, (to_ms(upload.expires_at), to_ms(upload.deadline), image_id))
            return upload

        return await self._write(change)

    async def publish(self, image: Image, *, settled: bool) -> Image | None:
        """See `ImageRepository`."""

        def change(connection: sqlite3.Connection) -> Image | None:
            row = statements.row(connection, image.image_id, {State.PENDING})
            if row is None:
                return statements.ready(connection, image.image_id)
            deadline = None if settled else row["deadline"]
            statements.update(
                connection, image.image_id, state=State.READY, deadline=deadline, **image_columns(image)
            )
            lists.write(connection, image)
            return image

        return await self._write(change)

    async def fail(self, image_id: str, failure: Failure) -> bool:
        """See `ImageRepository`."""

        def change(connection: sqlite3.Connection) -> bool:
            if statements.row(connection, image_id, {State.PENDING}) is None:
                return False
            reason = {"failure_code": failure.code, "failure_detail": failure.detail}
            statements.update(connection, image_id, state=State.FAILED, **reason)
            return True

        return await self._write(change)

    async def edit(self, image: Image, *, seen: Image) -> bool:
        """See `ImageRepository`."""

        def change(connection: sqlite3.Connection) -> bool:
            if statements.ready(connection, image.image_id) != seen:
                return False
            statements.update(
                connection,
                image.image_id,
                **details_columns(image.details),
                updated_at=to_ms(image.updated_at),
            )
            lists.write(connection, image)
            return True

        return await self._write(change)

    async def exchange_variants(self, image: Image, *, seen: Image, deadline: datetime) -> bool:
        """See `ImageRepository`."""

        def change(connection: sqlite3.Connection) -> bool:
            row, now = (
                statements.row(connection, image.image_id, {State.READY}),
                statements.ready(connection, image.image_id),
            )
            if row is None or now is None or now.variants != seen.variants:
                return False
            later = max(to_ms(deadline), row["deadline"] or 0)
            statements.update(connection, image.image_id, **variant_columns(image), deadline=later)
            return True

        return await self._write(change)

    async def schedule_sweep(self, image_id: str, deadline: datetime) -> bool:
        """See `ImageRepository`."""
        sql = "UPDATE images SET deadline = max(coalesce(deadline, 0), ?) WHERE image_id = ? AND state = 'ready'"
        values = (to_ms(deadline), image_id)
        return await self._write(lambda connection: connection.execute(sql, values).rowcount == 1)

    async def retire(
        self, image_id: str, states: Collection[State], deadline: datetime, *, due: datetime | None = None
    ) -> bool:
        """See `ImageRepository`."""

        def change(connection: sqlite3.Connection) -> bool:
            row = statements.row(connection, image_id, states)
            if row is None or (due and (row["deadline"] is None or row["deadline"] > to_ms(due))):
                return False
            later = max(to_ms(deadline), row["deadline"] or 0)
            statements.update(connection, image_id, state=State.DELETED, deadline=later)
            lists.remove(connection, image_id)
            return True

        return await self._write(change, deletes=True)

    async def find(self, query: ImageQuery, after: Position | None, limit: int) -> Page:
        """See `ImageRepository`."""
        found = await self._read(lambda connection: lists.find(connection, query, after, limit, self._budget))
        return found.page(limit)

    async def usage(self, user_id: str) -> int:
        """See `ImageRepository`. In SQLite it is always accurate."""
        sql = "SELECT coalesce(sum(file_size), 0) FROM images WHERE user_id = ? AND state = 'ready'"
        return await self._read(lambda connection: int(connection.execute(sql, (user_id,)).fetchone()[0]))

    async def mend_lists(self, newer_than: datetime, *, dry_run: bool) -> Mended:  # noqa: ARG002
        """See `ImageRepository`. Entries are missing only if the database was recovered from a damaged file."""
        missing, stale = await self._read(lists.differences)

        def change(connection: sqlite3.Connection) -> None:
            for image_id in stale:
                lists.remove(connection, image_id)
            for image_id in missing:
                if image := statements.ready(connection, image_id):
                    lists.write(connection, image)

        if not dry_run and (missing or stale):
            await self._write(change)
        return Mended(len(missing), len(stale))

    async def reindex(self, adopt: Adopt) -> AsyncIterator[Reindexed]:  # noqa: ARG002
        """See `ImageRepository`. There is nothing to do, because a schema upgrade builds the lists."""
        nothing: tuple[Reindexed, ...] = ()
        for each in nothing:
            yield each

    async def due(self, now: datetime, limit: int) -> Sequence[Upload]:
        """See `ImageRepository`."""
        sql = "SELECT * FROM images WHERE deadline <= ? ORDER BY deadline LIMIT ?"
        return await self._read(
            lambda connection: [read_upload(row) for row in connection.execute(sql, (to_ms(now), limit))]
        )

    async def settle(self, image_id: str, now: datetime) -> None:
        """See `ImageRepository`."""
        sql = "UPDATE images SET deadline = NULL WHERE image_id = ? AND state = 'ready' AND deadline <= ?"
        await self._write(lambda connection: connection.execute(sql, (image_id, to_ms(now))), deletes=True)

    async def forget(self, image_id: str, now: datetime) -> bool:
        """See `ImageRepository`."""
        due = "FROM images WHERE image_id = ? AND state = 'deleted' AND deadline <= ?"
        values = (image_id, to_ms(now))

        def change(connection: sqlite3.Connection) -> bool:
            # Only what was published has a key.
            published = f"SELECT image_id {due} AND object_key IS NOT NULL"
            connection.execute(f"INSERT OR IGNORE INTO deletions {published}", values)
            return connection.execute(f"DELETE {due}", values).rowcount == 1

        return await self._write(change, deletes=True)

    async def is_deleted(self, image_id: str) -> bool:
        """See `ImageRepository`."""
        return await self._read(lambda connection: statements.is_deleted(connection, image_id))

    async def check(self) -> None:
        """See `ImageRepository`. Read, and commit a transaction, like an upload.

        Known damage is remembered until it is repaired.
        """
        if self._damage.is_known:
            self._checked.expire()
        await self._checked()

    async def _check(self) -> None:
        if await self._damage.gone():
            for name in self._connections:  # reopen, because caches may still contain damaged pages
                await self._run(name, lambda connection: connection.execute("PRAGMA shrink_memory"))
        await self._read(lambda connection: connection.execute("SELECT 1 FROM images LIMIT 1").fetchall())
        await self._write(rewrite_version)

    async def examine(self) -> None:
        """See `ImageRepository`."""
        await self._damage.look(None, titles=True)
