"""Items of the original service: without state or digest, with times and tags in several formats."""

from datetime import UTC, datetime
from typing import Any

from service.domain.model import Details, Expected, Image, Original, State, Upload, milliseconds

from .items import Attributes, Item, image_attributes, text, upload_item


def read_original(item: Item) -> Original | None:
    """Convert an item of the original service. Return None if a required attribute is missing."""
    created_at = _instant(item.get("created_at"))
    image_id, user_id, key = (_text(item, name) for name in ("image_id", "user_id", "s3_key"))
    if not (image_id and user_id and key and created_at):
        return None
    filename = _text(item, "filename") or key.rpartition("/")[2]
    title = _text(item, "title") or filename
    details = Details(user_id, title, filename, _text(item, "description"), _tags(item.get("tags", {})))
    updated_at = _instant(item.get("updated_at")) or created_at
    return Original(image_id, details, key, _text(item, "content_type"), created_at, updated_at)


def adopted_attributes(image: Image) -> Attributes:
    """Return the attributes, without the key, that make an item of the original service READY."""
    content = image.content
    expected = Expected("PUT", content.content_type, content.file_size, content.sha256)
    upload = Upload(image.image_id, image.details, expected, image.created_at, image.created_at, State.READY)
    item = {**upload_item(upload), **image_attributes(image), "state": text(State.READY)}
    return {name: value for name, value in item.items() if name not in {"image_id", "due", "deadline"}}


def _text(item: Item, name: str) -> str:
    return str(item.get(name, {}).get("S", ""))


def _tags(value: Any) -> tuple[str, ...]:
    """Return the tags of a list, a set, or a string with commas."""
    listed = [each.get("S", "") for each in value.get("L", [])]
    tags = listed or sorted(value.get("SS", [])) or value.get("S", "").split(",")
    return tuple(dict.fromkeys(tag.strip() for tag in tags if tag.strip()))


def _instant(value: Any) -> datetime | None:
    """Parse an ISO 8601 time. Without an offset it is in UTC."""
    try:
        instant = datetime.fromisoformat((value or {}).get("S", ""))
    except ValueError:
        return None
    return milliseconds(instant if instant.tzinfo else instant.replace(tzinfo=UTC))
