"""The bucket and the tables that the aws backend needs: what is wanted of them, and how it is made so.

Each `Resource` says what is wanted, finds what is there in the same words, and makes it so. Making is repeatable,
and safe beside others that make the same: what fails because somebody else is at it is looked at again.

IAM actions: s3:CreateBucket, ListBucket, DeleteBucket, DeleteObject, and Get and Put of BucketPublicAccessBlock,
BucketCORS, LifecycleConfiguration and EncryptionConfiguration; dynamodb:CreateTable, UpdateTable, DescribeTable,
DeleteTable, Describe and UpdateTimeToLive, Describe and UpdateContinuousBackups.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from service.aws.refusals import refused
from service.aws.session import Clients, DynamoAccess, S3Access, error_code
from service.settings import Settings, SettingsError

from .bucket import BucketSetting, bucket_settings, forget_notes

logger = logging.getLogger(__name__)

_LOOK_AGAIN = 0.2  # seconds
# Somebody else is making or removing the same thing, or it is not quite there yet.
_IN_PROGRESS = frozenset(
    {
        "BucketAlreadyOwnedByYou",
        "ConcurrentModificationException",
        "ConflictException",
        "ContinuousBackupsUnavailableException",
        "EntityAlreadyExists",
        "LimitExceededException",
        "NoSuchBucket",
        "OperationAborted",
        "ResourceAlreadyExistsException",
        "ResourceConflictException",
        "ResourceInUseException",
        "ResourceNotFoundException",
        "TableNotFoundException",
        "TooManyRequestsException",
    }
)
# What finding answers when there is nothing to find.
_ABSENT = frozenset(
    {
        "404",
        "AWS.SimpleQueueService.NonExistentQueue",
        "NoSuchBucket",
        "NoSuchCORSConfiguration",
        "NoSuchEntity",
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "NotFound",
        "NotFoundException",
        "ResourceNotFoundException",
        "ServerSideEncryptionConfigurationNotFoundError",
        "TableNotFoundException",
    }
)


@dataclass(frozen=True, slots=True)
class NotReady:
    """What `find` returns for something that exists and does not work: why, and whether it `failed` for good."""

    reason: str
    failed: bool = False


class SetupFailed(Exception):
    """A resource was made, and AWS says that it failed."""


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that must be there. `find` answers in the words of `wanted`, with NotReady, or None.

    `prove` is asked whether what is as wanted also works. It, `find` and `make` may raise NotSupported.
    """

    name: str
    wanted: Any
    find: Callable[[], Awaitable[Any]]
    make: Callable[[], Awaitable[Any]]
    remove: Callable[[], Awaitable[Any]] | None = None  # what goes with another resource needs none
    patience: float = 60.0  # seconds
    prove: Callable[[], Awaitable[Any]] | None = None

    async def found(self) -> Any:
        """Return what is there, in the words of `wanted`; None where there is nothing."""
        try:
            return await self.find()
        except ClientError as error:
            if error_code(error) in _ABSENT:
                return None
            raise

    async def up(self) -> bool:
        """Make it as wanted; return whether anything had to be done. Repeatable.

        Raises ClientError for what the SDK refuses, SetupFailed for what was made and failed, NotSupported where
        the store does not have it, and TimeoutError, with the last refusal or what is there, when patience ends.
        """
        made, wait = False, _Wait()
        async with self._patiently("as wanted", wait):
            while (there := await self.found()) != self.wanted:
                wait.saw(there)
                if made:
                    await asyncio.sleep(_LOOK_AGAIN)
                    if self._is_getting_ready(there):
                        continue
                made = True
                try:
                    await self.make()
                except ClientError as error:
                    wait.was_refused(error)
            if self.prove:
                await self.prove()
        return made

    def _is_getting_ready(self, there: Any) -> bool:
        """Return whether what was just made only needs time. Raises SetupFailed where it has failed."""
        if isinstance(there, NotReady) and there.failed:
            raise SetupFailed(f"The {self.name} failed: {there.reason}")
        return isinstance(there, NotReady)

    async def down(self) -> None:
        """Remove it. Repeatable."""
        if self.remove is None:
            return
        wait = _Wait()
        async with self._patiently("gone", wait):
            while await self.found() is not None:
                try:
                    await self.remove()
                except ClientError as error:
                    if error_code(error) not in _ABSENT:
                        wait.was_refused(error)
                await asyncio.sleep(_LOOK_AGAIN)

    @asynccontextmanager
    async def _patiently(self, state: str, wait: "_Wait") -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.patience):
                yield
        except TimeoutError:
            message = f"The {self.name} is not {state} after {self.patience:g} seconds. {wait.why}".rstrip()
            raise TimeoutError(message) from wait.refusal


@dataclass(slots=True)
class _Wait:
    """What came up while something was waited for: the last refusal, and what was there last."""

    refusal: ClientError | None = None
    there: Any = None

    def was_refused(self, error: ClientError) -> None:
        """Keep a refusal that may pass. Raises any other."""
        if not _passing(error):
            raise error
        self.refusal = error

    def saw(self, there: Any) -> None:
        """Keep what was there."""
        self.there = there

    @property
    def why(self) -> str:
        """Return what is known of the reason, as sentences."""
        said = []
        if isinstance(self.there, NotReady):
            said.append(f"It is not ready: {self.there.reason}")
        if self.refusal:
            said.append(f"The last response was: {self.refusal}")
        return " ".join(said)


# Codes that mean many things, but from these operations and with this word: it is as wanted already, or what it
# stands on is not known everywhere yet (a role, a permission).
_PASSING = {
    "UpdateTimeToLive": ("ValidationException", ""),
    "CreateFunction": ("InvalidParameterValueException", "role"),
    "UpdateFunctionConfiguration": ("InvalidParameterValueException", "role"),
    "PutBucketNotificationConfiguration": ("InvalidArgument", "destination"),
}


def _passing(error: ClientError) -> bool:
    code, word = _PASSING.get(error.operation_name, ("", ""))
    return error_code(error) in _IN_PROGRESS or (error_code(error) == code and word in str(error))


def resources(clients: Clients, settings: Settings) -> list[Resource]:
    """Return everything the aws backend needs, in the order in which it is made."""
    return [*bucket_resources(clients, settings), *table_resources(clients, settings)]


def bucket_resources(clients: S3Access, settings: Settings) -> list[Resource]:
    """Return what storage in S3 needs."""
    return _bucket(clients.s3, clients.region, settings)


def table_resources(clients: DynamoAccess, settings: Settings) -> list[Resource]:
    """Return what a database in DynamoDB needs."""
    image_keys = [("image_id", "HASH")]
    indexes = {
        "user-id-index": [("user_id", "HASH", "S"), ("created_at", "RANGE", "S")],
        "feed-index": [("feed", "HASH", "S"), ("created_at", "RANGE", "S")],
        "deadline-index": [("due", "HASH", "S"), ("deadline", "RANGE", "N")],
    }
    return [
        *_table(clients.dynamodb, settings.table, image_keys, indexes),
        *_table(clients.dynamodb, settings.index_table, [("term", "HASH"), ("position", "RANGE")], {}),
    ]


# ---------------------------------------------------------------- the bucket


def _bucket(s3: Any, region: str, settings: Settings) -> list[Resource]:
    bucket, on_aws = settings.bucket, ".amazonaws.com" in s3.meta.endpoint_url
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}

    async def exists() -> bool:
        # By a GET, since the answer to a HEAD says nothing but a status: no code, no message, no Region.
        try:
            await s3.list_objects_v2(Bucket=bucket, MaxKeys=1)
        except ClientError as error:
            if error_code(error) != "AccessDenied":
                raise
            raise SettingsError(
                f"{refused(error)} The bucket {bucket} belongs to another account, or the credentials lack the "
                "permission s3:ListBucket: set another name with PIXDEPOT_BUCKET, or add the permission."
            ) from error
        return True

    async def empty_and_remove() -> None:
        async for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            keys = [each["Key"] for each in page.get("Contents", [])]
            await asyncio.gather(*(s3.delete_object(Bucket=bucket, Key=key) for key in keys))
        await s3.delete_bucket(Bucket=bucket)

    def resource(setting: BucketSetting) -> Resource:
        name = f"bucket's {setting.name}"
        if on_aws:
            return Resource(name, setting.wanted, setting.get, setting.put)
        return Resource(name, setting.wanted, setting.find, setting.make, prove=setting.prove)

    return [
        Resource(
            f"bucket {bucket}", True, exists, lambda: s3.create_bucket(Bucket=bucket, **where), empty_and_remove,
            prove=None if on_aws else lambda: forget_notes(s3, bucket),
        ),
        *map(resource, bucket_settings(s3, settings)),
    ]  # fmt: skip


# ---------------------------------------------------------------- the tables


def _table(
    dynamodb: Any, table: str, keys: list[tuple[str, str]], indexes: dict[str, list[tuple[str, str, str]]]
) -> list[Resource]:
    async def described() -> dict[str, Any]:
        found: dict[str, Any] = (await dynamodb.describe_table(TableName=table))["Table"]
        return found

    async def found_keys() -> Any:
        found = await described()
        if found["TableStatus"] != "ACTIVE":
            return NotReady(f"the table is {found['TableStatus']}")
        return [(each["AttributeName"], each["KeyType"]) for each in found["KeySchema"]]

    async def create() -> None:
        # With all its indexes at once: each that is added later takes a pass over the table.
        attributes = {name: "S" for name, _ in keys}
        attributes |= {name: kind for columns in indexes.values() for name, _, kind in columns}
        with_indexes = {"GlobalSecondaryIndexes": [_index(*each) for each in indexes.items()]} if indexes else {}
        await dynamodb.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=_key_schema(keys),
            AttributeDefinitions=_definitions(attributes),
            **with_indexes,
        )

    return [
        Resource(f"table {table}", keys, found_keys, create, lambda: dynamodb.delete_table(TableName=table)),
        *(_index_resource(dynamodb, table, name, columns, described) for name, columns in indexes.items()),
        _time_to_live(dynamodb, table),
        _recovery(dynamodb, table),
    ]


def _index_resource(
    dynamodb: Any,
    table: str,
    name: str,
    columns: list[tuple[str, str, str]],
    described: Callable[[], Awaitable[dict[str, Any]]],
) -> Resource:
    async def find() -> Any:
        for each in (await described()).get("GlobalSecondaryIndexes", []):
            if each["IndexName"] == name:
                if each.get("IndexStatus", "ACTIVE") != "ACTIVE":
                    return NotReady(f"the index is {each['IndexStatus']}")
                return [(key["AttributeName"], key["KeyType"]) for key in each["KeySchema"]]
        return None

    async def make() -> None:
        await dynamodb.update_table(
            TableName=table,
            AttributeDefinitions=_definitions({column: kind for column, _, kind in columns}),
            GlobalSecondaryIndexUpdates=[{"Create": _index(name, columns)}],
        )

    # In a table that is there already, AWS takes minutes to make an index.
    wanted = [(column, role) for column, role, _ in columns]
    return Resource(f"table {table}'s index {name}", wanted, find, make, patience=900)


def _time_to_live(dynamodb: Any, table: str) -> Resource:
    wanted = {"AttributeName": "expires", "Enabled": True}

    async def find() -> Any:
        found = (await dynamodb.describe_time_to_live(TableName=table))["TimeToLiveDescription"]
        enabled = found["TimeToLiveStatus"] in {"ENABLED", "ENABLING"}
        return {"AttributeName": found.get("AttributeName"), "Enabled": True} if enabled else None

    return Resource(
        f"table {table}'s time to live", wanted, find,
        lambda: dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=wanted),
    )  # fmt: skip


def _recovery(dynamodb: Any, table: str) -> Resource:
    async def find() -> Any:
        found = (await dynamodb.describe_continuous_backups(TableName=table))["ContinuousBackupsDescription"]
        return found.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")

    return Resource(
        f"table {table}'s point-in-time recovery", "ENABLED", find,
        lambda: dynamodb.update_continuous_backups(
            TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        ),
    )  # fmt: skip


def _index(name: str, columns: list[tuple[str, str, str]]) -> dict[str, Any]:
    keys = [(column, role) for column, role, _ in columns]
    # Lists answer from their index alone; what is due is decided on the records.
    kind = "KEYS_ONLY" if name == "deadline-index" else "ALL"
    return {"IndexName": name, "KeySchema": _key_schema(keys), "Projection": {"ProjectionType": kind}}


def _key_schema(keys: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": role} for name, role in keys]


def _definitions(attributes: dict[str, str]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in attributes.items()]
