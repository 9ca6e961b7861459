"""The schemas of requests: query parameters, JSON bodies and forms, and their validation."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, get_args

from marshmallow import Schema, ValidationError, fields, validate

from service.domain.errors import InvalidParameter, InvalidRequest
from service.domain.model import Visibility
from service.media import IMAGE_TYPES, UNKNOWN_TYPE

from .fields import (
    FILENAME_BYTES,
    TAGS,
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
    """Validate untrusted data with a schema, and return the loaded fields.

    Raises InvalidRequest, or the subclass that all failing fields share, or `otherwise`, with messages per field.
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
    """Yield (top-level field, its messages). marshmallow nests messages as deep as the fields."""
    for name, found in (messages if isinstance(messages, Mapping) else {"_schema": messages}).items():
        yield (
            str(name),
            [m for _, inner in _flatten(found) for m in inner] if isinstance(found, dict) else list(found),
        )


# ---------------------------------------------------------------- requests


# Fields that an authenticated caller may omit (`Schema(partial=...)`).
SIGNED_IN = ("user_id",)

VISIBILITIES = get_args(Visibility)

_USER = "User ID of the caller. Required without a token; with a token, omit it or send the token's sub claim."
_OWNED = "User ID of the owner."
_VISIBILITY = (
    "private: only the owner sees the image; public: everyone sees it. Without tokens (PIXDEPOT_AUTH=open) "
    "everyone sees every image; the service stores the value and applies it once it runs with tokens."
)
EFFECTIVE_VISIBILITY = (
    "private: only the owner sees the image; public: everyone sees it. Without tokens always public."
)
_TITLE, _DESCRIPTION = "Title, in one line.", "Description. May contain line breaks and tabs."
_TAGS = "Tags, without commas. Tags that differ only in case count as one."


class DetailsBody(Schema):
    """The fields that every kind of upload has."""

    user_id = Text(most=USER_LENGTH, required=True, metadata={"description": _USER})
    title = Text(most=TITLE_LENGTH, required=True, metadata={"description": _TITLE})
    description = Text(most=DESCRIPTION_LENGTH, lines=True, load_default="", metadata={"description": _DESCRIPTION})
    tags = Tags(load_default=(), metadata={"description": _TAGS})
    filename = Filename(
        required=True,
        metadata={"description": f"File name without a path, at most {FILENAME_BYTES} bytes of UTF-8."},
    )
    visibility = fields.String(
        load_default="private",
        validate=validate.OneOf(VISIBILITIES),
        metadata={"description": _VISIBILITY},
    )
    strip_location = Flag(
        metadata={
            "type": "boolean",
            "description": (
                "Remove the GPS location from the image's metadata before it is stored. The pixels do not change. "
                "Default: the server's setting PIXDEPOT_STRIP_LOCATION."
            ),
        }
    )


class ImageBody(DetailsBody):
    """An upload as base64 in JSON."""

    image_data = Base64(
        required=True,
        metadata={
            "type": "string",
            "contentEncoding": "base64",
            "description": "Image bytes as RFC 4648 base64, with or without a data:image/...;base64, prefix.",
        },
    )


class ImageForm(DetailsBody):
    """An upload as multipart/form-data. Its filename is a field, or by default the file name of the file part."""

    tags = Tags(
        load_default=(), metadata={"description": "Tags: one field with commas between, or the field repeated."}
    )
    file = Base64(
        required=True,
        metadata={
            "type": "string",
            "contentMediaType": "application/octet-stream",
            "description": "Image bytes, as a file part.",
        },
    )


class UploadBody(DetailsBody):
    """A request that begins a direct upload."""

    content_type = DeclaredType(
        load_default=UNKNOWN_TYPE,
        metadata={
            "description": (
                f"Media type of the image: one of {', '.join(IMAGE_TYPES)}, or an alias like image/jpg. The "
                f"service rejects bytes of another type. If it is omitted, empty or {UNKNOWN_TYPE}, the service "
                "detects the type. Send the bytes with the Content-Type in upload.headers."
            ),
            "examples": list(IMAGE_TYPES),
        },
    )
    file_size = fields.Integer(
        strict=True,
        validate=validate.Range(min=1),
        metadata={"description": "Size in bytes. Required for PUT, which must send exactly this many bytes."},
    )
    sha256 = fields.String(
        validate=validate.Regexp(r"[0-9a-f]{64}\Z", error="Must have 64 lowercase hexadecimal digits."),
        metadata={"pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of the bytes. Other bytes are rejected."},
    )
    method = fields.String(
        load_default="PUT",
        validate=validate.OneOf(["PUT", "POST"]),
        metadata={
            "description": "PUT: send the bytes as the body. POST: send them as an HTML form, with a file last."
        },
    )


class OwnerBody(Schema):
    """The caller, for requests without a token."""

    user_id = Text(most=USER_LENGTH, required=True, metadata={"description": _USER})


class BatchBody(OwnerBody):
    """The images to delete."""

    image_ids = fields.List(
        fields.String(),
        required=True,
        validate=validate.Length(min=1, max=100),
        metadata={"description": "IDs of the images to delete."},
    )


class EditBody(OwnerBody):
    """New values of an image's fields. A field that is omitted does not change."""

    title = Text(
        most=TITLE_LENGTH,
        validate=validate.Length(min=1, error="Must not be blank."),
        metadata={"description": _TITLE},
    )
    description = Text(most=DESCRIPTION_LENGTH, lines=True, metadata={"description": _DESCRIPTION})
    tags = Tags(metadata={"description": f"{_TAGS} Replaces all tags."})
    visibility = fields.String(validate=validate.OneOf(VISIBILITIES), metadata={"description": _VISIBILITY})


class NoQuery(Schema):
    """No query parameters."""


class OwnerQuery(Schema):
    """The caller, for clients that cannot send a body with DELETE."""

    user_id = Text(
        most=USER_LENGTH,
        validate=validate.Length(min=1, error="Must not be blank."),
        metadata={"description": _USER},
    )


class ViewQuery(Schema):
    """The options of a view of one image."""

    metadata_only = Flag(load_default=False, metadata={"description": "Omit image_data."})
    download = Flag(load_default=False, metadata={"description": "Return the original bytes instead of JSON."})


class ContentQuery(Schema):
    """The variant of an image."""

    variant = fields.String(
        load_default="original",
        validate=validate.OneOf(["thumb", "display", "original"]),
        metadata={
            "description": (
                "thumb: at most 320 pixels on the longer side; display: at most 1080 pixels; both upright. "
                "original: the uploaded bytes."
            )
        },
    )


class ListQuery(Schema):
    """The filters and the page of a list."""

    user_id = Text(
        most=USER_LENGTH,
        validate=validate.Length(min=1, error="Must not be blank."),
        metadata={"description": _OWNED},
    )
    tags = TagFilter(metadata={"description": f"Tags with commas between, at most {TAGS}. Case does not matter."})
    tags_match = fields.String(
        load_default="all",
        validate=validate.OneOf(["all", "any"]),
        metadata={"description": "all: the image has every tag; any: the image has at least one of them."},
    )
    title = Text(most=TITLE_LENGTH, metadata={"description": "Part of the title. Case does not matter."})
    date_from = DateBound(
        metadata={
            "type": "string",
            "description": "Earliest upload time, inclusive: an ISO 8601 date or time. UTC without an offset.",
        }
    )
    date_to = DateBound(
        end=True,
        metadata={
            "type": "string",
            "description": "Latest upload time, inclusive: an ISO 8601 date (the whole day) or time.",
        },
    )
    limit = WholeNumber(
        load_default=50,
        validate=validate.Range(min=1, max=100),
        metadata={"description": "Maximum number of images in the page."},
    )
    cursor = fields.String(
        metadata={
            "description": (
                "next_cursor of the previous page. It contains the filters: omit them, or repeat them unchanged."
            )
        }
    )


@lru_cache(maxsize=512)
def load_query(schema: Schema, pairs: tuple[tuple[str, str], ...]) -> Mapping[str, Any]:
    """Load the query parameters. Raises InvalidParameter, also for repeated and unknown parameters.

    Results are cached, because clients repeat the same queries.
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
