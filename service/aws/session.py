"""The one client factory: one session, one long-lived client per AWS service, one policy for time and retries.

Every call of the backend has an answer, or `Unavailable`, in about 11 seconds (two attempts of 5), so that a
request stays below 15.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import aioboto3
import aiohttp
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from service.errors import Unavailable
from service.settings import Settings, SettingsError

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

# What a program of ours got wrong, rather than AWS, the network or whoever set things up; an index that is missing,
# or not ready yet, is the set-up's.
_OUR_FAULT = frozenset({"ValidationException", "SerializationException", "InvalidArgument", "MalformedXML"})
_NO_INDEX = ("specified index", "backfilling")


@dataclass(frozen=True, slots=True)
class Clients:
    """Everything that speaks to AWS, for one process and one event loop."""

    s3: "S3Client"
    dynamodb: "DynamoDBClient"
    region: str
    endpoint: str | None  # S3's as clients of the service reach it; None for AWS itself
    session: aioboto3.Session

    async def credentials(self) -> Credentials:
        """Return the credentials as they are now, refreshed when it is time. Raises Unavailable without any."""
        found = await self.session._session.get_credentials()  # noqa: SLF001 - the way to the async one
        if found is None:
            raise Unavailable("There are no AWS credentials.")
        with translated():
            frozen = await found.get_frozen_credentials()
        # Only refreshable credentials end; botocore tells when nowhere else.
        expires_at = getattr(found, "_expiry_time", None)
        return Credentials(frozen.access_key or "", frozen.secret_key or "", frozen.token, expires_at)


class _Session(aioboto3.Session):
    """A session whose clients are as AWS describes them."""

    def _register_default_handlers(self) -> None:
        """Add no transfer managers, resources and the like: nobody uses them, and starting takes longer by them."""


@asynccontextmanager
async def opened_clients(settings: Settings) -> AsyncIterator[Clients]:
    """Open the clients, and close them at the end. The SDK reads AWS_* itself, AWS_ENDPOINT_URL among them.

    Raises SettingsError when it cannot do with what it found there: no Region, an unknown profile ...
    """
    async with AsyncExitStack() as stack:
        try:
            session = _Session()
            session._session.register_component("response_parser_factory", ParserFactory())  # noqa: SLF001
            dynamodb = await stack.enter_async_context(session.client("dynamodb", config=_config()))
            s3 = await stack.enter_async_context(session.client("s3", config=_config()))
        except (BotoCoreError, ValueError) as error:
            raise SettingsError(f"The AWS SDK says: {error}") from error
        _forget_keys(s3)
        custom = None if ".amazonaws.com" in s3.meta.endpoint_url else s3.meta.endpoint_url
        yield Clients(s3, dynamodb, s3.meta.region_name, settings.s3_public_endpoint_url or custom, session)


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
    """Return all results, in order. Raises what the first that failed raised, but only when all have ended.

    So no call goes on behind the back of whoever asked for it, and undoes what was done about the failure.
    """
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    for each in outcomes:
        if isinstance(each, BaseException):
            raise each
    return cast("list[T]", outcomes)


def error_code(error: ClientError) -> str:
    """Return what the SDK's error calls itself: NoSuchKey, ConditionalCheckFailedException, ..."""
    details: dict[str, Any] = dict(error.response.get("Error", {}))
    return str(details.get("Code", ""))


@contextmanager
def translated() -> Iterator[None]:
    """Turn what AWS, the network or the set-up got wrong into Unavailable; let everything else through."""
    try:
        yield
    except ClientError as error:
        if error_code(error) in _OUR_FAULT and not any(words in str(error) for words in _NO_INDEX):
            raise
        logger.warning("%s: %s", error.operation_name, error_code(error))
        raise Unavailable("A backend refused the service.") from error
    except ParamValidationError:
        raise
    except RuntimeError as error:
        if "credentials are still expired" not in str(error):  # botocore has no error of its own for it
            raise
        raise Unavailable("The AWS credentials have expired.") from error
    # While an answer streams in, they are aiohttp's own: the SDK is not in between.
    except (BotoCoreError, aiohttp.ClientError, EOFError, OSError, TimeoutError) as error:
        logger.warning("a backend does not answer: %s", type(error).__name__)
        raise Unavailable("A backend does not answer.") from error
