"""The description is what is served, is valid, and is committed as it is."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from service.api.dispatch import OPERATIONS
from service.api.openapi import document
from service.domain.errors import PixdepotError

COMMITTED = Path(__file__).parents[3] / "openapi.json"


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


# ---------------------------------------------------------------- examples


def shown(media: dict[str, Any]) -> list[Any]:
    """Return the examples of a body, a parameter or a header."""
    named = [resolved(each)["value"] for each in media.get("examples", {}).values()]
    return [media["example"], *named] if "example" in media else named


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        kind, name = node["$ref"].split("/")[-2:]
        node = document()["components"][kind][name]
    return node


def check(schema: dict[str, Any], example: Any) -> None:
    whole = {**schema, "components": document()["components"]}
    Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER).validate(example)


@pytest.mark.parametrize("operation", [*operations()], ids=lambda operation: operation["operationId"])
def test_every_body_has_examples_that_are_as_it_must_be(operation: dict[str, Any]) -> None:
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    for body in [*bodies, *operation["responses"].values()]:
        for kind, media in body.get("content", {}).items():
            if kind != "image/*":
                assert shown(media)
            for example in shown(media):
                check(media["schema"], example)


@pytest.mark.parametrize("operation", [*operations()], ids=lambda operation: operation["operationId"])
def test_every_parameter_and_header_has_examples_that_are_as_it_must_be(operation: dict[str, Any]) -> None:
    headers = [resolved(each) for answer in operation["responses"].values() for each in answer["headers"].values()]
    for each in [*operation["parameters"], *headers]:
        examples = [*shown(each), *each["schema"].get("examples", [])]
        assert examples or each["name"] in {"cursor", "tags_match"}
        for example in examples:
            check(each["schema"], example)


@pytest.mark.parametrize("operation", [*operations()], ids=lambda operation: operation["operationId"])
def test_the_example_of_a_failure_has_the_code_and_the_status_it_stands_for(operation: dict[str, Any]) -> None:
    for status, answer in operation["responses"].items():
        examples = answer.get("content", {}).get("application/problem+json", {}).get("examples", {})
        for code, example in examples.items():
            told = resolved(example)["value"]
            assert (told["code"], str(told["status"])) == (code, status)


def test_every_operation_has_a_tag_that_is_described() -> None:
    described = {each["name"] for each in document()["tags"] if each["description"]}
    assert {tag for each in operations() for tag in each["tags"]} == described


def test_an_operation_is_for_callers_with_a_token_and_with_open_auth_without_one() -> None:
    scheme = document()["components"]["securitySchemes"]["token"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    anonymous = {each["operationId"] for each in operations() if each["security"] == []}
    assert anonymous == {each.name for each in OPERATIONS if each.anonymous}
    assert all(each["security"] in ([], [{"token": []}, {}]) for each in operations())


def test_what_an_answer_always_has_is_required() -> None:
    components = document()["components"]["schemas"]
    sometimes = {"View": {"image_data", "image_data_omitted"}, "Problem": {"errors", "dependencies"}}
    for name in ("Metadata", "Item", "View", "Listing", "Begun", "UploadTarget", "UploadState", "Problem"):
        assert components[name]["properties"].keys() - sometimes.get(name, set()) == {*components[name]["required"]}
