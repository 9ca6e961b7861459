"""The API's description: OpenAPI 3.1, from the table of operations and the schemas."""

from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

from . import schemas
from .api import OPERATIONS, Operation
from .errors import (
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
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": (
        "Makes the request repeatable: 1 to 255 visible ASCII characters, or a string in double quotes, new for "
        "each image. For 24 hours the same key of the same user with the same content gets the first answer again, "
        "and never makes a second image. With other content it is 422, while the first request is under way 409 "
        "(try again in a moment), and once what it made is deleted, or was left unfinished, 410."
    ),
}
_PICTURE = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}


@cache
def document() -> dict[str, Any]:
    """Return the whole description. The same on every machine, so that the committed copy can be compared."""
    plugin = MarshmallowPlugin(schema_name_resolver=_schema_name)
    info = {
        "description": "Upload pictures straight into storage, find them, link to them.",
        "license": {"name": "MIT", "identifier": "MIT"},
    }
    spec = APISpec("Pixdepot", version("pixdepot"), "3.1.0", plugins=[plugin], info=info)
    spec.components.security_scheme("token", _TOKEN)
    for path in dict.fromkeys(each.path for each in OPERATIONS):
        rows = [each for each in OPERATIONS if each.path == path]
        spec.path(path, operations={each.method.lower(): _operation(each) for each in rows})
    described: dict[str, Any] = spec.to_dict()
    return described


def _schema_name(schema: type[Schema] | Schema) -> str:
    return schema.__name__ if isinstance(schema, type) else type(schema).__name__


def _operation(row: Operation) -> dict[str, Any]:
    summary, _, rest = (row.perform.__doc__ or "").strip().partition("\n")
    described: dict[str, Any] = {
        "operationId": row.name,
        "summary": summary,
        "tags": [row.path.split("/")[1]],
        "parameters": _parameters(row),
        "responses": _responses(row),
        "security": [] if row.anonymous else [{"token": []}, {}],
    }
    if rest.strip():
        described["description"] = rest.strip()
    content = {"application/json": row.body, "multipart/form-data": row.form}
    bodies = {kind: {"schema": schema(partial=schemas.SIGNED_IN)} for kind, schema in content.items() if schema}
    if bodies:
        described["requestBody"] = {"required": row.query is schemas.NoQuery, "content": bodies}
    return described


def _parameters(row: Operation) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    if "{image_id}" in row.path:
        identifier = {"type": "string", "format": "uuid"}
        parameters.append({"in": "path", "name": "image_id", "required": True, "schema": identifier})
    if row.keyed:
        parameters.append(_IDEMPOTENCY_KEY)
    return parameters + ([{"in": "query", "schema": row.query}] if row.query().fields else [])


def _responses(row: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {str(row.status): _success(row)}
    if row.query is schemas.ViewQuery:
        responses["206"] = {"description": "Part of the bytes.", "content": {"image/*": _PICTURE}}
        responses["302"] = {"description": "The bytes are at Location: they are too many for this answer."}
        responses["304"] = {"description": "The client has the bytes already."}
    for status, codes in sorted(_codes(row).items()):
        responses[str(status)] = {
            "description": f"{_PHRASES.get(status, HTTPStatus(status).phrase)}: {', '.join(codes)}.",
            "content": {"application/problem+json": {"schema": schemas.Problem}},
        }
    return responses


def _success(row: Operation) -> dict[str, Any]:
    if row.answer is schemas.Elsewhere:
        location = {"description": "A link to the picture.", "schema": {"type": "string", "format": "uri"}}
        return {"description": HTTPStatus(row.status).phrase, "headers": {"Location": location}}
    content: dict[str, Any] = {"application/json": {"schema": row.answer}}
    if row.query is schemas.ViewQuery:
        content["image/*"] = _PICTURE
    return {"description": HTTPStatus(row.status).phrase, "content": content}


def _codes(row: Operation) -> dict[int, list[str]]:
    """Return the error codes of an operation by status: its own, and those that every operation of its kind has."""
    kinds: list[type[PixdepotError]] = [InvalidParameter, *row.errors, PixdepotError, MethodNotAllowed]
    kinds += [InvalidRequest, RequestTimeout] if row.body else []
    kinds += [] if row.anonymous else [Unauthorized]
    kinds += [NotFound] if "{image_id}" in row.path else []
    kinds += [NotReady if row.name == "get_readiness" else Unavailable]
    codes: dict[int, list[str]] = {}
    for kind in kinds:
        if kind.code not in codes.setdefault(kind.status, []):
            codes[kind.status].append(kind.code)
    return codes
