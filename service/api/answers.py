"""The shapes of answers: what goes over the wire to clients."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from marshmallow import EXCLUDE, INCLUDE, Schema, fields

from service.media import IMAGE_TYPES

from .fields import (
    Instant,
    instant,
)
from .schemas import EFFECTIVE_VISIBILITY, VISIBILITIES

SOMETIMES = {"sometimes": True}


class Answer(Schema):
    """What every answer has: all of its fields, but those that are there SOMETIMES."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:  # noqa: ARG002
        """See marshmallow.Schema."""
        field_obj.required = not field_obj.metadata.get("sometimes")


def dumper(schema: type[Schema]) -> Callable[[object], dict[str, Any]]:
    """Return what dumps as the schema does, in a hundredth of the time: what there is to do is found out once.

    It is for values of the domain, which have the right types: only times are written in another way.
    """
    declared = schema().dump_fields
    names, read = tuple(declared), attrgetter(*(each.attribute or name for name, each in declared.items()))
    times = [name for name, each in declared.items() if isinstance(each, Instant)]

    def dump(value: object) -> dict[str, Any]:
        document = dict(zip(names, read(value), strict=True))
        for name in times:
            document[name] = instant(document[name])
        return document

    return dump


class Metadata(Answer):
    """Everything there is to know of an image."""

    image_id = fields.UUID()
    user_id = fields.String(attribute="details.user_id")
    title = fields.String(attribute="details.title")
    description = fields.String(attribute="details.description")
    tags = fields.List(fields.String(), attribute="details.tags")
    filename = fields.String(attribute="details.filename")
    visibility = fields.String(
        attribute="details.visibility",
        metadata={"enum": list(VISIBILITIES), "description": EFFECTIVE_VISIBILITY},
    )
    content_type = fields.String(attribute="content.content_type", metadata={"enum": list(IMAGE_TYPES)})
    file_size = fields.Integer(attribute="content.file_size", metadata={"description": "Bytes."})
    created_at = Instant(metadata={"type": "string", "format": "date-time"})
    updated_at = Instant(metadata={"type": "string", "format": "date-time"})
    sha256 = fields.String(attribute="content.sha256", metadata={"pattern": "^[0-9a-f]{64}$"})
    width = fields.Integer(attribute="content.width", metadata={"description": "Pixels, as a viewer shows it."})
    height = fields.Integer(attribute="content.height", metadata={"description": "Pixels, as a viewer shows it."})
    placeholder = fields.String(
        attribute="content.placeholder", metadata={"description": "A BlurHash; empty where none was made."}
    )


class VariantView(Answer):
    """A smaller picture of an image: upright, in sRGB, without metadata."""

    url = fields.String(metadata={"format": "uri"})
    content_type = fields.String()
    width = fields.Integer(metadata={"description": "Pixels."})
    height = fields.Integer(metadata={"description": "Pixels."})


VARIANTS = {"description": "By name: thumb and display. They expire with the image's url."}


class Published(Answer):
    """An image that was just published or changed."""

    message = fields.String()
    image_id = fields.UUID()
    metadata = fields.Nested(Metadata)


class View(Answer):
    """One image."""

    image_id = fields.UUID()
    metadata = fields.Nested(Metadata)
    url = fields.String(metadata={"format": "uri", "description": "The picture, for anyone who has this link."})
    url_expires_at = Instant(metadata={"type": "string", "format": "date-time"})
    variants = fields.Dict(keys=fields.String(), values=fields.Nested(VariantView), metadata=VARIANTS)
    image_data = fields.String(allow_none=True, metadata={"contentEncoding": "base64", **SOMETIMES})
    image_data_omitted = fields.String(metadata={"description": "Why image_data is null.", **SOMETIMES})


class Item(Metadata):
    """One image in a list: its metadata, and where its picture is."""

    url = fields.String(metadata={"format": "uri"})
    url_expires_at = Instant(metadata={"type": "string", "format": "date-time"})
    variants = fields.Dict(keys=fields.String(), values=fields.Nested(VariantView), metadata=VARIANTS)


class Listing(Answer):
    """A page of a list."""

    images = fields.List(fields.Nested(Item))
    count = fields.Integer(metadata={"description": "How many images this page has."})
    next_cursor = fields.String(allow_none=True, metadata={"description": "Null at the end."})


class UploadTarget(Answer):
    """Where and how to send the bytes: all headers as they are, or all fields before the file."""

    method = fields.String(metadata={"enum": ["PUT", "POST"]})
    url = fields.String(metadata={"format": "uri"})
    headers = fields.Dict(keys=fields.String(), values=fields.String())
    fields_ = fields.Dict(keys=fields.String(), values=fields.String(), attribute="fields", data_key="fields")
    expires_at = Instant(metadata={"type": "string", "format": "date-time"})


class Begun(Answer):
    """A direct upload that waits for its bytes."""

    image_id = fields.UUID()
    status = fields.String(metadata={"enum": ["pending"]})
    upload = fields.Nested(UploadTarget)
    complete_url = fields.String(metadata={"format": "uri", "description": "POST here when the bytes are sent."})


class Reason(Answer):
    """Why an upload failed."""

    code = fields.String()
    detail = fields.String()


class UploadState(Answer):
    """How far an upload is."""

    image_id = fields.UUID()
    status = fields.String(metadata={"enum": ["pending", "ready", "failed", "expired"]})
    expires_at = Instant(metadata={"type": "string", "format": "date-time"})
    failure = fields.Nested(Reason, allow_none=True)
    image_url = fields.String(allow_none=True, metadata={"format": "uri", "description": "The image, once ready."})


class Removed(Answer):
    """Something that is gone."""

    message = fields.String()
    image_id = fields.UUID()


class Result(Answer):
    """What became of one of several."""

    image_id = fields.String()
    status = fields.Integer(metadata={"enum": [200, 403, 404, 503]})
    code = fields.String(allow_none=True, metadata={"description": "The error's, null where all is well."})


class Results(Answer):
    """A result for each."""

    results = fields.List(fields.Nested(Result))


class Elsewhere(Schema):
    """Nothing: it is at Location."""


class Alive(Answer):
    """The service answers."""

    status = fields.String(metadata={"enum": ["ok"]})


class Readiness(Answer):
    """Whether the service can do its work, and what each thing it needs says."""

    status = fields.String(metadata={"enum": ["ok", "unavailable"]})
    dependencies = fields.Dict(keys=fields.String(), values=fields.String(metadata={"enum": ["ok", "unavailable"]}))


class Document(Schema):
    """An OpenAPI 3.1 document."""

    class Meta:
        """It has whatever members OpenAPI gives it."""

        unknown = INCLUDE


class Problem(Answer):
    """An error (RFC 9457). `code` is stable; `title` and `detail` are for people."""

    class Meta:
        """Problems may grow members that old clients ignore."""

        unknown = EXCLUDE

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    code = fields.String()
    request_id = fields.String()
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "What is wrong with each field.", **SOMETIMES},
    )
    dependencies = fields.Dict(keys=fields.String(), values=fields.String(), metadata=SOMETIMES)
