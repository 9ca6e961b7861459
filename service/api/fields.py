"""The field types of requests and responses, with their validation."""

import re
import unicodedata
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from marshmallow import ValidationError, fields

from service.domain.errors import InvalidFilename, InvalidRequest, InvalidTags
from service.domain.model import fold, milliseconds
from service.media import IMAGE_TYPES, UNKNOWN_TYPE, declared_type

from .jsonbody import Base64Image

_MARKS = 30  # combining marks on one character
FILENAME_BYTES = 255
TAGS, TAG_LENGTH = 20, 50

_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)


class Complaint(str):
    """A validation message for a field whose error has its own code."""

    kind: type[InvalidRequest]

    def __new__(cls, message: str, kind: type[InvalidRequest]) -> "Complaint":
        """Create the message, marked with the class of its error."""
        complaint = super().__new__(cls, message)
        complaint.kind = kind
        return complaint


def _composed(text: str | None) -> str:
    """Normalize a text to NFC, so that texts that look the same are equal. Raises ValidationError.

    Normalization sorts consecutive combining marks in quadratic time: 64 KiB of them would take a second. So the
    limit is that of Unicode's stream-safe text (UAX #15 section 13), which no language reaches.
    """
    text = text or ""
    marks = 0
    for character in "" if text.isascii() else text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks > _MARKS:
            raise ValidationError(f"A character may have at most {_MARKS} combining marks.")
    return unicodedata.normalize("NFC", text)


class Text(fields.String):
    """Text in NFC, trimmed, of at most `most` characters. `lines` allows line breaks and tabs."""

    def __init__(self, *, most: int, lines: bool = False, **options: Any) -> None:
        super().__init__(metadata={"maxLength": most, **options.pop("metadata", {})}, **options)
        self.most, self.lines = most, lines

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        text = _composed(super()._deserialize(value, attr, data, **options)).strip()
        if any(unicodedata.category(c) in {"Cc", "Cs"} and not (self.lines and c in "\n\r\t") for c in text):
            raise ValidationError("Control characters are not allowed.")
        if not text and self.required:
            raise ValidationError("Must not be blank.")
        if len(text) > self.most:
            raise ValidationError(f"Must have at most {self.most:,} characters.")
        return text


class Filename(fields.String):
    """A file name without a path that is safe on every system."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        name = _composed(super()._deserialize(value, attr, data, **options)).strip(" ")
        if not name.strip():
            raise ValidationError("Must not be blank.")
        if any(unicodedata.category(c) in {"Cc", "Cs"} or c in _BIDI_CONTROLS for c in name):
            raise ValidationError(Complaint("Control characters are not allowed.", InvalidFilename))
        if "/" in name or "\\" in name or name in {".", ".."}:
            raise ValidationError(Complaint("Must be a filename without a path.", InvalidFilename))
        if _RESERVED.fullmatch(name):
            raise ValidationError(Complaint("Windows reserves this name: choose another one.", InvalidFilename))
        if len(name.encode()) > FILENAME_BYTES:
            raise ValidationError(f"Must have at most {FILENAME_BYTES} bytes in UTF-8.")
        return name


class Tags(fields.List[str]):
    """At most 20 tags, in the given order and spelling. Of tags that differ only in case, the first counts."""

    def __init__(self, **options: Any) -> None:
        metadata = {"maxItems": TAGS, **options.pop("metadata", {})}
        super().__init__(fields.String(metadata={"maxLength": TAG_LENGTH}), metadata=metadata, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        kept: dict[str, str] = {}
        for each in super()._deserialize(value, attr, data, **options):
            tag = _composed(each).strip()
            _check_tag(tag)
            kept.setdefault(fold(tag), tag)
        if len(kept) > TAGS:
            raise ValidationError(Complaint(f"At most {TAGS} tags are allowed.", InvalidTags))
        return tuple(kept.values())


def _check_tag(tag: str) -> None:
    if not tag or "," in tag or any(unicodedata.category(c) in {"Cc", "Cs"} for c in tag):
        message = "A tag must not be blank or contain commas or control characters."
        raise ValidationError(Complaint(message, InvalidTags))
    if len(tag) > TAG_LENGTH:
        raise ValidationError(Complaint(f"A tag must have at most {TAG_LENGTH} characters.", InvalidTags))


class TagFilter(fields.String):
    """Tags to filter by, with commas between. Tags that differ only in case count as one."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        text = super()._deserialize(value, attr, data, **options)
        tags = {_composed(tag).strip() for tag in text.split(",")} - {""}
        try:
            for tag in tags:
                _check_tag(tag)
        except ValidationError as error:
            raise ValidationError(str(error.messages[0])) from error
        kept = {fold(tag): tag for tag in sorted(tags)}
        if len(kept) > TAGS:
            raise ValidationError(f"At most {TAGS} tags are allowed.")
        return tuple(kept.values())


class DeclaredType(fields.String):
    """The client's declaration of an image's media type: one of IMAGE_TYPES, or UNKNOWN_TYPE."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        known = declared_type(super()._deserialize(value, attr, data, **options)) or UNKNOWN_TYPE
        if known not in {*IMAGE_TYPES, UNKNOWN_TYPE}:
            raise ValidationError(
                f"Must be one of: {', '.join(IMAGE_TYPES)}. Omit it to use the type of the bytes."
            )
        return known


class Base64(fields.Field[Base64Image]):
    """Image bytes, which the reader of the body has already decoded."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> Base64Image:
        if not isinstance(value, Base64Image):
            raise ValidationError("Not a valid string.")
        return value


class WholeNumber(fields.Integer):
    """An integer of 1 to 9 ASCII digits in a query parameter."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        if not re.fullmatch(r"[0-9]{1,9}", str(value), re.ASCII):
            raise ValidationError("Not a valid integer.")
        return super()._deserialize(value, attr, data, **options)


class Flag(fields.Boolean):
    """A boolean: true, false, 1 or 0."""

    def __init__(self, **options: Any) -> None:
        super().__init__(truthy={"true", "1"}, falsy={"false", "0"}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        return super()._deserialize(str(value).lower(), attr, data, **options)


class DateBound(fields.Field[datetime]):
    """An ISO 8601 date or time as a bound of a range. Without an offset it is in UTC.

    With `end` it becomes the exclusive bound: the next millisecond, or the next day for a date.
    """

    def __init__(self, *, end: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.end = end

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        try:
            start, length = _span(value)
        except (ValueError, OverflowError) as error:
            raise ValidationError("Must be an ISO 8601 date or time, such as 2024-06-30T12:00:00Z.") from error
        if not self.end:
            return start
        try:
            return start + length
        except OverflowError:
            return milliseconds(datetime.max.replace(tzinfo=UTC))


def _span(text: str) -> tuple[datetime, timedelta]:
    """Return the start and the length of an ISO 8601 date or time. Raises ValueError, OverflowError."""
    with suppress(ValueError):
        return datetime.combine(date.fromisoformat(text), time(), UTC), timedelta(days=1)
    # A plus sign that the client did not percent-encode arrives as a space.
    instant = datetime.fromisoformat(re.sub(r" (\d{2}:?\d{2})$", r"+\1", text))
    return milliseconds(instant if instant.tzinfo else instant.replace(tzinfo=UTC)), timedelta(milliseconds=1)


class Instant(fields.Field[datetime]):
    """A time in responses: UTC in milliseconds, with Z."""

    def _serialize(self, value: Any, *_: Any, **__: Any) -> str | None:
        return None if value is None else instant(value)


def instant(value: datetime) -> str:
    """Format a timezone-aware UTC time for responses: 2025-09-01T12:00:00.000Z."""
    return f"{value.isoformat('T', 'milliseconds')[:-6]}Z"  # replaces +00:00
