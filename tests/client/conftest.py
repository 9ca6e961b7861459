"""What `pixdepot.Client` speaks to: every skin on every backend, over HTTP."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import pixdepot
from lambda_adapter.api import ApiHandler
from lambda_adapter.environment import Environment
from service.settings import Settings
from tests.api.client import Answer, Send
from tests.api.conftest import lambda_on_aws, server_on_aws, server_on_local, server_on_s3
from tests.api.gateway import BASE_URL, http_event, through
from tests.servers.bridge import bridged

Serve = Callable[..., AbstractAsyncContextManager[str]]  # with a directory and settings; yields the service's URL


def reached(start: Callable[..., AbstractAsyncContextManager[Any]]) -> Serve:
    """Return a way to start a service for those who only need its URL."""

    @asynccontextmanager
    async def serve(directory: Path, **settings: Any) -> AsyncIterator[str]:
        async with start(directory, **settings) as api:
            yield api.base_url

    return serve


@asynccontextmanager
async def lambda_on_local(directory: Path, **settings: Any) -> AsyncIterator[str]:
    """Run the Lambda skin on the local backend, behind a server that makes events of HTTP requests."""
    send: Send | None = None

    async def forward(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        assert send is not None
        return await send(method, url, headers, body)

    async with bridged(forward, BASE_URL) as url:
        environment = Environment(Settings(data_dir=directory, **{"public_url": url, **settings}))
        send = through(ApiHandler(environment), http_event)
        try:
            yield url
        finally:
            await asyncio.to_thread(environment.close)


# How a service of each kind is started, as a function of the fixture that it needs.
SERVICES: dict[str, tuple[Callable[[Any], Serve], str]] = {
    "server on local": (lambda _: reached(server_on_local), "tmp_path_factory"),
    "server on aws": (lambda emulator: reached(server_on_aws(emulator)), "emulator"),
    "server on s3": (lambda gateway: reached(server_on_s3(gateway)), "seaweedfs"),
    "lambda on local": (lambda _: lambda_on_local, "tmp_path_factory"),
    "lambda on aws": (lambda emulator: reached(lambda_on_aws(emulator)), "emulator"),
}


@pytest.fixture(scope="session", params=SERVICES)
def serve(request: pytest.FixtureRequest) -> Serve:
    """Return a way to start a service of each kind."""
    serves, fixture = SERVICES[request.param]
    return serves(request.getfixturevalue(fixture))


@pytest.fixture(scope="session")
async def service(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Return the URL of a service of each kind. All tests share it, so they use users of their own."""
    async with serve(tmp_path_factory.mktemp("service")) as url:
        yield url


@pytest.fixture
async def client(service: str) -> AsyncIterator[pixdepot.Client]:
    """Return a client of a service of each kind, for a user whom no other test knows."""
    async with pixdepot.Client(service, user_id=f"user-{secrets.token_hex(8)}") as made:
        yield made
