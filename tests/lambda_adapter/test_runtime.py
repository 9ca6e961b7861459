"""The functions as Lambda runs them: AWS's runtime client, nothing but the zip on its path, AWS's events."""

import base64
import io
import json
import secrets
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from service.aws.session import opened_clients
from tests.api.client import some_details
from tests.aws.on_lambda import package
from tests.aws.stand_in import Account
from tests.lambda_adapter import shapes
from tests.pictures import picture, sha256_of
from tests.servers.runtime_api import Function, FunctionError, running_function

DATA = picture(size=(64, 48), seed=14)
Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the unpacked zip."""
    directory = tmp_path_factory.mktemp("code")
    zipfile.ZipFile(io.BytesIO(package().zipped)).extractall(directory)
    return directory


def settings_of(account: Account) -> dict[str, str]:
    """Return what a function on the emulator is told."""
    return {
        "AWS_ENDPOINT_URL": account.emulator.endpoint_url,
        "AWS_ACCESS_KEY_ID": account.key.access_key,
        "AWS_SECRET_ACCESS_KEY": account.key.secret_key,
        "PIXDEPOT_ALLOW_OPEN_AUTH": "1",
        **account.settings.environment(),
    }


@pytest.fixture(scope="module")
async def api(account: Account, code: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Function]:
    """Return the API function."""
    log = tmp_path_factory.mktemp("api") / "api.log"
    async with running_function("lambda_adapter.api.handler", code, log, **settings_of(account)) as function:
        yield function


@pytest.fixture(scope="module")
async def events(account: Account, code: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Function]:
    """Return the events function."""
    log = tmp_path_factory.mktemp("events") / "events.log"
    async with running_function("lambda_adapter.events.handler", code, log, **settings_of(account)) as function:
        yield function


async def begun(api: Function, data: bytes) -> str:
    """Return the id of a direct upload that has begun."""
    body = json.dumps({**some_details(), "filename": "photo.jpg", "content_type": "image/jpeg",
                       "file_size": len(data)})  # fmt: skip
    answer = await api.invoke(shapes.http("POST", "/uploads", body, **{"Content-Type": "application/json"}))
    assert answer["statusCode"] == 201, answer
    image_id: str = json.loads(answer["body"])["image_id"]
    return image_id


async def arrived(api: Function, account: Account, data: bytes = DATA) -> str:
    """Return the id of a direct upload whose bytes are in the bucket."""
    image_id = await begun(api, data)
    with account.environment():
        async with opened_clients(account.settings) as clients:
            where = {"Bucket": account.settings.bucket, "Key": f"uploads/{image_id}"}
            await clients.s3.put_object(**where, Body=data, ContentType="image/jpeg")
    return image_id


# ---------------------------------------------------------------- the API


@pytest.mark.parametrize("ask", [shapes.rest, shapes.http, shapes.function_url])
async def test_a_picture_goes_in_and_comes_out_by_each_way_to_the_api(api: Function, ask: Ask) -> None:
    user = f"user-{secrets.token_hex(6)}"
    body = json.dumps({**some_details(user_id=user), "image_data": base64.b64encode(DATA).decode()})
    uploaded = await api.invoke(ask("POST", "/images", body, **{"Content-Type": "application/json"}))
    assert uploaded["statusCode"] == 201, uploaded
    image_id = json.loads(uploaded["body"])["image_id"]
    viewed = json.loads((await api.invoke(ask("GET", f"/images/{image_id}")))["body"])
    assert base64.b64decode(viewed["image_data"]) == DATA
    assert viewed["metadata"]["sha256"] == sha256_of(DATA)


@pytest.mark.parametrize("event", [shapes.load_balancer(), shapes.lattice_1(), shapes.lattice_2()])
async def test_a_request_by_another_way_is_answered(api: Function, event: dict[str, Any]) -> None:
    answer = await api.invoke(event)
    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (501, "unsupported_event")


# ---------------------------------------------------------------- events

WAYS: dict[str, Callable[[str], dict[str, Any]]] = {
    "S3": shapes.s3,
    "SNS": lambda key: shapes.sns(shapes.s3(key)),
    "SQS": lambda key: shapes.sqs(shapes.s3(key)),
    "SNS to SQS": lambda key: shapes.sqs(shapes.sns_in_queue(shapes.s3(key))),
    "EventBridge": shapes.event_bridge,
}


@pytest.mark.parametrize("way", WAYS)
async def test_an_upload_is_published_when_its_event_comes(
    api: Function, events: Function, account: Account, way: str
) -> None:
    image_id = await arrived(api, account)
    done = await events.invoke(WAYS[way](f"uploads/{image_id}"))
    assert done == ({"batchItemFailures": []} if "SQS" in way else {"published": 1, "refused": 0})
    state = json.loads((await api.invoke(shapes.http("GET", f"/uploads/{image_id}")))["body"])
    assert state["status"] == "ready"


async def test_the_schedule_sweeps_and_s3_s_test_is_passed_over(events: Function) -> None:
    assert (await events.invoke(shapes.schedule())).keys() == {"removed", "failed"}
    assert await events.invoke(shapes.s3_test()) == {"published": 0, "refused": 0}


async def test_an_unknown_event_is_an_error_that_says_what_is_known(events: Function, api: Function) -> None:
    for function, words in ((events, "S3's notifications"), (api, "HTTP requests")):
        with pytest.raises(FunctionError, match=words) as raised:
            await function.invoke(shapes.other_on_bus())
        assert raised.value.kind == "UnsupportedEvent"
