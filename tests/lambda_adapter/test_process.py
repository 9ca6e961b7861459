"""The function as Lambda runs it: a process that imports the handler, with settings from its environment."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.api.client import form
from tests.api.gateway import BASE_URL, http_event, rest_event
from tests.pictures import picture

ROOT = Path(__file__).parents[2]
RUNTIME = """
import importlib, json, logging, sys

logging.getLogger().addHandler(logging.StreamHandler(sys.stdout))  # as Lambda's runtime does

class Context:
    function_name, memory_limit_in_mb, aws_request_id = "pixdepot-api", 1769, "c6af9ac6"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:pixdepot-api"

module, _, name = sys.argv[1].rpartition(".")
handler = getattr(importlib.import_module(module), name)
for line in sys.stdin:
    print(json.dumps({"answer": handler(json.loads(line), Context())}))
print(json.dumps({"modules": sorted(sys.modules)}))
"""


@dataclass(frozen=True)
class Invoked:
    """What came back of some invocations, and what the process printed meanwhile: JSON, line by line."""

    answers: list[dict[str, Any]]
    printed: list[dict[str, Any]]
    modules: set[str]
    error: str


def invoke(*events: dict[str, Any], handler: str = "lambda_adapter.api.handler", **settings: str) -> Invoked:
    """Run a function for these events, one after the other."""
    finished = subprocess.run(
        [sys.executable, "-c", RUNTIME, handler],
        cwd=ROOT,
        env=settings,
        input="".join(f"{json.dumps(event)}\n" for event in events),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    answers = [line["answer"] for line in lines if "answer" in line]
    modules = {name for line in lines if "modules" in line for name in line["modules"]}
    printed = [line for line in lines if not line.keys() & {"answer", "modules"}]
    return Invoked(answers, printed, modules, finished.stderr)


def locally(directory: Path) -> dict[str, str]:
    """Return settings of a function that nobody but the test can call."""
    return {"PIXDEPOT_DATA_DIR": str(directory), "PIXDEPOT_ALLOW_OPEN_AUTH": "1"}


# ---------------------------------------------------------------- logs and metrics


def test_every_line_of_the_log_says_which_request_it_belongs_to(tmp_path: Path) -> None:
    events = [make("GET", f"{BASE_URL}/health", {}, b"") for make in (rest_event, http_event)]
    invoked = invoke(*events, **locally(tmp_path))
    asked = [event["requestContext"]["requestId"] for event in events]
    lines = [line for line in invoked.printed if line.get("message") == "answered"]
    assert [line["correlation_id"] for line in lines] == asked
    assert [(line["operation"], line["status"]) for line in lines] == [("get_health", 200)] * 2
    assert {line["function_name"] for line in lines} == {"pixdepot-api"}


def test_the_id_in_the_log_is_the_one_the_client_is_told(tmp_path: Path) -> None:
    event = rest_event("GET", f"{BASE_URL}/nowhere", {}, b"")
    invoked = invoke(event, **locally(tmp_path))
    problem = json.loads(invoked.answers[0]["body"])
    assert problem["request_id"] == event["requestContext"]["requestId"]


def test_what_nobody_foresaw_is_one_line_with_its_traceback(tmp_path: Path) -> None:
    kind, body = form({"user_id": "ada", "title": "A photo"}, picture())
    uploaded = invoke(rest_event("POST", f"{BASE_URL}/images", {"Content-Type": kind}, body), **locally(tmp_path))
    image_id = json.loads(uploaded.answers[0]["body"])["image_id"]
    with closing(sqlite3.connect(tmp_path / "pixdepot.db", isolation_level=None)) as database:
        database.execute("UPDATE images SET tags_json = 'no JSON'")
    change = json.dumps({"user_id": "ada", "title": "Another"}).encode()
    target = f"{BASE_URL}/images/{image_id}"
    invoked = invoke(rest_event("PATCH", target, {"Content-Type": "application/json"}, change), **locally(tmp_path))
    (line,) = [line for line in invoked.printed if line.get("message") == "answered"]
    assert (line["level"], line["status"], line["user"]) == ("ERROR", 500, "ada")
    assert line["request_id"] == json.loads(invoked.answers[0]["body"])["request_id"]
    assert line["exception"].startswith("Traceback")


def test_metrics_are_printed_for_each_operation(tmp_path: Path) -> None:
    paths = ["/images", "/images/nobody-s", "/nowhere"]
    events = [rest_event("GET", f"{BASE_URL}{path}", {}, b"") for path in paths]
    measured = [line for line in invoke(*events, **locally(tmp_path)).printed if "_aws" in line]
    assert [line["operation"] for line in measured] == ["list_images", "get_image", "unrouted"]
    for line in measured:
        described = line["_aws"]["CloudWatchMetrics"][0]
        assert described["Namespace"] == "Pixdepot"
        assert {each["Name"]: each["Unit"] for each in described["Metrics"]} == {
            "Requests": "Count", "Duration": "Milliseconds", "Failures": "Count",
        }  # fmt: skip
        assert (line["Requests"], line["Failures"]) == ([1.0], [0.0])
        assert 0 < line["Duration"][0] < 60_000


def test_nothing_of_a_link_s_signature_is_logged(tmp_path: Path) -> None:
    url = f"{BASE_URL}/storage/images/x?expires=1&signature=very-secret"
    invoked = invoke(rest_event("GET", url, {"Authorization": "Bearer very-secret"}, b""), **locally(tmp_path))
    assert invoked.answers[0]["statusCode"] == 403
    assert "very-secret" not in json.dumps(invoked.printed) + invoked.error


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize("handler", ["lambda_adapter.api.handler", "lambda_adapter.events.handler"])
def test_everyone_as_anyone_takes_an_explicit_word(tmp_path: Path, handler: str) -> None:
    invoked = invoke(
        rest_event("GET", f"{BASE_URL}/health", {}, b""), handler=handler, PIXDEPOT_DATA_DIR=str(tmp_path)
    )
    assert invoked.answers == []
    assert "PIXDEPOT_ALLOW_OPEN_AUTH=1" in invoked.error


# ---------------------------------------------------------------- what starting loads


def loaded(*statements: str, **settings: str) -> set[str]:
    """Return the modules that are loaded after these statements."""
    script = "\n".join(["import sys", *statements, "print(*sys.modules)"])
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=settings, check=True, capture_output=True, text=True
    )
    return set(finished.stdout.split())


@pytest.mark.parametrize("handler", ["lambda_adapter.api", "lambda_adapter.events"])
def test_importing_a_handler_loads_no_server_and_no_pillow(handler: str) -> None:
    modules = loaded(f"import {handler}")
    unwanted = {"aiohttp.web", "service.server", "sqlite3", "apispec", "click", "PIL", "jwt", "cryptography"}
    assert not unwanted & modules


def test_the_first_picture_loads_only_the_plugins_of_pillow_that_are_needed(tmp_path: Path) -> None:
    kind, body = form({"user_id": "ada", "title": "A photo"}, picture())
    invoked = invoke(rest_event("POST", f"{BASE_URL}/images", {"Content-Type": kind}, body), **locally(tmp_path))
    assert invoked.answers[0]["statusCode"] == 201
    plugins = {name for name in invoked.modules if name.startswith("PIL.") and name.endswith("Plugin")}
    needed = {f"PIL.{kind}ImagePlugin" for kind in ("Avif", "Gif", "Jpeg", "Png", "WebP")}
    assert plugins - {"PIL.BmpImagePlugin", "PIL.PpmImagePlugin"} == needed  # Pillow's own, wherever it saves


def test_opening_the_aws_backend_loads_no_server_either() -> None:
    opened = ["import lambda_adapter.api as api", "api._answer._environment.runtime"]
    settings = {
        "PIXDEPOT_BACKEND": "aws", "PIXDEPOT_ALLOW_OPEN_AUTH": "1", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing",
    }  # fmt: skip
    modules = loaded(*opened, **settings)
    assert "aiobotocore" in modules
    assert not {"aiohttp.web", "service.server", "sqlite3", "s3transfer", "jwt", "cryptography"} & modules
