"""The description is what is served, is valid, and is committed as it is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from service.api import OPERATIONS
from service.errors import PixdepotError
from service.openapi import document

COMMITTED = Path(__file__).parents[2] / "openapi.json"


def operations() -> Iterator[dict[str, Any]]:
    for path in document()["paths"].values():
        yield from path.values()


def schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every schema of the description, however deep."""
    if isinstance(node, dict):
        if "type" in node and not isinstance(node["type"], dict):
            yield node
        for each in node.values():
            yield from schemas(each)
    elif isinstance(node, list):
        for each in node:
            yield from schemas(each)


def test_the_committed_description_is_up_to_date() -> None:
    committed = json.loads(COMMITTED.read_text())
    assert committed == json.loads(json.dumps(document())), "run: pixdepot openapi > openapi.json"


def test_the_description_is_valid_openapi_31() -> None:
    assert document()["openapi"].startswith("3.1.")
    validate(document(), cls=OpenAPIV31SpecValidator)


def test_every_operation_is_described_under_its_name() -> None:
    assert {each["operationId"] for each in operations()} == {each.name for each in OPERATIONS}
    assert len({each.name for each in OPERATIONS}) == len(OPERATIONS)


def test_every_operation_says_in_a_sentence_what_it_does() -> None:
    assert all(re.fullmatch(r"[A-Z].{10,}\.", each["summary"]) for each in operations())


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_every_failure_an_operation_declares_is_described_by_its_code(row: Any) -> None:
    described = document()["paths"][row.path][row.method.lower()]["responses"]
    kinds: tuple[type[PixdepotError], ...] = row.errors
    for kind in kinds:
        assert kind.code in re.split(r"[:,. ]+", described[str(kind.status)]["description"])
        assert described[str(kind.status)]["content"].keys() == {"application/problem+json"}


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_every_variable_of_a_path_is_described(row: Any) -> None:
    described = document()["paths"][row.path][row.method.lower()]["parameters"]
    assert [each["name"] for each in described if each["in"] == "path"] == re.findall(r"\{(\w+)\}", row.path)


def test_every_pattern_means_the_same_to_everyone() -> None:
    # JSON Schema has ECMAScript's expressions: they need anchors of their own, and have neither \A nor \Z.
    patterns = [schema["pattern"] for schema in schemas(document()) if "pattern" in schema]
    assert patterns
    for each in patterns:
        assert re.fullmatch(r"\^[^\\]*\$", each), each


def test_every_default_is_one_that_could_be_sent() -> None:
    with_default = [schema for schema in schemas(document()) if "default" in schema]
    assert with_default
    for schema in with_default:
        Draft202012Validator({**schema, "components": document()["components"]}).validate(schema["default"])
