"""Conversion between domain values and DynamoDB items, with the attribute names of the original table.

An item has the key attributes of an index (`user_id`, `feed` and `created_at`, `due` and `deadline`) only while the
index should contain it. So a pending upload stores its user as `owner` and its time as `begun_at`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

from service.domain.model import (
    Claim,
    Content,
    Details,
    Expected,
    Failure,
    Image,
    State,
    Upload,
    Variant,
    Visibility,
    fold,
)
from service.domain.search import feed_of

Item = Mapping[str, Mapping[str, Any]]
Attributes = dict[str, dict[str, Any]]

CLAIM_TERM = "claim#"  # and an idempotency key: no image's term
DUE_SHARDS = 4  # partitions of the index on deadlines, so that its writes are spread
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def text(value: str) -> dict[str, Any]:
    """Return a string attribute."""
    return {"S": value}


def number(value: int) -> dict[str, Any]:
    """Return a number attribute."""
    return {"N": str(value)}


def texts(values: tuple[str, ...]) -> dict[str, Any]:
    """Return a list of strings. Unlike a string set, it keeps the order and can be empty."""
    return {"L": [{"S": each} for each in values]}


def stamp(instant: datetime) -> str:
    """Return a time as a sortable string attribute, in the format of the original service."""
    return instant.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def milliseconds(instant: datetime) -> int:
    """Return a time as a number attribute, for comparisons."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def due(image_id: str, deadline: datetime) -> Attributes:
    """Return the attributes that make a record due at its deadline."""
    return {"due": text(f"due#{crc32(image_id.encode()) % DUE_SHARDS}"), "deadline": number(milliseconds(deadline))}


def details_attributes(details: Details) -> Attributes:
    """Return the attributes of the metadata that the owner can edit."""
    return {
        "title": text(details.title),
        "description": text(details.description),
        "tags": texts(details.tags),
        "visibility": text(details.visibility),
    }


def upload_item(upload: Upload) -> Attributes:
    """Return the item of a new upload."""
    expected = upload.expected
    item = {
        "image_id": text(upload.image_id),
        "state": text(upload.state),
        "owner": text(upload.details.user_id),
        "begun_at": text(stamp(upload.created_at)),
        "filename": text(upload.details.filename),
        **details_attributes(upload.details),
        "expires_at": number(milliseconds(upload.expires_at)),
        **due(upload.image_id, upload.deadline),
        "expected_method": text(expected.method),
        "expected_type": text(expected.content_type),
    }
    if expected.file_size is not None:
        item["expected_size"] = number(expected.file_size)
    if expected.sha256 is not None:
        item["expected_sha256"] = text(expected.sha256)
    if expected.strip_location:
        item["strip_location"] = {"BOOL": True}
    return item


def image_attributes(image: Image) -> Attributes:
    """Return the attributes that an item gains when its upload is published."""
    return {
        "user_id": text(image.details.user_id),
        "feed": text(feed_of(image.image_id)),
        "created_at": text(stamp(image.created_at)),
        "updated_at": text(stamp(image.updated_at)),
        "s3_key": text(image.object_key),
        "content_type": text(image.content.content_type),
        "file_size": number(image.content.file_size),
        "sha256": text(image.content.sha256),
        **variants_attributes(image),
    }


def variants_attributes(image: Image) -> Attributes:
    """Return the attributes of the variants, the placeholder and the size in pixels."""
    variants = [{"M": _variant_attributes(each)} for each in image.variants]
    size = {"width": number(image.content.width), "height": number(image.content.height)}
    return {**size, "placeholder": text(image.content.placeholder), "variants": {"L": variants}}


def _variant_attributes(variant: Variant) -> Attributes:
    return {
        "name": text(variant.name),
        "s3_key": text(variant.object_key),
        "content_type": text(variant.content_type),
        "width": number(variant.width),
        "height": number(variant.height),
    }


def _variant(item: Item) -> Variant:
    name, key, kind = (item[each]["S"] for each in ("name", "s3_key", "content_type"))
    return Variant(name, key, kind, int(item["width"]["N"]), int(item["height"]["N"]))


def read_upload(item: Item) -> Upload:
    """Convert an item in any state to an upload."""
    size = item.get("expected_size")
    sha256 = item.get("expected_sha256")
    expected = Expected(
        item["expected_method"]["S"],
        item["expected_type"]["S"],
        int(size["N"]) if size else None,
        sha256["S"] if sha256 else None,
        "strip_location" in item,
    )
    reason = item.get("failure_code")
    failure = Failure(reason["S"], item["failure_detail"]["S"]) if reason else None
    expires_at = from_ms(item["expires_at"]["N"])
    return Upload(
        item["image_id"]["S"],
        _details(item),
        expected,
        _instant(item["begun_at"]["S"]),
        expires_at,
        State(item["state"]["S"]),
        failure,
    )


def read_image(item: Item) -> Image:
    """Convert a READY item to an image."""
    content = Content(
        item["content_type"]["S"],
        int(item["file_size"]["N"]),
        item["sha256"]["S"],
        int(item["width"]["N"]),
        int(item["height"]["N"]),
        item["placeholder"]["S"] if "placeholder" in item else "",
    )
    return Image(
        item["image_id"]["S"],
        _details(item),
        content,
        item["s3_key"]["S"],
        _instant(item["created_at"]["S"]),
        _instant(item["updated_at"]["S"]),
        tuple(_variant(each["M"]) for each in item["variants"]["L"]) if "variants" in item else (),
    )


def claim_item(claim: Claim) -> Attributes:
    """Return the row of the index table for a claim. It expires by DynamoDB's TTL."""
    return {
        "term": text(f"{CLAIM_TERM}{claim.key}"),
        "position": text(claim.user_id),
        "fingerprint": text(claim.fingerprint),
        "process": text(claim.process),
        "image_id": text(claim.image_id),
        "created_at": number(milliseconds(claim.created_at)),
        "upload_expires_at": number(milliseconds(claim.upload_expires_at)),
        "expires": number(int(claim.expires_at.timestamp()) + 1),
    }


def read_claim(item: Item) -> Claim:
    """Convert a row of the index table to a claim."""
    return Claim(
        item["position"]["S"],
        item["term"]["S"].removeprefix(CLAIM_TERM),
        item["fingerprint"]["S"],
        item["process"]["S"],
        item["image_id"]["S"],
        from_ms(item["created_at"]["N"]),
        from_ms(item["upload_expires_at"]["N"]),
    )


def posting(image_id: str, created_at: datetime, details: Details, term: str, revised_at: datetime) -> Attributes:
    """Return a row of the index table: an image under one of its terms, with the attributes for filters.

    To save space, only rows of public images store the visibility: an image can have hundreds of rows.
    """
    public = {"visibility": text(details.visibility)} if details.visibility == "public" else {}
    return {
        "term": text(term),
        "position": text(f"{stamp(created_at)}#{image_id}"),
        "user_id": text(details.user_id),
        "title": text(fold(details.title)),
        "tags": texts(tuple(fold(tag) for tag in details.tags)),
        **public,
        "revised_at": text(stamp(revised_at)),
    }


def visibility(item: Item) -> Visibility:
    """Return the visibility of an item or a row. Without the attribute it is private."""
    return "public" if item.get("visibility") == text("public") else "private"


def _details(item: Item) -> Details:
    tags = tuple(each["S"] for each in item["tags"]["L"])
    title, filename, description = (item[name]["S"] for name in ("title", "filename", "description"))
    return Details(item["owner"]["S"], title, filename, description, tags, visibility(item))


def from_ms(number: str) -> datetime:
    """Convert a number attribute in milliseconds to a time."""
    return _EPOCH + timedelta(milliseconds=int(number))


def _instant(stamped: str) -> datetime:
    return datetime.fromisoformat(stamped)
