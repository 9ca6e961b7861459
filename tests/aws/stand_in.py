"""The aws backend on a stand-in of this machine: settings, keys, and an environment for the SDK to read."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bootstrap.commands import up
from bootstrap.emulator import AccessKey, Emulator
from bootstrap.policy import service_policy
from service.settings import Settings
from tests.servers.localstack import LocalStack
from tests.servers.rgw import Gateway

T = TypeVar("T")


@dataclass(frozen=True)
class Account:
    """A bucket and tables of one's own on an emulator, and a key that may do what the service needs and no more."""

    emulator: Emulator
    settings: Settings
    key: AccessKey
    s3: str = ""  # the endpoint of another S3, which knows the key, too

    @contextmanager
    def environment(self, endpoint_url: str | None = None, **endpoint_urls: str) -> Iterator[None]:
        """Let the SDK find this account for the length of the block, at another endpoint if one is given.

        `s3` and `dynamodb` may have endpoints of their own.
        """
        elsewhere = {"s3": self.s3} if self.s3 else {}
        with sdk_environment(endpoint_url or self.emulator.endpoint_url, self.key, **elsewhere | endpoint_urls):
            yield


@contextmanager
def sdk_environment(endpoint_url: str, key: AccessKey, **endpoint_urls: str) -> Iterator[None]:
    """Set what the SDK reads, for the length of the block."""
    before = dict(os.environ)
    os.environ |= {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": key.access_key,
        "AWS_SECRET_ACCESS_KEY": key.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        **{f"AWS_ENDPOINT_URL_{service.upper()}": url for service, url in endpoint_urls.items()},
    }
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@asynccontextmanager
async def opened_in(
    environment: AbstractContextManager[None], opening: AbstractAsyncContextManager[T]
) -> AsyncIterator[T]:
    """Open something in an environment that ends before the block: the SDK reads it when clients are made."""
    async with AsyncExitStack() as stack:
        with environment:
            opened = await stack.enter_async_context(opening)
        yield opened


def new_settings(**settings: Any) -> Settings:
    """Return settings with a bucket and tables that nobody else has."""
    name = f"pixdepot-{secrets.token_hex(6)}"
    return Settings(backend="aws", bucket=name, table=f"{name}-images", index_table=f"{name}-index", **settings)


@asynccontextmanager
async def new_bucket(
    endpoint_url: str, owner: AccessKey, data_dir: Path, **settings: Any
) -> AsyncIterator[Settings]:
    """Make a bucket for storage in an S3 beside SQLite; the settings say all of it, and the SDK's nothing."""
    key = {"s3_access_key_id": owner.access_key, "s3_secret_access_key": owner.secret_key}
    chosen = {"storage": "s3", "bucket": f"pixdepot-{secrets.token_hex(6)}", "s3_endpoint_url": endpoint_url}
    made = Settings(**{"data_dir": data_dir, **chosen, **key, **settings})
    await up(made)
    yield made


@asynccontextmanager
async def new_account(emulator: Emulator, **settings: Any) -> AsyncIterator[Account]:
    """Bootstrap a bucket and tables with names of their own, and make a user with the service's least policy."""
    chosen = new_settings(**settings)
    with sdk_environment(emulator.endpoint_url, emulator.root):
        await up(chosen)
    key = await emulator.create_user(service_policy(chosen))
    yield Account(emulator, chosen, key)


async def account_on(gateway: Gateway | LocalStack, emulator: Emulator, **settings: Any) -> Account:
    """Bootstrap a bucket of its own on another S3, with tables on the emulator, which takes the same key."""
    account = Account(emulator, new_settings(**settings), gateway.key, gateway.endpoint_url)
    with account.environment():
        await up(account.settings)
    return account
