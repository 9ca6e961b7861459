"""The functions as Lambda runs them: AWS's runtime client, nothing but the zip on its path, AWS's events."""

import base64
import json
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.api.client import some_details
from tests.aws.stand_in import Account
from tests.lambda_adapter import shapes
from tests.lambda_adapter.deployed import Functions, running_functions
from tests.pictures import picture, sha256_of
from tests.servers.runtime_api import FunctionError

DATA = picture(size=(64, 48), seed=14)
Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
async def functions(account: Account, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Functions]:
    """Return both functions."""
    async with running_functions(account, tmp_path_factory.mktemp("functions")) as running:
        yield running


# ---------------------------------------------------------------- the API


@pytest.mark.parametrize("ask", [shapes.rest, shapes.http, shapes.function_url])
async def test_a_picture_goes_in_and_comes_out_by_each_way_to_the_api(functions: Functions, ask: Ask) -> None:
    user = f"user-{secrets.token_hex(6)}"
    body = json.dumps({**some_details(user_id=user), "image_data": base64.b64encode(DATA).decode()})
    status, uploaded = await functions.ask(ask("POST", "/images", body, **{"Content-Type": "application/json"}))
    assert status == 201, uploaded
    _, viewed = await functions.ask(ask("GET", f"/images/{uploaded['image_id']}"))
    assert base64.b64decode(viewed["image_data"]) == DATA
    assert viewed["metadata"]["sha256"] == sha256_of(DATA)


@pytest.mark.parametrize("event", [shapes.load_balancer(), shapes.lattice_1(), shapes.lattice_2()])
async def test_a_request_by_another_way_is_answered(functions: Functions, event: dict[str, Any]) -> None:
    status, problem = await functions.ask(event)
    assert (status, problem["code"]) == (501, "unsupported_event")


# ---------------------------------------------------------------- events

WAYS: dict[str, Callable[[str], dict[str, Any]]] = {
    "S3": shapes.s3,
    "SNS": lambda key: shapes.sns(shapes.s3(key)),
    "SQS": lambda key: shapes.sqs(shapes.s3(key)),
    "SNS to SQS": lambda key: shapes.sqs(shapes.sns_in_queue(shapes.s3(key))),
    "EventBridge": shapes.event_bridge,
}


@pytest.mark.parametrize("way", WAYS)
async def test_an_upload_is_published_when_its_event_comes(functions: Functions, way: str) -> None:
    image_id = await functions.arrived(DATA)
    done = await functions.events.invoke(WAYS[way](f"uploads/{image_id}"))
    assert done == ({"batchItemFailures": []} if "SQS" in way else {"published": 1, "refused": 0})
    assert await functions.state(image_id) == "ready"


async def test_the_schedule_sweeps_and_s3_s_test_is_passed_over(functions: Functions) -> None:
    assert (await functions.events.invoke(shapes.schedule())).keys() == {"removed", "failed"}
    assert await functions.events.invoke(shapes.s3_test()) == {"published": 0, "refused": 0}


async def test_an_unknown_event_is_an_error_that_says_what_is_known(functions: Functions) -> None:
    for function, words in ((functions.events, "S3's notifications"), (functions.api, "HTTP requests")):
        with pytest.raises(FunctionError, match=words) as raised:
            await function.invoke(shapes.other_on_bus())
        assert raised.value.kind == "UnsupportedEvent"
