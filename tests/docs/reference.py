"""docs/api.md, generated from the OpenAPI document and the errors."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from service.api import examples
from service.api.openapi import document
from service.domain import errors
from service.domain.errors import PixdepotError

Node = Mapping[str, Any]

_INTRODUCTION = """# API reference

After this page you can call every operation of the HTTP API and handle each of its errors. The server and AWS
Lambda have the same API. A running server shows this reference at `/docs`, where you can try requests, and serves
it as OpenAPI 3.1 at [`/openapi.json`](../openapi.json), from which you can generate clients
([for TypeScript](typescript.md), for example).

## Conventions

- Request and response bodies are JSON in UTF-8, unless an operation says otherwise.
- Unknown fields are errors, and so are unknown or repeated query parameters.
- Times are UTC in ISO 8601 with milliseconds. Sizes are in bytes. IDs are UUIDs.
- With `PIXDEPOT_AUTH=jwt`, send `Authorization: Bearer TOKEN`. Otherwise send `user_id` in requests that write.
  [Identity](identity.md) explains both.
- To retry an upload safely, send an `Idempotency-Key` header: see [idempotent retries](idempotency.md).
- Each response has an `X-Request-ID` header. Quote it when you report a problem, because the log has it too.
- `HEAD` works on each path that has `GET`.

## Operations

| operation | what it does |
| --- | --- |
"""
_ERRORS = """
## Errors

An error is a document of the type `application/problem+json` (RFC 9457). Write programs against its `code`, which
never changes; [Troubleshooting](troubleshooting.md) has a remedy for each. Its `title` and `detail` are for people.
`errors` has the messages for each invalid field. If a response has a `Retry-After` header, wait that many seconds
before you retry.

"""
_CODES = "| status | code | when |\n| --- | --- | --- |\n"
_UNFORESEEN = "| 500 | `internal_error` | The service failed. Find the traceback in the log by the `request_id`. |"
_FIELDS = "| field | type | required | description |\n| --- | --- | --- | --- |\n"
_PARAMETERS = "| parameter | in | type | required | description |\n| --- | --- | --- | --- | --- |\n"
_LIMITS = {
    "minimum": "at least {:,}",
    "maximum": "at most {:,}",
    "maxLength": "at most {:,} characters",
    "minItems": "at least {:,} item",
    "maxItems": "at most {:,} items",
    "format": "{}",
    "contentEncoding": "{}",
    "pattern": "`{}`",
}


def api() -> str:
    """Return docs/api.md: the operations with their parameters, bodies, examples and errors, and the schemas."""
    rows, sections, tag = [], [], ""
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path}"
            rows.append(f"| [`{name}`](#{_anchor(name)}) | {operation['summary']} |\n")
            if operation["tags"][0] != tag:
                tag = operation["tags"][0]
                sections.append(f"\n## {tag.capitalize()}\n\n{_described(tag)}\n")
            sections.append(_operation(name, operation))
    example = _json(examples.of_failure(errors.InvalidRequest))
    return "".join([_INTRODUCTION, *rows, *sections, _schemas(), _ERRORS, example, "\n\n", _CODES, _errors()])


def _anchor(heading: str) -> str:
    """Return a heading's anchor, which is the same on GitHub and on the site."""
    return re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")


def _described(tag: str) -> str:
    return next(str(each["description"]) for each in document()["tags"] if each["name"] == tag)


def _operation(name: str, operation: Node) -> str:
    parts = [f"\n### `{name}`\n", operation["summary"], operation.get("description", "")]
    if not operation["security"]:
        parts.append("This operation needs no token.")
    if operation["parameters"]:
        parts.append(_PARAMETERS + "\n".join(map(_parameter, operation["parameters"])))
    bodies = operation.get("requestBody", {"content": {}})
    for kind, body in bodies["content"].items():
        parts.append(f"Body{'' if bodies['required'] else ' (optional)'}, as `{kind}`:")
        parts.append(_FIELDS + _fields(body["schema"]))
    parts += [*_request(name, operation), *_response(operation)]
    parts.append(f"[Errors](#errors): {'; '.join(_codes(operation))}.")
    return "\n" + "\n\n".join(each.strip("\n") for each in parts if each) + "\n"


def _parameter(parameter: Node) -> str:
    schema = parameter["schema"]
    required = "yes" if parameter.get("required") else ""
    told = parameter.get("description", "ID of the image or upload.")
    return f"| `{parameter['name']}` | {parameter['in']} | {_type(schema)} | {required} | {_cell(told)} |"


def _request(name: str, operation: Node) -> Iterator[str]:
    """Yield an example of the request, with each query parameter that the examples have."""
    method, path = name.split(" ")
    shown = [each for each in operation["parameters"] if each["in"] == "path"]
    path = path.format(**{each["name"]: each["example"] for each in shown})
    query = {
        key: json.dumps(value) if isinstance(value, bool) else value
        for key, value in examples.QUERIES.get(operation["operationId"], {}).items()
    }
    body = next(iter(examples.JSON_BODIES.get(operation["operationId"], {}).values()), None)
    sent = "\nContent-Type: application/json" if body else f"?{urlencode(query)}" if query else ""
    yield f"Example request:\n\n```text\n{method} {path}{sent}\n```"
    if body:
        yield _json(body)


def _response(operation: Node) -> Iterator[str]:
    """Yield each response that is no error: its status and schema, and an example of the first."""
    for status, response in operation["responses"].items():
        if status >= "400":
            continue
        media = response.get("content", {}).get("application/json")
        headers = [f"`{each}`" for each in response["headers"] if each != "X-Request-ID"]
        told = f" with {' and '.join(headers)}" if headers else ""
        if media is None:
            yield f"Response `{status}`{told}: {response['description'].rstrip('.')}."
        else:
            schema = media["schema"]["$ref"].rpartition("/")[2]
            link = "" if schema == "Document" else f" ([fields](#{schema.lower()}))"
            yield f"Response `{status}`{told}{link}:"
            yield _json(media["example"])


def _codes(operation: Node) -> Iterator[str]:
    for status, response in operation["responses"].items():
        shown = response.get("content", {}).get("application/problem+json", {}).get("examples", {})
        if shown:
            yield f"{status} " + ", ".join(f"`{code}`" for code in sorted(shown))


def _schemas() -> str:
    """Return the fields of the responses, by the name of their schema."""
    components = document()["components"]["schemas"]
    used = re.findall(r"#/components/schemas/(\w+)", json.dumps([*_successes()]))
    names = list(dict.fromkeys(used))
    for name in names:  # grows as it goes: schemas refer to others
        inner = re.findall(r"#/components/schemas/(\w+)", json.dumps(components[name]))
        names += [each for each in dict.fromkeys(inner) if each not in names]
    tables = [
        f"\n### {name}\n\n{_FIELDS}{_fields(components[name])}\n"
        for name in (*names, "Problem")
        if components[name].get("properties")
    ]
    return "\n## Response fields\n" + "".join(tables)


def _successes() -> Iterator[Node]:
    for methods in document()["paths"].values():
        for operation in methods.values():
            yield from (response for status, response in operation["responses"].items() if status < "400")


def _fields(schema: Node) -> str:
    if "$ref" in schema:
        schema = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    required = schema.get("required", ())
    return "\n".join(
        f"| `{name}` | {_type(each)} | {'yes' if name in required else ''} | {_cell(each.get('description', ''))} |"
        for name, each in schema["properties"].items()
    )


def _type(schema: Node) -> str:
    """Return a schema's type and limits, in a table's cell."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    kinds = schema.get("type", "string")
    told = " or ".join([kinds] if isinstance(kinds, str) else kinds)
    if "items" in schema:
        each = _type(schema["items"])
        told = f"array of ({each})" if "," in each else f"array of {each}"
    elif isinstance(schema.get("additionalProperties"), dict) and schema["additionalProperties"]:
        told = f"object of {_type(schema['additionalProperties'])}"
    values = ["one of " + ", ".join(f"`{each}`" for each in schema["enum"])] if "enum" in schema else []
    limits = [limit.format(schema[key]) for key, limit in _LIMITS.items() if key in schema]
    default = [f"default `{json.dumps(schema['default'])}`"] if "default" in schema else []
    return ", ".join([told, *values, *limits, *default])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _json(value: Any) -> str:
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```"


def _errors() -> str:
    told = {each.code: f"| {each.status} | `{each.code}` | {_first(each)} |" for each in _below(PixdepotError)}
    told[PixdepotError.code] = _UNFORESEEN
    return "\n".join(sorted(told.values())) + "\n"


def _below(failure: type[PixdepotError]) -> Iterator[type[PixdepotError]]:
    """Yield the failures below one; of those with the same code the most general last."""
    for each in failure.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from _below(each)
            yield each


def _first(failure: type[PixdepotError]) -> str:
    """Return the first sentence of an error's docstring."""
    return re.split(r"(?<=\.)\s", inspect.getdoc(failure) or "")[0].replace("\n", " ")
