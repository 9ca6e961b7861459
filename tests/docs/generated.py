"""The parts of docs/ that are generated; test_generated.py fails while they are stale."""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

from bootstrap.policy import service_policy
from service.api.openapi import document
from service.domain import errors
from service.domain.errors import PixdepotError
from service.settings import Settings, described
from tests.docs.costs import tables

DOCS = Path(__file__).parents[2] / "docs"
CONFIGURATION, API, AWS, COSTS = (DOCS / f"{name}.md" for name in ("configuration", "api", "aws", "costs"))

_INTRODUCTION = """# Configure

After this page you know every setting. Settings are environment variables. The server reads them once, at startup.
An empty value counts as not set.

The server refuses a name that begins with `PIXDEPOT_` and is not in this table, so that a typing error is not
ignored. It ignores variables that Kubernetes injects for a Service called `pixdepot` or `pixdepot-...`, such as
`PIXDEPOT_PORT=tcp://10.96.0.17:8080`. `pixdepot serve --help` prints the same list.

| variable | default | meaning |
| --- | --- | --- |
"""


def configuration() -> str:
    """Return docs/configuration.md as it should be."""
    rows = (f"| `{name}` | {f'`{default}`' if default else ''} | {doc} |" for name, default, doc in described())
    return _INTRODUCTION + "\n".join(rows) + "\n"


_API = """# The API

Every operation and every error, at a glance. A running server has all of it at `/docs`, where requests can be
tried, and as OpenAPI 3.1 at [`/openapi.json`](../openapi.json), out of which clients can be generated ([one for
TypeScript](typescript.md), say). It is the same on the server and on Lambda.

## Operations
"""
_ERRORS = """
## Errors

An error is a document of the type `application/problem+json` (RFC 9457). Its `code` is for programs and stays what
it is; its `detail` is for people, and `errors` has one for each field that is wrong.

| status | code | when |
| --- | --- | --- |
"""
_UNFORESEEN = (
    "| 500 | `internal_error` | Nobody foresaw it: the log has the traceback, by the answer's `request_id`. |"
)


def api() -> str:
    """Return docs/api.md as it should be: with the operations that there are, and the errors."""
    by_noun: dict[str, list[str]] = {}
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            done = next(status for status in operation["responses"] if status < "400")
            row = f"| `{method.upper()} {path}` | {operation['summary']} | {done} |"
            by_noun.setdefault(operation["tags"][0], []).append(row)
    tables = [f"\n| {noun} | | |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n" for noun, rows in by_noun.items()]
    told = {
        each.code: f"| {each.status} | `{each.code}` | {_first_sentence(each)} |" for each in _below(PixdepotError)
    }
    return _API + "".join(tables) + _ERRORS + "\n".join(sorted([*told.values(), _UNFORESEEN])) + "\n"


def _below(failure: type[PixdepotError]) -> Iterator[type[PixdepotError]]:
    """Yield the failures below one; of those with the same code the most general last."""
    for each in failure.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from _below(each)
            yield each


def _first_sentence(failure: type[PixdepotError]) -> str:
    return re.split(r"(?<=\.)\s", inspect.getdoc(failure) or "")[0].replace("\n", " ")


def aws() -> str:
    """Return docs/aws.md as it should be: with the policy that the tests run under."""
    policy = json.dumps(service_policy(Settings()), indent=2)
    return re.sub(r"(?s)(?<=```json\n).*?(?=\n```)", lambda _: policy, AWS.read_text())


def costs() -> str:
    """Return docs/costs.md as it should be: with what the prices make of what operations ask for."""
    page = COSTS.read_text()
    for heading, table in tables().items():
        page = re.sub(rf"(?s)(?<=\n## {heading}\n)(.*?)\n\|.*?\|(?=\n(?:\n|$))", rf"\1\n{table}", page, count=1)
    return page


def write() -> None:
    """Write it all."""
    CONFIGURATION.write_text(configuration())
    API.write_text(api())
    AWS.write_text(aws())
    COSTS.write_text(costs())
