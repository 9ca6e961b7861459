"""Services for all tests that leave them as they found them."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.client import ApiClient
from tests.aws.on_lambda import deployed_on_localstack, package
from tests.aws.stand_in import new_settings
from tests.process.servers import Server, emulating, serving
from tests.process.typist import Typist
from tests.servers.localstack import LocalStack


@pytest.fixture(scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Return a running server. Tests share it, so they use users and tags of their own."""
    async with serving(tmp_path_factory.mktemp("server")) as running:
        yield running
        running.process.terminate()
        assert await asyncio.wait_for(running.process.wait(), 10) == 0  # none of the tests left it busy


@pytest.fixture(scope="session")
async def on_lambda(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Return a running `pixdepot emulator`, its API on Lambda behind API Gateway. Tests share it, too."""
    await asyncio.to_thread(package)  # the first on a machine takes long; with it, the command is quick
    async with emulating(tmp_path_factory.mktemp("emulator")) as running:
        yield running


@pytest.fixture(scope="session")
async def on_localstack(localstack: LocalStack) -> AsyncIterator[ApiClient]:
    """Return a client of the API behind LocalStack's API Gateway, as the original was. Tests share it."""
    await asyncio.to_thread(package)
    async with deployed_on_localstack(localstack, new_settings()) as client:
        yield client


@pytest.fixture
def pixdepot(server: Server, tmp_path: Path) -> Typist:
    """Return somebody who types commands for the shared server, as a user whom no other test knows."""
    return Typist(tmp_path, server.url, f"user-{secrets.token_hex(6)}")
