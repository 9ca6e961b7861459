"""The only factory of AWS clients: one session, one long-lived client per service, one timeout and retry policy.

Each call returns or raises `Unavailable` within about 11 seconds (two attempts of 5), so that a request takes less
than 15.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError, ParamValidationError

from service.domain.errors import Unavailable
from service.settings import Settings, SettingsError

from . import refusals
from .parsing import ParserFactory
from .signing import Credentials

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_s3 import S3Client

T = TypeVar("T")

logger = logging.getLogger(__name__)

_CONNECT, _READ = 1, 5  # seconds
_ATTEMPTS = 2
_CONNECTIONS = 100  # to each service
_USUAL_REGION = "us-east-1"

# What a program of ours got wrong, rather than AWS, the network or whoever set things up; an index that is missing,
# or not ready yet, is the set-up's.
_OUR_FAULT = frozenset({"ValidationException", "SerializationException", "InvalidArgument", "MalformedXML"})
_NO_INDEX = ("specified index", "backfilling")


@dataclass(frozen=True)
class S3Access:
    """The S3 client and its credentials, for one process and one event loop."""

    s3: "S3Client"
    region: str
    endpoint: str | None  # as clients of the service reach it; None for AWS itself
    key: Credentials | None  # that of S3 alone; None for the session's credentials
    session: aioboto3.Session

    async def credentials(self) -> Credentials:
        """Return the current credentials, and refresh them if necessary. Raises Unavailable without any."""
        if self.key is not None:
            return self.key
        found = await self.session._session.get_credentials()  # noqa: SLF001 - the way to the async one
        if found is None:
            raise Unavailable("The server has no AWS credentials.", cause=refusals.NO_CREDENTIALS)
        with translated():
            frozen = await found.get_frozen_credentials()
        # Only refreshable credentials end; botocore tells when nowhere else.
        expires_at = getattr(found, "_expiry_time", None)
        return Credentials(frozen.access_key or "", frozen.secret_key or "", frozen.token, expires_at)


@dataclass(frozen=True)
class DynamoAccess:
    """The DynamoDB client, for one process and one event loop."""

    dynamodb: "DynamoDBClient"


@dataclass(frozen=True)
class Clients(S3Access, DynamoAccess):
    """The AWS clients, for one process and one event loop."""


class _Session(aioboto3.Session):
    """A session whose clients are as AWS describes them."""

    def _register_default_handlers(self) -> None:
        """Add no transfer managers, resources and the like: nobody uses them, and starting takes longer by them."""


def new_session() -> aioboto3.Session:
    """Return the session of all clients of a process. The SDK reads AWS_* itself. Raises SettingsError."""
    with _told():
        # The SDK for Python does not read AWS_REGION, which every other AWS SDK does.
        region = os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION")
        session = _Session(region_name=region or None)
        session._session.register_component("response_parser_factory", ParserFactory())  # noqa: SLF001
        return session


@asynccontextmanager
async def opened_s3(session: aioboto3.Session, settings: Settings) -> AsyncIterator[S3Access]:
    """Open the S3 client with the `settings` for S3, and otherwise with the configuration that the SDK finds.

    Raises SettingsError if the SDK's configuration is not usable: no Region, no credentials, an unknown profile ...
    """
    key_id, secret = settings.s3_access_key_id, settings.s3_secret_access_key
    key = Credentials(key_id, secret) if key_id else None
    async with AsyncExitStack() as stack:
        with _told():
            region = settings.s3_region or session.region_name
            made = session.client(
                "s3",
                # Of stores that are not AWS most take any Region, and this one is the default of most.
                region_name=region or _USUAL_REGION,
                endpoint_url=settings.s3_endpoint_url or None,
                aws_access_key_id=key_id or None,
                aws_secret_access_key=secret or None,
                config=_config(),
            )
            s3 = await stack.enter_async_context(made)
            on_aws = ".amazonaws.com" in s3.meta.endpoint_url
            if on_aws and not region:
                raise NoRegionError
            if key is None:
                await _check_credentials(session)
        _forget_keys(s3)
        public = settings.s3_public_endpoint_url or (None if on_aws else s3.meta.endpoint_url)
        yield S3Access(s3, s3.meta.region_name, public, key, session)


@asynccontextmanager
async def opened_dynamodb(session: aioboto3.Session) -> AsyncIterator[DynamoAccess]:
    """Open the DynamoDB client. Raises SettingsError like `opened_s3`."""
    async with AsyncExitStack() as stack:
        with _told():
            if not session.region_name:
                raise NoRegionError
            dynamodb = await stack.enter_async_context(session.client("dynamodb", config=_config()))
            await _check_credentials(session)
        yield DynamoAccess(dynamodb)


@asynccontextmanager
async def opened_clients(settings: Settings) -> AsyncIterator[Clients]:
    """Open both clients, and close them at the end. Raises SettingsError like `opened_s3`."""
    session = new_session()
    async with opened_dynamodb(session) as table, opened_s3(session, settings) as bucket:
        yield Clients(table.dynamodb, bucket.s3, bucket.region, bucket.endpoint, bucket.key, session)


@contextmanager
def _told() -> Iterator[None]:
    """Raise SettingsError if the SDK's configuration is not usable."""
    try:
        yield
    except SettingsError:
        raise
    except NoRegionError as error:
        raise SettingsError(refusals.NO_REGION) from error
    except (BotoCoreError, ValueError) as error:
        raise SettingsError(f"The AWS SDK reports: {error}") from error


async def _check_credentials(session: aioboto3.Session) -> None:
    if await session._session.get_credentials() is None:  # noqa: SLF001 - the way to the async one
        raise SettingsError(refusals.NO_CREDENTIALS)


def _forget_keys(s3: Any) -> None:
    """Let the SDK look for S3's endpoint without the object's key.

    No rule asks for it, but with it the SDK goes through all of its rules again for every new key, which is a fifth
    of a call's time.
    """
    s3._ruleset_resolver._param_definitions.pop("Key", None)  # noqa: SLF001 - there is no other way


def _config() -> AioConfig:
    return AioConfig(
        signature_version="s3v4",
        # The SDK's own takes a tenth of each call's time to put together.
        user_agent="pixdepot",
        # The bucket in the host on AWS, in the path at any other endpoint: stand-ins have no host per bucket.
        # What is sent to S3 has a digest among its signed headers, so the SDK need not read it all to sign it, too.
        s3={"addressing_style": "auto", "payload_signing_enabled": False},
        # What is sent is made here, typed and tested: looking through it again takes another tenth.
        parameter_validation=False,
        connect_timeout=_CONNECT,
        read_timeout=_READ,
        max_pool_connections=_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        # Newer defaults add checksums that some stores reject.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


async def together(*works: Awaitable[T]) -> list[T]:
    """Run all calls and return their results in order. Raises the first error, but only when all calls have ended.

    So no call is still running when the caller handles the error.
    """
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    for each in outcomes:
        if isinstance(each, BaseException):
            raise each
    return cast("list[T]", outcomes)


def error_code(error: ClientError) -> str:
    """Return the code of an SDK error: NoSuchKey, ConditionalCheckFailedException, ..."""
    return refusals.code(error)


@contextmanager
def translated() -> Iterator[None]:
    """Convert errors of AWS, the network or the configuration into Unavailable. Other errors pass through."""
    try:
        yield
    except ClientError as error:
        if error_code(error) in _OUR_FAULT and not any(words in str(error) for words in _NO_INDEX):
            raise
        logger.warning("%s: %s", error.operation_name, error_code(error))
        raise Unavailable("A backend rejected the server's request.", cause=refusals.explained(error)) from error
    except ParamValidationError:
        raise
    except RuntimeError as error:
        if "credentials are still expired" not in str(error):  # botocore has no error of its own for it
            raise
        raise Unavailable("The server's AWS credentials have expired.", cause="Renew them.") from error
    # While an answer streams in, they are aiohttp's own: the SDK is not in between.
    except (BotoCoreError, aiohttp.ClientError, EOFError, OSError, TimeoutError) as error:
        logger.warning("backend unavailable: %s", type(error).__name__)
        raise Unavailable("A backend is unavailable.", cause=refusals.explained(error)) from error
