"""The examples of the API's description, sent to a real server: they work, and its answers are those described."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pybase64
import pytest

from service.api import examples
from tests.api.client import DESCRIPTION, Answer, ApiClient
from tests.api.conftest import server_on_local

_VARIES = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|https?://\S+|\d{4}-\d\d-\d\dT[\d:.]+Z")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in json.loads(DESCRIPTION.read_text())["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


PLACES = {operation["operationId"]: (method.upper(), path) for path, method, operation in operations()}


def settled(document: Any) -> Any:
    """Return a document with one word in the place of every id, time and link."""
    if isinstance(document, dict):
        return {name: settled(each) for name, each in document.items()}
    if isinstance(document, list):
        return [settled(each) for each in document]
    return _VARIES.sub("...", document) if isinstance(document, str) else document


class Reader:
    """Somebody who sends what the description shows, to an image that there is."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    async def sends(self, operation: str, image_id: str = "", which: str = "", **query: str) -> Answer:
        """Send an operation's example (the one that has this name) and return the answer."""
        method, path = PLACES[operation]
        body = examples.JSON_BODIES[operation][which] if which else None
        if body and "image_ids" in body:
            body = {**body, "image_ids": [image_id, body["image_ids"][1]]}
        return await self._api.request(method, path.replace("{image_id}", image_id), json=body, params=query)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiClient]:
    async with server_on_local(tmp_path) as client:
        yield client


@pytest.fixture
def reader(api: ApiClient) -> Reader:
    return Reader(api)


def as_described(operation: str, answer: Answer) -> dict[str, Any]:
    assert answer.status in {200, 201}, answer.body
    assert settled(answer.json) == settled(examples.ANSWERS[operation])
    told: dict[str, Any] = answer.json
    return told


async def test_a_picture_is_uploaded_found_changed_and_deleted(reader: Reader) -> None:
    image_id = as_described("upload_image", await reader.sends("upload_image", which="a picture"))["image_id"]
    as_described("get_image", await reader.sends("get_image", image_id))
    as_described("list_images", await reader.sends("list_images"))
    as_described("edit_image", await reader.sends("edit_image", image_id, "another title"))
    assert (await reader.sends("edit_image", image_id, "no tags")).json["metadata"]["tags"] == []
    as_described("delete_image", await reader.sends("delete_image", image_id, "by its owner"))
    again = (await reader.sends("upload_image", which="a picture")).json["image_id"]
    as_described("delete_images", await reader.sends("delete_images", again, "two"))


async def test_a_picture_is_sent_straight_into_storage(api: ApiClient, reader: Reader) -> None:
    begun = as_described("begin_upload", await reader.sends("begin_upload", which="PUT"))
    image_id = begun["image_id"]
    as_described("get_upload", await reader.sends("get_upload", image_id))
    again = as_described("sign_upload", await reader.sends("sign_upload", image_id))
    data = pybase64.b64decode(examples.JSON_BODIES["upload_image"]["a picture"]["image_data"])
    assert (await api.transfer(again["upload"], data)).status == 200
    as_described("complete_upload", await reader.sends("complete_upload", image_id))


async def test_an_upload_is_begun_for_a_form_and_given_up(reader: Reader) -> None:
    begun = await reader.sends("begin_upload", which="POST")
    assert begun.json["upload"]["method"] == "POST"
    as_described("cancel_upload", await reader.sends("cancel_upload", begun.json["image_id"]))


async def test_the_service_tells_of_itself(reader: Reader) -> None:
    as_described("get_health", await reader.sends("get_health"))
    as_described("get_readiness", await reader.sends("get_readiness"))
    assert (await reader.sends("get_openapi")).json.keys() >= examples.ANSWERS["get_openapi"].keys()


@pytest.mark.parametrize("operation", examples.QUERIES)
async def test_every_parameter_may_be_as_shown(reader: Reader, operation: str) -> None:
    image_id = (await reader.sends("upload_image", which="a picture")).json["image_id"]
    query = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in examples.QUERIES[operation].items()
    }
    answer = await reader.sends(operation, image_id, **query)
    assert answer.status in {200, 302}, answer.body


async def test_a_form_is_filled_in_as_shown(api: ApiClient) -> None:
    (fields,) = ({**each} for each in examples.FORMS["upload_image"].values())
    data = pybase64.b64decode(examples.JSON_BODIES["upload_image"]["a picture"]["image_data"])
    del fields["file"]
    (fields["tags"],) = fields["tags"]
    answer = await api.upload_form(fields, data, filename=fields["filename"], kind="image/png")
    as_described("upload_image", answer)


@pytest.mark.parametrize("operation", [each for *_, each in operations()], ids=lambda each: each["operationId"])
async def test_every_failure_looks_like_one_that_is_shown(api: ApiClient, operation: dict[str, Any]) -> None:
    method, path = PLACES[operation["operationId"]]
    refused = await api.request(method, path.replace("{image_id}", "none"), params={"nonsense": "1"})
    shown = operation["responses"][str(refused.status)]["content"]["application/problem+json"]["examples"]
    assert refused.json["code"] in shown
