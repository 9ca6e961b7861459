"""What is between API Gateway's events and the API: bodies, queries, headers, limits, the service's own URL."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from lambda_adapter.api import PAYLOAD_BYTES, ApiHandler
from lambda_adapter.environment import Environment
from lambda_adapter.senders import UnsupportedEvent
from service.api.dispatch import Api
from service.api.http import ApiRequest, ApiResponse, Route
from service.domain.model import Details
from service.settings import Settings
from tests.api.client import form, some_details
from tests.api.gateway import BASE_URL, Context, Event, http_event, rest_event
from tests.lambda_adapter import shapes
from tests.pictures import base64_of, picture

DATA = picture(size=(64, 48), seed=11)
KINDS = pytest.mark.parametrize("event", [rest_event, http_event], ids=["rest", "http"])


async def echo(request: ApiRequest) -> ApiResponse:
    """Answer with the request, as everything behind the skin sees it."""
    body = b"".join([chunk async for chunk in request.body])
    seen = {
        "headers": dict(request.headers), "query": request.query, "base_url": request.base_url,
        "body": base64.b64encode(body).decode(), "path": request.path,
    }  # fmt: skip
    return ApiResponse(200, {"Content-Type": "application/json"}, json.dumps(seen).encode())


def with_echo(environment: Environment) -> ApiHandler:
    """Return a handler of a service that has two routes more."""
    routes = (Route("GET", "/echo", "echo", echo), Route("POST", "/echo", "echo", echo))
    services = environment.runtime.api.services
    storage = environment.runtime.api.routes[len(Api(services).routes) :]
    environment._runtime = replace(environment.runtime, api=Api(services, (*storage, *routes)))
    return ApiHandler(environment)


@pytest.fixture(scope="module")
def handler(environment: Environment) -> ApiHandler:
    """Return the handler, with the echo."""
    return with_echo(environment)


def call(handler: ApiHandler, event: dict[str, Any]) -> dict[str, Any]:
    """Return the function's answer to an event."""
    return handler(event, Context())  # type: ignore[arg-type] # as much of a context as Powertools asks for


def seen(handler: ApiHandler, event: dict[str, Any]) -> dict[str, Any]:
    """Return what is behind the skin of an event to /echo."""
    answer = call(handler, event)
    assert answer["statusCode"] == 200, answer
    document: dict[str, Any] = json.loads(answer["body"])
    return document


def outcome(answer: dict[str, Any]) -> tuple[int, str]:
    """Return the status and the code of a problem."""
    return answer["statusCode"], json.loads(answer["body"])["code"]


# ---------------------------------------------------------------- bodies


@KINDS
@pytest.mark.parametrize("is_base64", [True, False])
def test_a_body_arrives_as_it_was_sent_however_the_gateway_passes_it_on(
    handler: ApiHandler, event: Event, is_base64: bool
) -> None:
    sent = '{"title": "naïve 🏞"}'
    made = event("POST", f"{BASE_URL}/echo", {"Content-Type": "application/json"}, b"x")
    made["body"] = base64.b64encode(sent.encode()).decode() if is_base64 else sent
    made["isBase64Encoded"] = is_base64
    found = seen(handler, made)
    assert base64.b64decode(found["body"]) == sent.encode()
    assert found["headers"]["content-length"] == str(len(sent.encode()))


@KINDS
def test_bytes_go_in_and_come_out_as_base64_and_json_as_text(handler: ApiHandler, event: Event) -> None:
    kind, body = form({"user_id": "ada", "title": "A photo"}, DATA)
    uploaded = call(handler, event("POST", f"{BASE_URL}/images", {"Content-Type": kind}, body))
    assert uploaded["statusCode"] == 201
    assert uploaded["isBase64Encoded"] is False
    image_id = json.loads(uploaded["body"])["image_id"]
    downloaded = call(handler, event("GET", f"{BASE_URL}/images/{image_id}?download=true", {}, b""))
    assert downloaded["isBase64Encoded"] is True
    assert base64.b64decode(downloaded["body"]) == DATA


@KINDS
def test_an_answer_without_a_body_has_an_empty_one(handler: ApiHandler, event: Event) -> None:
    answer = call(handler, event("OPTIONS", f"{BASE_URL}/images", {}, b""))
    assert (answer["statusCode"], answer["body"], answer["isBase64Encoded"]) == (204, "", False)


@KINDS
def test_base64_that_is_none_is_the_request_s_fault(handler: ApiHandler, event: Event) -> None:
    made = event("POST", f"{BASE_URL}/images", {"Content-Type": "application/json"}, b"x")
    made |= {"body": "not base64!", "isBase64Encoded": True}
    assert outcome(call(handler, made)) == (400, "invalid_request")


# ---------------------------------------------------------------- limits


@KINDS
def test_a_body_past_lambda_s_limit_is_told_the_other_way(handler: ApiHandler, event: Event) -> None:
    document = {**some_details(), "image_data": base64_of(picture().ljust(5 * 2**20, b"\0"))}
    headers = {"Content-Type": "application/json"}
    answer = call(handler, event("POST", f"{BASE_URL}/images", headers, json.dumps(document).encode()))
    assert outcome(answer) == (413, "too_large")
    assert "/uploads" in json.loads(answer["body"])["detail"]


@pytest.fixture(scope="module")
def large(environment: Environment) -> str:
    """Return the id of a picture that no answer of a function can carry."""
    images = environment.runtime.api.services.images
    details = Details(**some_details(user_id="large", description="", tags=()))
    data = picture().ljust(PAYLOAD_BYTES * 3 // 4 + 1, b"\0")
    return environment.run(images.upload(details, data)).image_id


@KINDS
def test_a_download_past_the_limit_leads_to_the_storage(handler: ApiHandler, event: Event, large: str) -> None:
    answer = call(handler, event("GET", f"{BASE_URL}/images/{large}?download=true", {}, b""))
    headers = answer.get("headers") or {name: values[0] for name, values in answer["multiValueHeaders"].items()}
    view = json.loads(call(handler, event("GET", f"{BASE_URL}/images/{large}", {}, b""))["body"])
    assert answer["statusCode"] == 302
    assert headers["Location"] == view["url"]


@pytest.fixture(scope="module")
def small(environment: Environment) -> str:
    """Return the id of a picture that an answer carries."""
    details = Details(**some_details(user_id="small", description="", tags=()))
    return environment.run(environment.runtime.api.services.images.upload(details, DATA)).image_id


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        *(("image/*, */*;q=0.5", 200), ("image/jpeg", 200), ("IMAGE/WEBP;q=1, */*", 200)),
        *(("*/*", 302), ("", 302), ("text/html, image/*", 302)),
    ],
)
def test_bytes_that_localstack_would_not_decode_are_a_redirect_to_the_storage(
    handler: ApiHandler, small: str, accept: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALSTACK_HOSTNAME", "172.17.0.2")
    answer = call(handler, rest_event("GET", f"{BASE_URL}/images/{small}?download=true", {"Accept": accept}, b""))
    assert answer["statusCode"] == status
    view = json.loads(call(handler, rest_event("GET", f"{BASE_URL}/images/{small}", {}, b""))["body"])
    assert view["image_data"] == base64_of(DATA)  # text needs no decoding
    if status == 302:
        assert answer["multiValueHeaders"]["Location"] == [view["url"]]
    else:
        assert base64.b64decode(answer["body"]) == DATA


@KINDS
def test_other_gateways_decode_for_any_client(handler: ApiHandler, event: Event, small: str) -> None:
    answer = call(handler, event("GET", f"{BASE_URL}/images/{small}?download=true", {"Accept": "text/html"}, b""))
    assert (answer["statusCode"], base64.b64decode(answer["body"])) == (200, DATA)


@KINDS
def test_a_view_past_the_limit_says_why_it_has_no_picture(handler: ApiHandler, event: Event, large: str) -> None:
    view = json.loads(call(handler, event("GET", f"{BASE_URL}/images/{large}", {}, b""))["body"])
    assert view["image_data"] is None
    assert "use `url`" in view["image_data_omitted"]
    assert view["metadata"]["image_id"] == large


@KINDS
def test_the_largest_view_that_is_given_fits(environment: Environment, handler: ApiHandler, event: Event) -> None:
    images = environment.runtime.api.services.images
    tags = tuple(f"{n:02}" + "🏞" * 48 for n in range(20))
    details = some_details(title="🏞" * 200, description="🏞" * 2_000, tags=tags, filename="é" * 125 + ".jpg")
    data = picture().ljust(PAYLOAD_BYTES * 3 // 4, b"\0")
    image_id = environment.run(images.upload(Details(**details), data)).image_id
    answer = call(handler, event("GET", f"{BASE_URL}/images/{image_id}", {}, b""))
    assert base64.b64decode(json.loads(answer["body"])["image_data"]) == data
    assert len(json.dumps(answer)) <= 6 * 2**20  # at worst: some runtimes escape every letter beyond ASCII


# ---------------------------------------------------------------- queries and headers


@KINDS
def test_a_query_is_decoded_once_and_keeps_its_order(handler: ApiHandler, event: Event) -> None:
    found = seen(handler, event("GET", f"{BASE_URL}/echo?b=a%20b&a=%2525&empty=", {}, b""))
    assert found["query"] == [["b", "a b"], ["a", "%25"], ["empty", ""]]


@KINDS
def test_a_parameter_that_is_repeated_is_told_so(handler: ApiHandler, event: Event) -> None:
    answer = call(handler, event("GET", f"{BASE_URL}/images?limit=1&limit=2", {}, b""))
    assert outcome(answer) == (400, "invalid_parameter")
    assert json.loads(answer["body"])["errors"].keys() == {"limit"}


def test_a_gateway_that_knows_single_values_only_will_do(handler: ApiHandler) -> None:
    made = rest_event("GET", f"{BASE_URL}/echo?a=1", {"X-One": "1"}, b"")
    del made["multiValueQueryStringParameters"], made["multiValueHeaders"]
    found = seen(handler, made)
    assert found["query"] == [["a", "1"]]
    assert found["headers"]["x-one"] == "1"


def test_headers_that_are_repeated_are_joined(handler: ApiHandler) -> None:
    made = rest_event("GET", f"{BASE_URL}/echo", {"If-None-Match": '"a"'}, b"")
    made["multiValueHeaders"]["If-None-Match"] = ['"a"', '"b"']
    assert seen(handler, made)["headers"]["if-none-match"] == '"a", "b"'


def test_cookies_come_back_into_their_header(handler: ApiHandler) -> None:
    made = http_event("GET", f"{BASE_URL}/echo", {}, b"")
    made["cookies"] = ["a=1", "b=2"]
    assert seen(handler, made)["headers"]["cookie"] == "a=1; b=2"


@KINDS
def test_a_request_without_an_id_gets_the_gateway_s(handler: ApiHandler, event: Event) -> None:
    made = event("GET", f"{BASE_URL}/echo", {}, b"")
    made["requestContext"]["requestId"] = gateway_s = str(uuid4())
    assert seen(handler, made)["headers"]["x-request-id"] == gateway_s
    own = event("GET", f"{BASE_URL}/echo", {"X-Request-ID": "own"}, b"")
    assert seen(handler, own)["headers"]["x-request-id"] == "own"


# ---------------------------------------------------------------- where the service is


@KINDS
def test_links_lead_to_where_the_api_was_reached(handler: ApiHandler, event: Event) -> None:
    assert seen(handler, event("GET", f"{BASE_URL}/echo", {}, b""))["base_url"] == BASE_URL
    assert seen(handler, event("GET", f"{BASE_URL}/%65cho", {}, b""))["base_url"] == BASE_URL


def test_a_domain_that_leads_to_the_stage_has_none_in_its_path(handler: ApiHandler) -> None:
    made = rest_event("GET", f"{BASE_URL}/echo", {}, b"")
    made["requestContext"] |= {"path": "/echo", "domainName": "images.example"}
    assert seen(handler, made)["base_url"] == "https://images.example"


def test_the_default_stage_has_no_name_in_a_path(handler: ApiHandler) -> None:
    made = http_event("GET", f"{BASE_URL}/echo", {}, b"")
    made["rawPath"] = made["requestContext"]["http"]["path"] = "/echo"
    made["requestContext"]["stage"] = "$default"
    assert seen(handler, made)["base_url"] == BASE_URL.removesuffix("/dev")


@KINDS
def test_a_public_url_that_is_set_is_where_links_lead(event: Event, tmp_path: Path) -> None:
    environment = Environment(Settings(data_dir=tmp_path, public_url="https://images.example/v1"))
    try:
        found = seen(with_echo(environment), event("GET", f"{BASE_URL}/echo", {}, b""))
    finally:
        environment.close()
    assert found["base_url"] == "https://images.example/v1"


# ---------------------------------------------------------------- who sends events


@pytest.mark.parametrize("event", [shapes.rest, shapes.http, shapes.function_url])
def test_requests_of_api_gateway_and_function_urls_are_answered(
    handler: ApiHandler, event: Callable[..., dict[str, Any]]
) -> None:
    assert call(handler, event("GET", "/health"))["statusCode"] == 200
    links = seen(handler, event("GET", "/echo"))["base_url"]
    assert links.startswith("https://")
    assert not links.endswith("/echo")


UNSERVED = {
    "an Application Load Balancer": shapes.load_balancer(), "VPC Lattice": shapes.lattice_1(),
    "a WebSocket API": shapes.websocket(),
}  # fmt: skip


@pytest.mark.parametrize(("sender", "event"), [*UNSERVED.items(), ("VPC Lattice", shapes.lattice_2())])
def test_requests_by_another_way_are_told_which_ways_there_are(
    handler: ApiHandler, sender: str, event: dict[str, Any]
) -> None:
    answer = call(handler, event)
    assert outcome(answer) == (501, "unsupported_event")
    assert sender in json.loads(answer["body"])["detail"]
    assert answer["headers"]["Content-Type"] == "application/problem+json"
    assert (answer["isBase64Encoded"], answer["statusDescription"]) == (False, "501 Not Implemented")


def test_a_load_balancer_that_sends_several_values_is_answered_with_several(handler: ApiHandler) -> None:
    answer = call(handler, shapes.load_balancer(several=True))
    assert answer["multiValueHeaders"]["Content-Type"] == ["application/problem+json"]
    assert "headers" not in answer


@pytest.mark.parametrize(
    "event",
    [
        {}, [], None, "text", {"version": "2.0"}, {"requestContext": None, "path": "/"}, shapes.schedule(),
        shapes.s3("uploads/x"), shapes.sqs({}), shapes.event_bridge("uploads/x"),
    ],
)  # fmt: skip
def test_events_that_are_no_request_are_a_clear_error(handler: ApiHandler, event: Any) -> None:
    with pytest.raises(UnsupportedEvent, match="API function answers HTTP requests"):
        call(handler, event)
