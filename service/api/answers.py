"""The schemas of responses."""

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
TIME = {"type": "string", "format": "date-time"}
_LINK = "Link to the original bytes. It needs no other credentials."
_LINK_EXPIRES = "Time when the links expire."


class Answer(Schema):
    """A response whose fields are all required, except those marked SOMETIMES."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:  # noqa: ARG002
        """See marshmallow.Schema."""
        field_obj.required = not field_obj.metadata.get("sometimes")


def dumper(schema: type[Schema]) -> Callable[[object], dict[str, Any]]:
    """Return a function that dumps like the schema, in a hundredth of the time, because it inspects fields once.

    Use it only for values of the domain, which have the right types. It converts only times.
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
    """The metadata of an image."""

    image_id = fields.UUID(metadata={"description": "ID of the image."})
    user_id = fields.String(attribute="details.user_id", metadata={"description": "User ID of the owner."})
    title = fields.String(attribute="details.title", metadata={"description": "Title."})
    description = fields.String(attribute="details.description", metadata={"description": "Description, or empty."})
    tags = fields.List(
        fields.String(),
        attribute="details.tags",
        metadata={"description": "Tags, in the order in which they were sent."},
    )
    filename = fields.String(attribute="details.filename", metadata={"description": "File name, without a path."})
    visibility = fields.String(
        attribute="details.visibility",
        metadata={"enum": list(VISIBILITIES), "description": EFFECTIVE_VISIBILITY},
    )
    content_type = fields.String(
        attribute="content.content_type",
        metadata={"enum": list(IMAGE_TYPES), "description": "Media type that the service detected."},
    )
    file_size = fields.Integer(attribute="content.file_size", metadata={"description": "Size in bytes."})
    created_at = Instant(metadata={**TIME, "description": "Time of the upload, in UTC."})
    updated_at = Instant(metadata={**TIME, "description": "Time of the last edit, in UTC."})
    sha256 = fields.String(
        attribute="content.sha256",
        metadata={"pattern": "^[0-9a-f]{64}$", "description": "SHA-256 of the stored bytes."},
    )
    width = fields.Integer(
        attribute="content.width", metadata={"description": "Width in pixels, after EXIF rotation."}
    )
    height = fields.Integer(
        attribute="content.height", metadata={"description": "Height in pixels, after EXIF rotation."}
    )
    placeholder = fields.String(
        attribute="content.placeholder",
        metadata={"description": "BlurHash of the image, or empty if the service made none."},
    )


class VariantView(Answer):
    """A variant: a smaller copy of an image, upright, in sRGB, without metadata."""

    url = fields.String(metadata={"format": "uri", "description": "Link to the variant."})
    content_type = fields.String(metadata={"description": "Media type of the variant."})
    width = fields.Integer(metadata={"description": "Width in pixels."})
    height = fields.Integer(metadata={"description": "Height in pixels."})


VARIANTS = {"description": "Variants by name: thumb and display. Their links expire with url."}


class Published(Answer):
    """An image that was published or edited."""

    message = fields.String(metadata={"description": "Message for people."})
    image_id = fields.UUID(metadata={"description": "ID of the image."})
    metadata = fields.Nested(Metadata)


class View(Answer):
    """One image."""

    image_id = fields.UUID(metadata={"description": "ID of the image."})
    metadata = fields.Nested(Metadata)
    url = fields.String(metadata={"format": "uri", "description": _LINK})
    url_expires_at = Instant(metadata={**TIME, "description": _LINK_EXPIRES})
    variants = fields.Dict(keys=fields.String(), values=fields.Nested(VariantView), metadata=VARIANTS)
    image_data = fields.String(
        allow_none=True,
        metadata={
            "contentEncoding": "base64",
            "description": "The original bytes. Null if too large for the response; absent with metadata_only.",
            **SOMETIMES,
        },
    )
    image_data_omitted = fields.String(metadata={"description": "Reason why image_data is null.", **SOMETIMES})


class Item(Metadata):
    """One image in a list: its metadata and its links."""

    url = fields.String(metadata={"format": "uri", "description": _LINK})
    url_expires_at = Instant(metadata={**TIME, "description": _LINK_EXPIRES})
    variants = fields.Dict(keys=fields.String(), values=fields.Nested(VariantView), metadata=VARIANTS)


class Listing(Answer):
    """A page of a list."""

    images = fields.List(fields.Nested(Item), metadata={"description": "Images, newest first."})
    count = fields.Integer(metadata={"description": "Number of images in this page."})
    next_cursor = fields.String(
        allow_none=True, metadata={"description": "cursor parameter of the next page. Null on the last page."}
    )


class UploadTarget(Answer):
    """The request that sends the bytes of a direct upload."""

    method = fields.String(metadata={"enum": ["PUT", "POST"], "description": "Method of the request."})
    url = fields.String(metadata={"format": "uri", "description": "URL of the request."})
    headers = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={"description": "Headers of a PUT. Send them all, unchanged."},
    )
    fields_ = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        attribute="fields",
        data_key="fields",
        metadata={"description": "Form fields of a POST. Send them all, unchanged, before the file."},
    )
    expires_at = Instant(metadata={**TIME, "description": "Time when the link expires."})


class Begun(Answer):
    """A direct upload that is pending."""

    image_id = fields.UUID(metadata={"description": "ID of the upload, and of the image it becomes."})
    status = fields.String(metadata={"enum": ["pending"], "description": "Status of the upload."})
    upload = fields.Nested(UploadTarget)
    complete_url = fields.String(
        metadata={"format": "uri", "description": "URL to POST to after the bytes are sent."}
    )


class Reason(Answer):
    """The reason why an upload failed: the code and the detail of an error."""

    code = fields.String(metadata={"description": "Error code."})
    detail = fields.String(metadata={"description": "What went wrong."})


class UploadState(Answer):
    """The status of an upload."""

    image_id = fields.UUID(metadata={"description": "ID of the upload, and of the image it becomes."})
    status = fields.String(
        metadata={"enum": ["pending", "ready", "failed", "expired"], "description": "Status of the upload."}
    )
    expires_at = Instant(metadata={**TIME, "description": "Time when the upload expires."})
    failure = fields.Nested(Reason, allow_none=True)
    image_url = fields.String(
        allow_none=True, metadata={"format": "uri", "description": "URL of the image, or null unless ready."}
    )


class Removed(Answer):
    """An image that was deleted, or an upload that was cancelled."""

    message = fields.String(metadata={"description": "Message for people."})
    image_id = fields.UUID(metadata={"description": "ID of the image or upload."})


class Result(Answer):
    """The result for one image of a batch."""

    image_id = fields.String(metadata={"description": "ID from the request."})
    status = fields.Integer(metadata={"enum": [200, 403, 404, 503], "description": "HTTP status of this deletion."})
    code = fields.String(allow_none=True, metadata={"description": "Error code, or null on success."})


class Results(Answer):
    """The results of a batch, one for each image."""

    results = fields.List(fields.Nested(Result), metadata={"description": "Results, one for each ID."})


class Elsewhere(Schema):
    """No body: a redirect."""


class Alive(Answer):
    """The response of a service that is running."""

    status = fields.String(metadata={"enum": ["ok"], "description": "Status of the service."})


class Readiness(Answer):
    """The availability of the service and of each dependency."""

    status = fields.String(metadata={"enum": ["ok", "unavailable"], "description": "Status of the service."})
    dependencies = fields.Dict(
        keys=fields.String(),
        values=fields.String(metadata={"enum": ["ok", "unavailable"]}),
        metadata={"description": "Status of the database and of the storage."},
    )


class Document(Schema):
    """An OpenAPI 3.1 document."""

    class Meta:
        """Accept all members, because OpenAPI defines them."""

        unknown = INCLUDE


class Problem(Answer):
    """An error (RFC 9457). `code` is stable; `title` and `detail` are for people."""

    class Meta:
        """Ignore unknown members, because RFC 9457 allows later versions to add them."""

        unknown = EXCLUDE

    type = fields.String(metadata={"description": "URN of the kind of error."})
    title = fields.String(metadata={"description": "Summary of the kind of error."})
    status = fields.Integer(metadata={"description": "HTTP status."})
    detail = fields.String(metadata={"description": "What went wrong, and what to do."})
    code = fields.String(metadata={"description": "Stable code for programs."})
    request_id = fields.String(metadata={"description": "ID of the request in the server's log."})
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "Messages by field, if fields are invalid.", **SOMETIMES},
    )
    dependencies = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={"description": "Status of each dependency, if the service is not ready.", **SOMETIMES},
    )
