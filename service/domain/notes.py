"""Notes: the metadata stored with each original, so that `pixdepot recover` can restore its record.

A note is JSON in UTF-8. A note that is too long loses parts of the description, then of the tags, the title and the
file name. The owner, the times and the digest always fit.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .model import Details, Visibility, milliseconds

MOST = 1500  # bytes, because S3 limits user metadata to 2 KB, which is 1.5 KB before base64
_TEXTS = ("user_id", "title", "filename", "description")
_TIMES = ("created_at", "updated_at")


@dataclass(frozen=True, slots=True)
class Note:
    """A decoded note. `sha256` is empty if the bytes were not verified when the note was written."""

    image_id: str
    details: Details
    created_at: datetime
    updated_at: datetime
    sha256: str = ""


def encoded(note: Note) -> bytes:
    """Encode a note in at most `MOST` bytes. Equal notes give equal bytes."""
    return next(data for each in _shorter(_fields(note)) if len(data := _dumped(each)) <= MOST)


def decoded(data: bytes) -> Note | None:
    """Decode a note. Return None if it is empty or not valid."""
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
    """Yield the fields in full, then shorter and shorter."""
    yield fields
    for name in ("description", "tags", "title", "filename"):
        value = fields[name]
        for n in (7, 6, 5, 4, 3, 2, 1, 0):
            fields = {**fields, name: value[: len(value) * n // 8]}
            yield fields


def _dumped(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
