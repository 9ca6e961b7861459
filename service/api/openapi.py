"""The API's description: OpenAPI 3.1, from the table of operations, the schemas, the errors and the examples."""

from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

from service.domain.errors import (
    InvalidParameter,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    NotReady,
    PixdepotError,
    RequestTimeout,
    Unauthorized,
    Unavailable,
)

from . import answers, examples, schemas
from .table import OPERATIONS, Operation

# RFC 9110's names, which Python has from 3.13 on only.
_PHRASES = {413: "Content Too Large", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": (
        "Where the service runs with PIXDEPOT_AUTH=jwt: a token of its issuer, whose sub is the user. "
        "Without, a caller is whoever the request says, and must say so as user_id."
    ),
}
_IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "examples": ["6f1c2a3e-upload-7"]},
    "description": (
        "Makes the request repeatable: 1 to 255 visible ASCII characters, or a string in double quotes, new for "
        "each image. For 24 hours the same key of the same user with the same content gets the first answer again, "
        "and never makes a second image. With other content it is 422, while the first request is under way 409 "
        "(try again in a moment), and once what it made is deleted, or was left unfinished, 410."
    ),
}
_PICTURE = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
_TAGS = {
    "images": "Published pictures: verified, and immutable in their bytes.",
    "uploads": "Pictures on their way straight into storage. Nobody sees one before it is complete.",
    "service": "The service itself.",
}


def _text(description: str, example: str, **more: Any) -> dict[str, Any]:
    # Not as the parameter's own example: what optional fields hold is better not filled in by Swagger UI.
    return {"description": description, "schema": {"type": "string", "examples": [example], **more}}


_URI = {"format": "uri"}
_HEADERS = {
    "X-Request-ID": _text("Finds the request in the log: the client's own, or a new one.", examples.REQUEST_ID),
    "Location": _text("Where to go, or what was made.", examples.LOCATION, **_URI),
    "ETag": _text("Of what is answered; of a download, the picture's sha256.", examples.ETAG),
    "Link": _text(
        "The next page; absent at the end, and where it would be too long for a header: next_cursor always tells.",
        examples.LINK,
    ),
    "Retry-After": _text("Seconds until it is worth another try.", "2"),
    "WWW-Authenticate": _text("The challenge (RFC 6750).", 'Bearer realm="pixdepot"'),
    "Allow": _text("The methods that the path takes.", "GET, HEAD, OPTIONS"),
    "Content-Range": _text("Which bytes these are, and of how many.", "bytes 0-9/78"),
}  # fmt: skip
_OF_OPERATIONS = {"list_images": ["Link"], "get_image": ["ETag"], "edit_image": ["ETag"]}
_OF_STATUSES = {201: ["Location"], 302: ["Location"]}
_CONDITIONS = {
    "edit_image": {"If-Match": _text("The ETag of what the change is meant for; 412 if it is another now.", "*")},
    "delete_image": {"If-Match": _text("The ETag of what is to be deleted; 412 if it is another now.", "*")},
    "get_image": {
        "If-Match": _text("The ETag of what is wanted; 412 if it is another now.", "*"),
        "If-None-Match": _text("What the client has; 304 if that is right still.", examples.ETAG),
        "Range": _text("The part of a download that is wanted: one range of bytes.", "bytes=0-9"),
    },
}  # fmt: skip


@cache
def document() -> dict[str, Any]:
    """Return the whole description. The same on every machine, so that the committed copy can be compared."""
    plugin = MarshmallowPlugin(schema_name_resolver=_schema_name)
    info = {
        "description": "Upload pictures straight into storage, find them, link to them.",
        "license": {"name": "MIT", "identifier": "MIT"},
    }
    more = {
        "servers": [{"url": ".", "description": "The service that has this description."}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
    }
    spec = APISpec("Pixdepot", version("pixdepot"), "3.1.0", plugins=[plugin], info=info, **more)
    spec.components.security_scheme("token", _TOKEN)
    for name, header in _HEADERS.items():
        spec.components.header(name, header)
    for kind in dict.fromkeys(kind for row in OPERATIONS for kind in _failures(row)):
        spec.components.example(kind.__name__, {"summary": kind.title, "value": examples.of_failure(kind)})
    for path in dict.fromkeys(each.path for each in OPERATIONS):
        rows = [each for each in OPERATIONS if each.path == path]
        spec.path(path, operations={each.method.lower(): _operation(each) for each in rows})
    described: dict[str, Any] = spec.to_dict()
    for operation in (each for path in described["paths"].values() for each in path.values()):
        for parameter in operation["parameters"]:
            shown = examples.QUERIES.get(operation["operationId"], {}).get(parameter["name"])
            if parameter["in"] == "query" and shown is not None:
                parameter["schema"]["examples"] = [shown]
    return described


def _schema_name(schema: type[Schema] | Schema) -> str:
    return schema.__name__ if isinstance(schema, type) else type(schema).__name__


def _operation(row: Operation) -> dict[str, Any]:
    summary, _, rest = (row.perform.__doc__ or "").strip().partition("\n")
    tag = row.path.split("/")[1]
    described: dict[str, Any] = {
        "operationId": row.name,
        "summary": summary,
        "tags": [tag if tag in _TAGS else "service"],
        "parameters": _parameters(row),
        "responses": _responses(row),
        "security": [] if row.anonymous else [{"token": []}, {}],
    }
    if rest.strip():
        described["description"] = rest.strip()
    if bodies := dict(_bodies(row)):
        described["requestBody"] = {"required": row.query is schemas.NoQuery, "content": bodies}
    return described


def _bodies(row: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
    kinds = (
        ("application/json", row.body, examples.JSON_BODIES),
        ("multipart/form-data", row.form, examples.FORMS),
    )
    for kind, schema, of_operations in kinds:
        if schema:
            shown = {
                name.replace(" ", "-"): {"summary": name, "value": each}
                for name, each in of_operations[row.name].items()
            }
            yield kind, {"schema": schema(partial=schemas.SIGNED_IN), "examples": shown}


def _parameters(row: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    if "{image_id}" in row.path:
        identifier = {"type": "string", "format": "uuid"}
        example = examples.UPLOAD_ID if row.path.startswith("/uploads") else examples.IMAGE_ID
        found = {"in": "path", "name": "image_id", "required": True, "schema": identifier, "example": example}
        parameters.append(found)
    if row.keyed:
        parameters.append(_IDEMPOTENCY_KEY)
    conditions = _CONDITIONS.get(row.name, {})
    parameters += [{"in": "header", "name": name, **each} for name, each in conditions.items()]
    return parameters + ([{"in": "query", "schema": row.query}] if row.query().fields else [])


def _responses(row: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {str(row.status): _success(row)}
    if row.query is schemas.ViewQuery:
        part = {"description": "Part of the bytes.", "content": {"image/*": _PICTURE}}
        responses["206"] = {**part, "headers": _headers("ETag", "Content-Range")}
        elsewhere = "The bytes are at Location: they are too many for this answer."
        responses["302"] = {"description": elsewhere, "headers": _headers("Location")}
        responses["304"] = {"description": "The client has this already.", "headers": _headers("ETag")}
    failures: dict[int, list[type[PixdepotError]]] = {}
    for kind in _failures(row):
        failures.setdefault(kind.status, []).append(kind)
    return responses | {str(status): _failure(status, kinds) for status, kinds in sorted(failures.items())}


def _success(row: Operation) -> dict[str, Any]:
    named = [*_OF_STATUSES.get(row.status, []), *_OF_OPERATIONS.get(row.name, [])]
    described = {"description": HTTPStatus(row.status).phrase, "headers": _headers(*named)}
    if row.answer is answers.Elsewhere:
        return described
    content: dict[str, Any] = {"application/json": {"schema": row.answer, "example": examples.ANSWERS[row.name]}}
    if row.query is schemas.ViewQuery:
        content["image/*"] = _PICTURE
    return {**described, "content": content}


def _failure(status: int, kinds: list[type[PixdepotError]]) -> dict[str, Any]:
    named = dict.fromkeys(name for kind in kinds for name in examples.failure(kind).headers)
    shown = {kind.code: {"$ref": f"#/components/examples/{kind.__name__}"} for kind in kinds}
    return {
        "description": f"{_PHRASES.get(status, HTTPStatus(status).phrase)}: {', '.join(shown)}.",
        "headers": _headers(*named),
        "content": {"application/problem+json": {"schema": answers.Problem, "examples": shown}},
    }


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*names, "X-Request-ID")}


def _failures(row: Operation) -> list[type[PixdepotError]]:
    """Return the errors of an operation: its own, and those that every operation of its kind has."""
    kinds: list[type[PixdepotError]] = [InvalidParameter, *row.errors, PixdepotError, MethodNotAllowed]
    kinds += [InvalidRequest, RequestTimeout] if row.body else []
    kinds += [] if row.anonymous else [Unauthorized]
    kinds += [NotFound] if "{image_id}" in row.path else []
    kinds += [NotReady if row.name == "get_readiness" else Unavailable]
    return list({kind.code: kind for kind in kinds}.values())
