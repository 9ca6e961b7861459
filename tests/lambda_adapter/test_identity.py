"""Behind an authorizer of API Gateway: its claims are who is calling, and no header can say otherwise."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_adapter.api import ApiHandler
from lambda_adapter.environment import Environment, check_exposure
from service.settings import Settings
from tests.api.client import some_details
from tests.api.gateway import BASE_URL, Context, Event, http_event, rest_event
from tests.pictures import base64_of, picture

# Nobody is there: what can be told without the issuer's keys is told by the authorizer.
SETTINGS = {
    "auth": "jwt", "jwt_issuer": "https://issuer.example/", "jwt_audience": "pixdepot",
    "jwks_url": "http://127.0.0.1:1/jwks",
}  # fmt: skip

AUTHORIZERS: dict[str, tuple[Event, dict[str, Any]]] = {
    "a user pool": (rest_event, {"claims": {"sub": "ada", "token_use": "id"}}),
    "a JWT authorizer": (http_event, {"jwt": {"claims": {"sub": "ada"}, "scopes": None}}),
    "a Lambda authorizer's principal": (rest_event, {"principalId": "ada", "integrationLatency": 7}),
    "a Lambda authorizer's subject": (rest_event, {"principalId": "user", "sub": "ada"}),
    "a Lambda authorizer of an HTTP API": (http_event, {"lambda": {"sub": "ada"}}),
}
WITHOUT_A_USER: dict[str, tuple[Event, dict[str, Any]]] = {
    "claims without a subject": (rest_event, {"claims": {"username": "ada"}}),
    "no claims": (rest_event, {"claims": {}}),
    "a JWT authorizer's without a subject": (http_event, {"jwt": {"claims": {"client_id": "ada"}}}),
    "a principal that is empty": (rest_event, {"principalId": ""}),
}
SAYING_NOTHING: dict[str, tuple[Event, Any]] = {
    "nothing": (rest_event, {}),
    "null": (rest_event, None),
    "a Lambda authorizer without a context": (http_event, {"lambda": None}),
    "an IAM authorizer": (http_event, {"iam": {"userId": "AIDA"}}),
}


@pytest.fixture(scope="module")
def handler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiHandler]:
    environment = Environment(Settings(data_dir=tmp_path_factory.mktemp("jwt"), **SETTINGS))  # type: ignore[arg-type]
    yield ApiHandler(environment)
    environment.close()


def ask(
    handler: ApiHandler, event: Event, authorizer: Any, method: str = "GET", document: Any = None, **headers: str
) -> tuple[int, Any]:
    """Return the status and the document of the answer to a request that an authorizer has let pass."""
    body = b"" if document is None else json.dumps(document).encode()
    made = event(method, f"{BASE_URL}/images", {"Content-Type": "application/json", **headers}, body)
    made["requestContext"]["authorizer"] = authorizer
    answer = handler(made, Context())  # type: ignore[arg-type] # as much of a context as Powertools asks for
    return answer["statusCode"], json.loads(answer["body"])


@pytest.mark.parametrize("kind", AUTHORIZERS)
def test_an_authorizer_s_claims_are_who_is_calling(handler: ApiHandler, kind: str) -> None:
    event, authorizer = AUTHORIZERS[kind]
    document = {**some_details(), "image_data": base64_of(picture())}
    status, uploaded = ask(handler, event, authorizer, "POST", document)
    assert (status, uploaded["metadata"]["user_id"]) == (201, "ada")
    status, problem = ask(handler, event, authorizer, "POST", {**document, "user_id": "eve"})
    assert (status, problem["code"]) == (403, "user_mismatch")


@pytest.mark.parametrize("kind", WITHOUT_A_USER)
def test_an_authorizer_s_claims_must_have_a_subject(handler: ApiHandler, kind: str) -> None:
    event, authorizer = WITHOUT_A_USER[kind]
    status, problem = ask(handler, event, authorizer)
    assert (status, problem["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("kind", SAYING_NOTHING)
def test_without_claims_the_token_is_verified_here(handler: ApiHandler, kind: str) -> None:
    event, authorizer = SAYING_NOTHING[kind]
    assert ask(handler, event, authorizer)[0] == 401
    header = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ"  # a key that has to be asked for
    assert ask(handler, event, authorizer, Authorization=f"Bearer {header}.e30.e30")[0] == 503


@pytest.mark.parametrize("event", [rest_event, http_event])
def test_a_header_is_no_authorizer(handler: ApiHandler, event: Event) -> None:
    claims = json.dumps({"sub": "ada"})
    headers = {"Claims": claims, "X-Amzn-Claims": claims, "RequestContext": claims, "Authorizer": claims}
    assert ask(handler, event, {}, **headers)[0] == 401


def test_with_open_auth_an_authorizer_s_claims_say_nothing(environment: Environment) -> None:
    document = {**some_details(user_id="ben"), "image_data": base64_of(picture())}
    status, uploaded = ask(ApiHandler(environment), rest_event, {"claims": {"sub": "ada"}}, "POST", document)
    assert (status, uploaded["metadata"]["user_id"]) == (201, "ben")


def test_where_tokens_are_wanted_everyone_may_reach_the_api(tmp_path: Path) -> None:
    check_exposure(Settings(data_dir=tmp_path, **SETTINGS))  # type: ignore[arg-type]
