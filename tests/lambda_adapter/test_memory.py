"""Functions of 128 MB, the least that Lambda has: what fits completes, what does not is no verdict on a picture."""

import base64
import json
import re
from collections.abc import AsyncIterator
from functools import partial

import pytest

from lambda_adapter.api import PAYLOAD_BYTES
from service.machine.memory import MIB
from tests.api.client import some_details
from tests.aws.stand_in import Account
from tests.lambda_adapter import shapes
from tests.lambda_adapter.deployed import Functions, running_functions
from tests.photographs import Photograph
from tests.process.caps import capped
from tests.process.memory import resident
from tests.servers.runtime_api import Function, FunctionError

LEAST = 128 * MIB
LARGE = Photograph("48.jpg", 48, 1, 0.1, options={"quality": 75})
TOO_LARGE = Photograph("48.webp", 48, 1, 0, options={"method": 0})


@pytest.fixture(scope="module")
async def functions(account: Account, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Functions]:
    """Return functions that have so much memory, by their settings and by the kernel where it lets us."""
    limited = partial(capped, LEAST)
    async with running_functions(account, tmp_path_factory.mktemp("least"), 128, limited) as running:
        yield running


def peak(function: Function) -> int:
    """Return the most memory that a function has taken, in bytes."""
    return resident(function.child.process.pid, "VmHWM")


async def completed(functions: Functions, image_id: str) -> tuple[int, dict[str, object]]:
    """Return the API's answer to complete."""
    return await functions.ask(shapes.http("POST", f"/uploads/{image_id}/complete"))


async def test_a_jpeg_of_48_megapixels_completes_when_its_event_comes(functions: Functions) -> None:
    image_id = await functions.arrived(LARGE.data)
    assert await functions.events.invoke(shapes.s3(f"uploads/{image_id}")) == {"published": 1, "refused": 0}
    assert await functions.state(image_id) == "ready"
    assert peak(functions.events) < LEAST


async def test_a_jpeg_of_48_megapixels_and_10_mib_completes_by_hand(functions: Functions) -> None:
    data = LARGE.data.ljust(10 * MIB, b"\0")
    status, answer = await completed(functions, await functions.arrived(data))
    assert status == 200, answer
    assert peak(functions.api) < LEAST


async def test_as_large_a_jpeg_as_a_request_carries_is_published(functions: Functions) -> None:
    data = LARGE.data.ljust(PAYLOAD_BYTES * 3 // 4 - 1024, b"\0")
    body = json.dumps({**some_details(), "image_data": base64.b64encode(data).decode()})
    status, answer = await functions.ask(
        shapes.http("POST", "/images", body, **{"Content-Type": "application/json"})
    )
    assert status == 201, answer
    assert peak(functions.api) < LEAST


def needed(function: Function) -> int:
    """Return the memory that the function's log asks for, in bytes."""
    return int(re.findall(r'"needed_limit_bytes":(\d+)', function.log)[-1])


async def test_a_webp_of_48_megapixels_is_to_be_tried_again_and_the_log_says_what_it_needs(
    functions: Functions,
) -> None:
    image_id = await functions.arrived(TOO_LARGE.data, "image/webp")
    for _ in range(3):  # as often as Lambda tries
        with pytest.raises(FunctionError, match="Decoding this image takes") as raised:
            await functions.events.invoke(shapes.s3(f"uploads/{image_id}"))
        assert raised.value.kind == "Unavailable"
        assert await functions.state(image_id) == "pending"
    status, problem = await completed(functions, image_id)
    assert (status, problem["code"]) == (503, "unavailable")
    assert await functions.state(image_id) == "pending"
    for function in (functions.api, functions.events):
        assert 8 * LEAST < needed(function) < 12 * LEAST
        assert peak(function) < LEAST


async def test_it_completes_in_a_function_of_the_memory_that_the_log_asks_for(
    functions: Functions, account: Account, tmp_path_factory: pytest.TempPathFactory
) -> None:
    image_id = await functions.arrived(TOO_LARGE.data, "image/webp")
    with pytest.raises(FunctionError):
        await functions.events.invoke(shapes.s3(f"uploads/{image_id}"))
    size = -(-needed(functions.events) // MIB)
    limited = partial(capped, size * MIB)
    async with running_functions(account, tmp_path_factory.mktemp("enough"), size, limited) as larger:
        assert await larger.events.invoke(shapes.s3(f"uploads/{image_id}")) == {"published": 1, "refused": 0}
