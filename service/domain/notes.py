"""What is kept with each original so that its record can be made again: who it belongs to, and what was said of it.

A note is JSON in UTF-8. Where it is too long the description is cut, then the tags go, then the title is cut: the
owner, the times and the digest always fit.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .model import Details, Visibility, milliseconds

MOST = 1500  # bytes: S3 takes 2 KB of user metadata with an object, which are 1.5 KB as base64
_TEXTS = ("user_id", "title", "filename", "description")
_TIMES = ("created_at", "updated_at")


@dataclass(frozen=True, slots=True)
class Note:
    """What a note says. `sha256` is empty where the bytes were not known yet; then they speak for themselves."""

    image_id: str
    details: Details
    created_at: datetime
    updated_at: datetime
    sha256: str = ""


def encoded(note: Note) -> bytes:
    """Return a note in at most `MOST` bytes. Equal notes give equal bytes."""
    return next(data for each in _shorter(_fields(note)) if len(data := _dumped(each)) <= MOST)


def decoded(data: bytes) -> Note | None:
    """Return what a note says; None for one that cannot be read, or is none."""
    try:
        said = json.loads(data)
        user_id, title, filename, description = (str(said[name]) for name in _TEXTS)
        visibility: Visibility = "public" if said["visibility"] == "public" else "private"
        details = Details(user_id, title, filename, description, tuple(map(str, said["tags"])), visibility)
        created_at, updated_at = (milliseconds(datetime.fromisoformat(said[name])) for name in _TIMES)
        return Note(str(said["image_id"]), details, created_at, updated_at, str(said["sha256"]))
    except (ValueError, KeyError, TypeError):
        return None


def _fields(note: Note) -> dict[str, Any]:
    details = note.details
    return {
        "image_id": note.image_id,
        "user_id": details.user_id,
        "created_at": note.created_at.isoformat(timespec="milliseconds"),
        "updated_at": note.updated_at.isoformat(timespec="milliseconds"),
        "sha256": note.sha256,
        "visibility": details.visibility,
        "filename": details.filename,
        "title": details.title,
        "description": details.description,
        "tags": list(details.tags),
    }


def _shorter(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the fields as they are, and then with less and less."""
    yield fields
    for name in ("description", "tags", "title", "filename"):
        value = fields[name]
        for n in (7, 6, 5, 4, 3, 2, 1, 0):
            fields = {**fields, name: value[: len(value) * n // 8]}
            yield fields


def _dumped(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
