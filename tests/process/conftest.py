"""A server for all tests that leave it as they found it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.process.servers import Server, serving


@pytest.fixture(scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """Return a running server. Tests share it, so they use users and tags of their own."""
    async with serving(tmp_path_factory.mktemp("server")) as running:
        yield running
        running.process.terminate()
        assert await asyncio.wait_for(running.process.wait(), 10) == 0  # none of the tests left it busy
