"""The OpenAPI 3.1 document, built from the table of operations, the schemas, the errors and the examples."""

import inspect
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

# The reason phrases of RFC 9110. Python has them since 3.13.
_PHRASES = {413: "Content Too Large", 416: "Range Not Satisfiable", 422: "Unprocessable Content"}
_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": (
        "Required if the service runs with PIXDEPOT_AUTH=jwt: a JSON Web Token of the configured issuer. Its sub "
        "claim is the user ID. Without tokens (PIXDEPOT_AUTH=open), requests that write must send user_id."
    ),
}
_IDEMPOTENCY_KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "examples": ["6f1c2a3e-upload-7"]},
    "description": (
        "Makes the request safe to retry: 1 to 255 visible ASCII characters, or a string in double quotes. Use a "
        "new key for each image. For 24 hours, a request of the same user with the same key and the same content "
        "returns the first response and does not create a second image. Other content with the same key returns "
        "422. While the first request is in progress, a retry returns 409: retry after 1 second. If the image was "
        "deleted, or its upload was never completed, a retry returns 410."
    ),
}
_PICTURE = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
_TAGS = {
    "images": "Published images. Their bytes are verified and never change.",
    "uploads": "Direct uploads: the client sends the bytes to the storage, then completes the upload.",
    "service": "Health checks and the description of the API.",
}


def _text(description: str, example: str, **more: Any) -> dict[str, Any]:
    # The example is in the schema because Swagger UI would fill in a parameter's own example.
    return {"description": description, "schema": {"type": "string", "examples": [example], **more}}


_URI = {"format": "uri"}
_HEADERS = {
    "X-Request-ID": _text(
        "ID of the request in the server's log: the client's own ID, or a new one.", examples.REQUEST_ID
    ),
    "Location": _text("URL of the created resource, or of the redirect.", examples.LOCATION, **_URI),
    "ETag": _text("Version of the response. For a download, the SHA-256 of the image.", examples.ETAG),
    "Link": _text(
        "URL of the next page. Absent on the last page, and if it is too long for a header: use next_cursor.",
        examples.LINK,
    ),
    "Retry-After": _text("Seconds to wait before a retry.", "2"),
    "WWW-Authenticate": _text("Authentication challenge (RFC 6750).", 'Bearer realm="pixdepot"'),
    "Allow": _text("Methods that the path supports.", "GET, HEAD, OPTIONS"),
    "Content-Range": _text("Position of these bytes and the total size in bytes.", "bytes 0-9/78"),
}  # fmt: skip
_OF_OPERATIONS = {"list_images": ["Link"], "get_image": ["ETag"], "edit_image": ["ETag"]}
_OF_STATUSES = {201: ["Location"], 302: ["Location"]}
_CONDITIONS = {
    "edit_image": {"If-Match": _text("Edit only if the image has this ETag; otherwise return 412.", "*")},
    "delete_image": {"If-Match": _text("Delete only if the image has this ETag; otherwise return 412.", "*")},
    "get_image": {
        "If-Match": _text("Respond only if the image has this ETag; otherwise return 412.", "*"),
        "If-None-Match": _text("ETag of the client's cached copy. Return 304 if it is current.", examples.ETAG),
        "Range": _text("Part of a download, as one range of bytes.", "bytes=0-9"),
    },
}  # fmt: skip


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document. It is the same on every machine, so that tests can compare it."""
    plugin = MarshmallowPlugin(schema_name_resolver=_schema_name)
    info = {
        "description": "Upload, store, find and serve images. Clients can send the bytes straight to the storage.",
        "license": {"name": "MIT", "identifier": "MIT"},
    }
    more = {
        "servers": [{"url": ".", "description": "The service that serves this document."}],
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
    summary, _, rest = (inspect.getdoc(row.perform) or "").partition("\n")
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
        part = {"description": "The requested range of the download.", "content": {"image/*": _PICTURE}}
        responses["206"] = {**part, "headers": _headers("ETag", "Content-Range")}
        elsewhere = "The download is too large for the response: follow Location."
        responses["302"] = {"description": elsewhere, "headers": _headers("Location")}
        responses["304"] = {"description": "The client's cached copy is current.", "headers": _headers("ETag")}
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
    """Return the errors of an operation: its own, and those common to its kind. One class for each code."""
    kinds: list[type[PixdepotError]] = [InvalidParameter, *row.errors, PixdepotError, MethodNotAllowed]
    kinds += [InvalidRequest, RequestTimeout] if row.body else []
    kinds += [] if row.anonymous else [Unauthorized]
    kinds += [NotFound] if "{image_id}" in row.path else []
    kinds += [NotReady if row.name == "get_readiness" else Unavailable]
    return list({kind.code: kind for kind in kinds}.values())
