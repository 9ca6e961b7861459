"""The single statements and queries that the SQLite repository's transactions use."""

import secrets
import sqlite3
from collections.abc import Collection, Mapping

from service.domain.model import Image, State

from .rows import IMAGE_COLUMNS, read_image

DEPOT = "depot"  # the name of the depot's ID among the secrets


def new_secret(connection: sqlite3.Connection) -> bytes:
    """Return the secret of cursors. Create it if there is none."""
    fresh = ("cursor", secrets.token_bytes(32))
    connection.execute("INSERT INTO secrets VALUES (?, ?) ON CONFLICT DO NOTHING", fresh)
    (value,) = connection.execute("SELECT value FROM secrets WHERE name = 'cursor'").fetchone()
    return bytes(value)


def secret(connection: sqlite3.Connection) -> bytes | None:
    """Return the secret of cursors, or None."""
    row = connection.execute("SELECT value FROM secrets WHERE name = 'cursor'").fetchone()
    return bytes(row[0]) if row else None


def identity(connection: sqlite3.Connection) -> str | None:
    """Return the depot's ID, or None."""
    row = connection.execute("SELECT value FROM secrets WHERE name = ?", (DEPOT,)).fetchone()
    return bytes(row["value"]).decode() if row else None


def is_deleted(connection: sqlite3.Connection, image_id: str) -> bool:
    """Return whether an image was published and then deleted."""
    sql = """
    SELECT 1 FROM deletions WHERE image_id = :id UNION ALL
    SELECT 1 FROM images WHERE image_id = :id AND state = 'deleted' AND object_key IS NOT NULL
    """
    return connection.execute(sql, {"id": image_id}).fetchone() is not None


def insert(table: str, row: Mapping[str, object]) -> str:
    """Return a statement that inserts a row, unless a row with its key exists."""
    values = ", ".join(f":{name}" for name in row)
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values}) ON CONFLICT DO NOTHING"  # noqa: S608


def row(connection: sqlite3.Connection, image_id: str, states: Collection[State]) -> sqlite3.Row | None:
    """Return the record with this ID if it is in one of these states, or None."""
    found: sqlite3.Row | None = connection.execute(
        "SELECT * FROM images WHERE image_id = ?", (image_id,)
    ).fetchone()
    return found if found and found["state"] in states else None


def ready(connection: sqlite3.Connection, image_id: str) -> Image | None:
    """Return the published image with this ID, or None."""
    sql = f"SELECT {IMAGE_COLUMNS} FROM images WHERE image_id = ? AND state = 'ready'"  # noqa: S608
    row = connection.execute(sql, (image_id,)).fetchone()
    return read_image(row) if row else None


def update(connection: sqlite3.Connection, image_id: str, **columns: object) -> None:
    """Set columns of a record."""
    assignments = ", ".join(f"{name} = :{name}" for name in columns)
    sql = f"UPDATE images SET {assignments} WHERE image_id = :image_id"  # noqa: S608 - our own column names
    connection.execute(sql, {**columns, "image_id": image_id})
