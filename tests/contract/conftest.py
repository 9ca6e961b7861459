"""The contract suite runs against every backend there is: each is an entry in BACKENDS."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from bootstrap.emulator import Emulator
from service.backends import Backend, opened_backend
from service.domain import model
from service.domain.ports import ImageRepository, ObjectStore
from service.operations.pairing import Pairing
from service.settings import Settings
from tests.aws.stand_in import Account, account_on, new_bucket, opened_in
from tests.servers.localstack import LocalStack
from tests.servers.rgw import Gateway

COUNTED = {"user_quota_bytes": 10**12}  # so that what is used is counted


@asynccontextmanager
async def local(directory: Path) -> AsyncIterator[Backend]:
    """Open the local backend in a directory."""
    async with opened_backend(Settings(data_dir=directory, **COUNTED), model.now) as opened:
        yield opened


@asynccontextmanager
async def aws(account: Account) -> AsyncIterator[Backend]:
    """Open the aws backend on an emulator, as a user with the least policy."""
    settings = replace(account.settings, **COUNTED)
    async with opened_in(account.environment(), opened_backend(settings, model.now)) as opened:
        yield opened


@asynccontextmanager
async def s3(gateway: Gateway) -> AsyncIterator[Backend]:
    """Open SeaweedFS and SQLite."""
    with TemporaryDirectory() as directory:
        made = new_bucket(gateway.endpoint_url, gateway.key, Path(directory), **COUNTED)
        async with made as settings, opened_backend(settings, model.now) as opened:
            yield opened


# How each backend is opened, and the fixture that it is opened in.
BACKENDS: dict[str, tuple[Callable[[Any], AbstractAsyncContextManager[Backend]], str]] = {
    "local": (local, "session_directory"),
    "aws": (aws, "account"),
    "s3": (s3, "seaweedfs"),
    "ceph": (aws, "on_ceph"),
    "localstack": (aws, "on_localstack"),
}


@pytest.fixture(scope="session")
async def on_ceph(ceph: Gateway, emulator: Emulator) -> Account:
    """Return a bucket on Ceph, and tables on the emulator."""
    return await account_on(ceph, emulator)


@pytest.fixture(scope="session")
async def on_localstack(localstack: LocalStack, emulator: Emulator) -> Account:
    """Return a bucket on LocalStack, and tables on the emulator."""
    return await account_on(localstack, emulator)


@pytest.fixture(scope="session", params=BACKENDS)
def opening(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[Backend]:
    """Return each backend, ready to be opened."""
    opens, place = BACKENDS[request.param]
    return opens(request.getfixturevalue(place))


@pytest.fixture(scope="session")
async def backend(opening: AbstractAsyncContextManager[Backend]) -> AsyncIterator[Backend]:
    """Return an open backend. All tests share it, so they use ids and users of their own.

    Its two sides are paired at once: tests leave images without objects, and objects without records.
    """
    async with opening as opened:
        await Pairing(opened.objects, opened.records).join(force=True)
        yield opened


@pytest.fixture
def objects(backend: Backend) -> ObjectStore:
    """Return the object store."""
    return backend.objects


@pytest.fixture
def records(backend: Backend) -> ImageRepository:
    """Return the repository."""
    return backend.records
