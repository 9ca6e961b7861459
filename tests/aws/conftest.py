"""S3s to send things to: the emulator, LocalStack, and two that nobody wrote for tests, Ceph and SeaweedFS."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import aiohttp
import pytest

from bootstrap.emulator import AccessKey
from service.aws.s3 import S3ObjectStore
from service.aws.session import Clients, opened_clients
from service.settings import Settings
from tests.api.client import ApiClient, over_http
from tests.aws.stand_in import Account, opened_in, sdk_environment
from tests.servers.localstack import LocalStack
from tests.servers.rgw import Gateway


@dataclass(frozen=True)
class Storage:
    """An S3, a key to it, a bucket there, and what it does not check as S3 does."""

    endpoint_url: str
    key: AccessKey
    bucket: str
    checks_forms: bool = True  # the policy and the signature of a POST
    refuses_unsigned: bool = True

    def environment(self) -> AbstractContextManager[None]:
        """Let the SDK find it."""
        return sdk_environment(self.endpoint_url, self.key)


@pytest.fixture(scope="session")
async def ministack(account: Account) -> Storage:
    """Return the emulator's S3, for a user with the least policy."""
    return Storage(account.emulator.endpoint_url, account.key, account.settings.bucket)


@pytest.fixture(scope="session")
async def on_ceph(ceph: Gateway) -> Storage:
    """Return Ceph's gateway with a bucket."""
    return await with_bucket(ceph)


@pytest.fixture(scope="session")
async def on_seaweedfs(seaweedfs: Gateway) -> Storage:
    """Return SeaweedFS with a bucket."""
    return await with_bucket(seaweedfs)


@pytest.fixture(scope="session")
async def on_localstack(localstack: LocalStack) -> Storage:
    """Return LocalStack's S3 with a bucket."""
    return await with_bucket(localstack, checks_forms=False, refuses_unsigned=False)


async def with_bucket(gateway: Gateway | LocalStack, **checks: bool) -> Storage:
    """Return a bucket of its own at a gateway."""
    storage = Storage(gateway.endpoint_url, gateway.key, f"pixdepot-{secrets.token_hex(6)}", **checks)
    async with opened_in(storage.environment(), opened_clients(Settings())) as clients:
        await clients.s3.create_bucket(Bucket=storage.bucket)
    return storage


STORES = {
    "ministack": "ministack",
    "ceph": "on_ceph",
    "seaweedfs": "on_seaweedfs",
    "localstack": "on_localstack",
}


@pytest.fixture(scope="session", params=STORES)
def storage(request: pytest.FixtureRequest) -> Storage:
    """Return each S3."""
    found: Storage = request.getfixturevalue(STORES[request.param])
    return found


@pytest.fixture(scope="session")
async def clients(storage: Storage) -> AsyncIterator[Clients]:
    """Return the service's own clients of each S3."""
    async with opened_in(storage.environment(), opened_clients(Settings())) as opened:
        yield opened


@pytest.fixture(scope="session")
async def objects(clients: Clients, storage: Storage) -> S3ObjectStore:
    """Return the object store in each S3. Tests share it, so they use keys of their own."""
    return S3ObjectStore(clients, storage.bucket)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[ApiClient]:
    """Return what follows links, to wherever they lead."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield ApiClient("", over_http(session))


@pytest.fixture
def user() -> str:
    """Return a user whom no other test knows."""
    return f"user-{secrets.token_hex(8)}"
