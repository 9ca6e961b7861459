"""Conversion between domain values and database columns."""

import sqlite3
from collections.abc import Sequence
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from service.domain.model import Claim, Content, Details, Expected, Failure, Image, State, Upload, Variant, fold

_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)

# The columns of `read_image`, in its order, because access by column name takes longer than everything else in it.
IMAGE_COLUMNS = """
images.image_id, images.user_id, images.title, filename, description, tags_json, images.visibility,
content_type, file_size, sha256, width, height, placeholder, object_key, created_at, updated_at, variants_json
"""


def to_ms(instant: datetime) -> int:
    """Convert a time to the database's format: milliseconds since 1970."""
    return (instant - _EPOCH) // _MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    """Convert milliseconds since 1970 to a time."""
    return _EPOCH + milliseconds * _MILLISECOND


def details_columns(details: Details) -> dict[str, object]:
    """Return the columns of the metadata from the client."""
    return {
        "user_id": details.user_id,
        "title": details.title,
        "title_folded": fold(details.title),
        "description": details.description,
        "tags_json": orjson.dumps(details.tags).decode(),
        "filename": details.filename,
        "visibility": details.visibility,
    }


def upload_columns(upload: Upload) -> dict[str, object]:
    """Return the columns of a new upload."""
    return {
        "image_id": upload.image_id,
        "state": upload.state,
        "deadline": to_ms(upload.deadline),
        **details_columns(upload.details),
        "created_at": to_ms(upload.created_at),
        "updated_at": to_ms(upload.created_at),
        "expires_at": to_ms(upload.expires_at),
        "method": upload.expected.method,
        "declared_type": upload.expected.content_type,
        "declared_size": upload.expected.file_size,
        "declared_sha256": upload.expected.sha256,
        "strip_location": upload.expected.strip_location,
    }


def image_columns(image: Image) -> dict[str, object]:
    """Return the columns of the properties of the bytes."""
    content = image.content
    return {
        "object_key": image.object_key,
        "content_type": content.content_type,
        "file_size": content.file_size,
        "sha256": content.sha256,
        **variant_columns(image),
    }


def variant_columns(image: Image) -> dict[str, object]:
    """Return the columns of the variants, the placeholder and the size in pixels."""
    variants = orjson.dumps([astuple(each) for each in image.variants]).decode()
    content = image.content
    size = {"width": content.width, "height": content.height}
    return {**size, "placeholder": content.placeholder, "variants_json": variants}


def claim_columns(claim: Claim) -> dict[str, object]:
    """Return the columns of a claim."""
    return {
        "user_id": claim.user_id,
        "key": claim.key,
        "fingerprint": claim.fingerprint,
        "process": claim.process,
        "image_id": claim.image_id,
        "created_at": to_ms(claim.created_at),
        "upload_expires_at": to_ms(claim.upload_expires_at),
    }


def read_claim(row: sqlite3.Row) -> Claim:
    """Convert a row to a claim."""
    return Claim(
        row["user_id"],
        row["key"],
        row["fingerprint"],
        row["process"],
        row["image_id"],
        from_ms(row["created_at"]),
        from_ms(row["upload_expires_at"]),
    )


def read_upload(row: sqlite3.Row) -> Upload:
    """Convert a row in any state to an upload."""
    declared = (row["declared_type"], row["declared_size"], row["declared_sha256"])
    expected = Expected(row["method"], *declared, bool(row["strip_location"]))
    failure = Failure(row["failure_code"], row["failure_detail"]) if row["failure_code"] else None
    tags = tuple(orjson.loads(row["tags_json"]))
    said = (row["user_id"], row["title"], row["filename"], row["description"], tags, row["visibility"])
    created_at, expires_at = from_ms(row["created_at"]), from_ms(row["expires_at"])
    return Upload(row["image_id"], Details(*said), expected, created_at, expires_at, State(row["state"]), failure)


def list_order(row: Sequence[Any]) -> tuple[int, str]:
    """Return the sort key of a row of IMAGE_COLUMNS. Lists are in descending order."""
    return row[14], row[0]


def read_image(row: Sequence[Any]) -> Image:
    """Convert a row of IMAGE_COLUMNS to a READY image."""
    image_id, user_id, title, filename, description, tags, visibility, *rest = row
    kind, size, sha256, width, height, placeholder, object_key, created_at, updated_at, variants = rest
    return Image(
        image_id,
        Details(user_id, title, filename, description, tuple(orjson.loads(tags)), visibility),
        Content(kind, size, sha256, width, height, placeholder),
        object_key,
        from_ms(created_at),
        from_ms(updated_at),
        tuple([Variant(*each) for each in orjson.loads(variants)]),
    )
