"""The shapes of requests: what comes over the wire from clients, and how it is read."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, get_args

from marshmallow import Schema, ValidationError, fields, validate

from service.domain.errors import InvalidParameter, InvalidRequest
from service.domain.model import Visibility
from service.media import IMAGE_TYPES, UNKNOWN_TYPE

from .fields import (
    Base64,
    DateBound,
    DeclaredType,
    Filename,
    Flag,
    TagFilter,
    Tags,
    Text,
    WholeNumber,
)

TITLE_LENGTH, DESCRIPTION_LENGTH, USER_LENGTH = 200, 2_000, 128  # characters


def load(schema: Schema, data: Any, otherwise: type[InvalidRequest] = InvalidRequest) -> dict[str, Any]:
    """Return what the schema makes of untrusted data.

    Raises the error whose code the failing fields share, or `otherwise`, with a message per field.
    """
    if not isinstance(data, Mapping):
        raise otherwise("The body must be a JSON object.")
    try:
        loaded: dict[str, Any] = schema.load(data)
    except ValidationError as error:
        complaints = dict(_flatten(error.messages))
        kinds = {getattr(message, "kind", otherwise) for messages in complaints.values() for message in messages}
        kind = kinds.pop() if len(kinds) == 1 else otherwise
        known = {
            name: [str(each) for each in messages] for name, messages in complaints.items() if name in schema.fields
        }
        if len(known) < len(complaints):
            known["_unknown"] = [f"The request has unknown fields. Known fields: {', '.join(schema.fields)}."]
        raise kind("Some fields are invalid: see `errors`.", known) from error
    return loaded


def _flatten(messages: Any) -> Iterable[tuple[str, list[str]]]:
    """Yield (top-level field, its messages), whatever the depth marshmallow found them at."""
    for name, found in (messages if isinstance(messages, Mapping) else {"_schema": messages}).items():
        yield (
            str(name),
            [m for _, inner in _flatten(found) for m in inner] if isinstance(found, dict) else list(found),
        )


# ---------------------------------------------------------------- requests


# What a caller who has signed in may leave out (`Schema(partial=...)`).
SIGNED_IN = ("user_id",)

VISIBILITIES = get_args(Visibility)

_USER = "Who is asking: required, unless a token says it."
_VISIBILITY = (
    "Who sees the image: its user (private) or everyone (public). With open auth everyone sees every image: the "
    "value is stored, and takes effect once the service runs with tokens."
)
EFFECTIVE_VISIBILITY = "Who sees the image: its user or everyone. With open auth always public."


class DetailsBody(Schema):
    """What every way of uploading says about the image."""

    user_id = Text(most=USER_LENGTH, required=True, metadata={"description": _USER})
    title = Text(most=TITLE_LENGTH, required=True)
    description = Text(most=DESCRIPTION_LENGTH, lines=True, load_default="")
    tags = Tags(load_default=())
    filename = Filename(required=True, metadata={"description": "The file's name, without a path."})
    visibility = fields.String(
        load_default="private",
        validate=validate.OneOf(VISIBILITIES),
        metadata={"description": _VISIBILITY},
    )
    strip_location = Flag(
        metadata={
            "type": "boolean",
            "description": (
                "Take the place where it was made out of the picture's metadata; the pixels stay as they are. "
                "Where this is left out, the service's setting decides."
            ),
        }
    )


class ImageBody(DetailsBody):
    """An upload of base64 in JSON."""

    image_data = Base64(
        required=True,
        metadata={
            "type": "string",
            "contentEncoding": "base64",
            "description": "RFC 4648 base64, with or without a data:image/...;base64, prefix.",
        },
    )


class ImageForm(DetailsBody):
    """An upload by multipart/form-data. The filename is the file part's, unless a field gives another."""

    tags = Tags(load_default=(), metadata={"description": "One with commas between, or the field repeated."})
    file = Base64(required=True, metadata={"type": "string", "contentMediaType": "application/octet-stream"})


class UploadBody(DetailsBody):
    """The request for a direct upload."""

    content_type = DeclaredType(
        load_default=UNKNOWN_TYPE,
        metadata={
            "description": (
                f"One of {', '.join(IMAGE_TYPES)}, or an alias such as image/jpg: the bytes are held to it. "
                f"Left out, empty or {UNKNOWN_TYPE}: the bytes decide. Send them with the type in upload.headers."
            ),
            "examples": list(IMAGE_TYPES),
        },
    )
    file_size = fields.Integer(
        strict=True,
        validate=validate.Range(min=1),
        metadata={"description": "Bytes; a PUT is held to exactly this."},
    )
    sha256 = fields.String(
        validate=validate.Regexp(r"[0-9a-f]{64}\Z", error="Must have 64 lowercase hexadecimal digits."),
        metadata={"pattern": "^[0-9a-f]{64}$", "description": "The storage refuses bytes with another digest."},
    )
    method = fields.String(load_default="PUT", validate=validate.OneOf(["PUT", "POST"]))


class OwnerBody(Schema):
    """Who is asking, where the request itself says so."""

    user_id = Text(most=USER_LENGTH, required=True, metadata={"description": _USER})


class BatchBody(OwnerBody):
    """Which images to delete."""

    image_ids = fields.List(fields.String(), required=True, validate=validate.Length(min=1, max=100))


class EditBody(OwnerBody):
    """New values; a field that is left out stays as it is."""

    title = Text(most=TITLE_LENGTH, validate=validate.Length(min=1, error="Must not be blank."))
    description = Text(most=DESCRIPTION_LENGTH, lines=True)
    tags = Tags()
    visibility = fields.String(validate=validate.OneOf(VISIBILITIES), metadata={"description": _VISIBILITY})


class NoQuery(Schema):
    """No query parameters at all."""


class OwnerQuery(Schema):
    """The owner, for clients that cannot send a body with DELETE."""

    user_id = Text(most=USER_LENGTH, validate=validate.Length(min=1, error="Must not be blank."))


class ViewQuery(Schema):
    """How to look at one image."""

    metadata_only = Flag(load_default=False, metadata={"description": "Leave image_data out."})
    download = Flag(load_default=False, metadata={"description": "Answer with the bytes themselves."})


class ContentQuery(Schema):
    """Which picture of an image."""

    variant = fields.String(
        load_default="original",
        validate=validate.OneOf(["thumb", "display", "original"]),
        metadata={
            "description": "thumb: 320 pixels at most, display: 1080, upright; original: the bytes as uploaded."
        },
    )


class ListQuery(Schema):
    """What to list."""

    user_id = Text(most=USER_LENGTH, validate=validate.Length(min=1, error="Must not be blank."))
    tags = TagFilter(metadata={"description": "Tags with commas between; any case."})
    tags_match = fields.String(load_default="all", validate=validate.OneOf(["all", "any"]))
    title = Text(most=TITLE_LENGTH, metadata={"description": "A part of the title, any case."})
    date_from = DateBound(metadata={"type": "string", "description": "ISO date or instant, inclusive."})
    date_to = DateBound(
        end=True, metadata={"type": "string", "description": "Inclusive; a bare date is that whole day."}
    )
    limit = WholeNumber(load_default=50, validate=validate.Range(min=1, max=100))
    cursor = fields.String(
        metadata={
            "description": (
                "next_cursor of the previous page. It contains the filters: omit them, or repeat them unchanged."
            )
        }
    )


@lru_cache(maxsize=512)
def load_query(schema: Schema, pairs: tuple[tuple[str, str], ...]) -> Mapping[str, Any]:
    """Return the query parameters. Raises InvalidParameter, also for repeated and unknown ones.

    The same queries keep coming back, so what they mean is remembered.
    """
    query: dict[str, str] = {}
    for name, value in pairs:
        if name in query and name in schema.fields:
            raise InvalidParameter("A query parameter is repeated.", {name: ["Must not be repeated."]})
        query[name] = value
    return load(schema, query, InvalidParameter)


def split_tags(text: str) -> list[str]:
    """Return the tags of one comma-separated value."""
    return [tag for tag in text.split(",") if tag.strip()]
