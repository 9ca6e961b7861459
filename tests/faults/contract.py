"""Requests of every kind that openapi.json describes, and that it forbids: every answer is as described."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as some
from marshmallow import fields
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from lambda_adapter.api import ApiHandler
from lambda_adapter.environment import Environment
from service.settings import Settings
from tests.api.client import DESCRIPTION, ApiClient, over_http
from tests.api.conftest import served
from tests.api.gateway import BASE_URL, Event, http_event, rest_event, through
from tests.faults.tally import Tally
from tests.pictures import base64_of, picture
from tests.servers.bridge import bridged

_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
_TELLING = 8  # characters; a shorter piece of what was sent may be in an answer by chance
_NO_INPUT = 10  # cases for an operation that takes nothing
_DATA = base64_of(picture())


@asynccontextmanager
async def server(directory: Path) -> AsyncIterator[ApiClient]:
    """Run the aiohttp skin."""
    async with served(Settings(data_dir=directory)) as api:
        yield api


def on_lambda(event: Event) -> "Skin":
    """Return a way to run the Lambda skin, behind one kind of API Gateway."""

    @asynccontextmanager
    async def running(directory: Path) -> AsyncIterator[ApiClient]:
        environment = Environment(Settings(data_dir=directory / "data"))
        send = through(ApiHandler(environment), event)
        try:
            with _output_to(directory / "log"):
                async with bridged(send, BASE_URL) as url, aiohttp.ClientSession() as session:
                    yield ApiClient(url, over_http(session))
        finally:
            await asyncio.to_thread(environment.close)

    return running


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Keep what a function prints, each metric and each line of its log, in a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    kept = os.dup(1)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


Skin = Callable[[Path], AbstractAsyncContextManager[ApiClient]]
SKINS: dict[str, Skin] = {
    "server": server,
    "lambda, REST": on_lambda(rest_event),
    "lambda, HTTP": on_lambda(http_event),
}


async def some_ids(api: ApiClient) -> list[str]:
    """Return ids that are not made up: of an image, a pending upload, and a deleted image."""
    images = [(await api.uploaded(user_id="ada"))["image_id"] for _ in range(2)]
    assert (await api.delete(f"/images/{images[1]}", {"user_id": "ada"})).status == 200
    return [*images, (await api.begun(picture()))["image_id"]]


async def run(skin: Skin, directory: Path, number: int, cases: int, tally: Tally) -> None:
    """Send about so many requests to one skin."""
    async with skin(directory) as api:
        ids = await some_ids(api)
        with tally.timed():
            await asyncio.to_thread(send_all, api.base_url, ids, number, cases, tally)


def send_all(base_url: str, ids: Sequence[str], number: int, cases: int, tally: Tally) -> None:
    """Send requests to every operation, half of them as described and half not."""
    description = json.loads(DESCRIPTION.read_text())
    operations = [each.ok() for each in schemathesis.openapi.from_dict(description).get_all_operations()]
    with_input = [each for each in operations if _takes_input(each)]
    with requests.Session() as session:
        target = Target(base_url, session, set())
        for operation in operations:
            takes_input = operation in with_input
            times = max(cases // len(with_input) // 2, 1) if takes_input else _NO_INPUT
            for mode in GenerationMode if takes_input else [GenerationMode.POSITIVE]:
                tally.count += target.send(_cases(operation, mode, ids), number, times)
    tally.violations += sorted(target.found)


def _takes_input(operation: APIOperation[Any, Any, Any, Any]) -> bool:
    return bool(operation.body or operation.query or operation.path_parameters)


def _cases(
    operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, ids: Sequence[str]
) -> some.SearchStrategy[Case]:
    """Return a strategy for requests; of those about an image, most are about one that there is or was."""
    made_up = operation.as_strategy(mode)
    if not operation.path_parameters:
        return made_up
    known = [operation.as_strategy(mode, path_parameters={"image_id": each}) for each in ids]
    return some.one_of(made_up, *known)


@dataclass(frozen=True)
class Target:
    """A service to send requests to, and what was found wrong with its answers: each thing once."""

    base_url: str
    session: requests.Session
    found: set[str]

    def send(self, strategy: some.SearchStrategy[Case], number: int, times: int) -> int:
        """Send so many requests; return how many it were."""
        sent = []
        chosen = settings(
            max_examples=times,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )

        @seed(number)
        @chosen
        @given(case=strategy, real=some.booleans())
        def one(case: Case, real: bool) -> None:
            if real and isinstance(case.body, dict) and isinstance(case.body.get("image_data"), str):
                case.body["image_data"] = _DATA
            sent.append(case.id)
            self.found.update(f"{case.operation.label}: {each}" for each in self._wrong_with(case))

        one()
        return len(sent)

    def _wrong_with(self, case: Case) -> list[str]:
        answer = case.call(base_url=self.base_url, session=self.session)
        try:
            case.validate_response(answer, checks=_CHECKS)
        except FailureGroup as failures:
            return [f"{each.title}: {each.message[:300]}" for each in failures.exceptions]
        if answer.status_code < 400:
            return []
        told = answer.json()
        if not told.get("code") or told.get("request_id") != answer.headers["x-request-id"][0]:
            return [f"{answer.status_code} without a code or its request_id"]
        text = "\n".join(_texts({**told, "request_id": "", "type": ""}))
        return [f"{answer.status_code} echoes {piece!r}" for piece in _pieces(case) if piece in text]


_FIELDS = [each for each in vars(fields).values() if isinstance(each, type) and issubclass(each, fields.Field)]


def _pieces(case: Case) -> list[str]:
    """Return what was sent, as far as an answer cannot have it by chance."""
    known = DESCRIPTION.read_text()
    known += "".join(str(each) for field in _FIELDS for each in field.default_error_messages.values())
    sent = [*_texts(case.body), *_texts(case.query), *_texts(case.path_parameters)]
    return [each for each in sent if len(each) >= _TELLING and each not in known]


def _texts(value: object) -> Iterator[str]:
    """Yield every text in a document, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from (str(name), *_texts(each))
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


async def measure(place: Path, number: int, cases: int) -> list[Tally]:
    """Send so many requests in all, to both skins."""
    tallies = []
    for name, skin in SKINS.items():
        tally = Tally(f"requests out of openapi.json, {name}")
        await run(skin, place / name.replace(", ", "-"), number, -(-cases // len(SKINS)), tally)
        tallies.append(tally)
    return tallies
