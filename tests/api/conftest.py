"""The API suite runs against every skin and backend there is: each is a name in SERVICES and an entry below."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest

from bootstrap.emulator import Emulator
from lambda_adapter.api import PAYLOAD_BYTES, ApiHandler
from lambda_adapter.environment import Environment
from service.runtime import open_service
from service.server import answering, listen
from service.settings import Settings
from tests.api.client import ApiClient, over_http
from tests.api.gateway import BASE_URL, Event, http_event, rest_event, through
from tests.aws.on_lambda import deployed
from tests.aws.stand_in import new_account, new_bucket, new_settings, opened_in
from tests.servers.rgw import Gateway


class Start(Protocol):
    """How a service is started: with these settings beyond what it needs for its own backend."""

    def __call__(self, directory: Path, **settings: Any) -> AbstractAsyncContextManager[ApiClient]:
        """Start it, and stop it at the end."""


@asynccontextmanager
async def server_on_local(directory: Path, **settings: Any) -> AsyncIterator[ApiClient]:
    """Run the aiohttp skin on the local backend, on a free port."""
    async with served(Settings(data_dir=directory, **settings)) as client:
        yield client


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[ApiClient]:
    """Run the aiohttp skin with these settings, on a free port."""
    listening = listen("127.0.0.1", 0)
    async with (
        open_service(settings) as runtime,
        answering(runtime.api, listening),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False) as session,
    ):
        yield ApiClient(f"http://127.0.0.1:{listening.getsockname()[1]}", over_http(session))


def server_on_aws(emulator: Emulator) -> Start:
    """Run the aiohttp skin on the aws backend, each time with a bucket and tables of its own."""

    @asynccontextmanager
    async def start(directory: Path, **settings: Any) -> AsyncIterator[ApiClient]:
        async with (
            new_account(emulator, **settings) as account,
            opened_in(account.environment(), served(account.settings)) as client,
        ):
            yield client

    return start


def server_on_s3(gateway: Gateway) -> Start:
    """Run the aiohttp skin on SeaweedFS and SQLite, each time with a bucket of its own."""

    @asynccontextmanager
    async def start(directory: Path, **settings: Any) -> AsyncIterator[ApiClient]:
        async with (
            new_bucket(gateway.endpoint_url, gateway.key, directory, **settings) as made,
            served(made) as client,
        ):
            yield client

    return start


def server_on_dynamodb(emulator: Emulator) -> Start:
    """Run the aiohttp skin on files and DynamoDB, each time with tables of its own."""

    @asynccontextmanager
    async def start(directory: Path, **settings: Any) -> AsyncIterator[ApiClient]:
        apart = {"storage": "local", "data_dir": directory, **settings}
        async with (
            new_account(emulator, **apart) as account,
            opened_in(account.environment(), served(account.settings)) as client,
        ):
            yield client

    return start


def lambda_on_local(event: Event) -> Start:
    """Run the Lambda skin on the local backend, here, called with the events of one kind of API."""

    @asynccontextmanager
    async def start(directory: Path, **settings: Any) -> AsyncIterator[ApiClient]:
        environment = Environment(Settings(data_dir=directory, **settings))
        try:
            client = ApiClient(BASE_URL, through(ApiHandler(environment), event), largest_request=PAYLOAD_BYTES)
            yield client
        finally:
            await asyncio.to_thread(environment.close)

    return start


def lambda_on_aws(emulator: Emulator) -> Start:
    """Run the Lambda skin on the aws backend, on the emulator behind its API Gateway, deployed each time anew."""

    def start(directory: Path, **settings: Any) -> AbstractAsyncContextManager[ApiClient]:
        return deployed(emulator, new_settings(**settings))

    return start


# How a service of each kind is started, as a function of the fixture that it needs.
SERVICES: dict[str, tuple[Callable[[Any], Start], str]] = {
    "server-local": (lambda _: server_on_local, "tmp_path_factory"),
    "server-aws": (server_on_aws, "emulator"),
    "server-s3": (server_on_s3, "seaweedfs"),
    "server-dynamodb": (server_on_dynamodb, "emulator"),
    "lambda-rest": (lambda _: lambda_on_local(rest_event), "tmp_path_factory"),
    "lambda-http": (lambda _: lambda_on_local(http_event), "tmp_path_factory"),
    "gateway": (lambda_on_aws, "emulator"),
}


# For tests of answers that no backend has a part in: each skin once, not each pair of a skin and a backend.
ON_EACH_SKIN = pytest.mark.parametrize(
    "start", ["server-local", "lambda-rest", "lambda-http", "gateway"], indirect=True, scope="session"
)


@pytest.fixture(scope="session", params=SERVICES)
def start(request: pytest.FixtureRequest) -> Start:
    """Return a way to start a service of each kind, for tests that need settings of their own."""
    starts, fixture = SERVICES[request.param]
    return starts(request.getfixturevalue(fixture))


@pytest.fixture(scope="session")
async def api(start: Start, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiClient]:
    """Return a client of a running service. All tests share it, so they use users and tags of their own."""
    async with start(tmp_path_factory.mktemp("api")) as client:
        yield client


@pytest.fixture
def user() -> str:
    """Return a user whom no other test knows."""
    return f"user-{secrets.token_hex(8)}"


async def until(instant: str) -> None:
    """Return when this time of an answer has passed."""
    left = datetime.fromisoformat(instant) - datetime.now(UTC)
    await asyncio.sleep(max(left.total_seconds(), 0) + 0.01)
