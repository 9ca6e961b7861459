"""The total size of each user's images: one counter for each user, in the index table.

An image is published or deleted first and counted afterwards. If a process is killed in between, or DynamoDB does
not answer, the counter is wrong by that image until `reconcile` repairs it.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING
from zlib import crc32

from botocore.exceptions import ClientError

from service.domain.errors import Unavailable, explained

from .items import Attributes, Item, number, text
from .session import error_code, together, translated

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

logger = logging.getLogger(__name__)

_SHARDS = 8  # partitions, so that the writes of all users are spread
_SECONDS = 2  # the client waits, and what it asked for is done


class Usage:
    """The counters. They exist only if a quota is configured, because nothing else reads them."""

    def __init__(self, dynamodb: "DynamoDBClient", index_table: str, *, kept: bool) -> None:
        self._dynamodb, self._index_table, self._kept = dynamodb, index_table, kept

    async def of(self, user_id: str) -> int:
        """Return the total size of a user's images in bytes."""
        with translated():
            found = await self._dynamodb.get_item(
                TableName=self._index_table, Key=_key(user_id), ConsistentRead=True
            )
        return max(_bytes(found.get("Item", {})), 0)

    async def add_or_leave(self, user_id: str, size: int) -> None:
        """Add bytes to a counter, or subtract them. If this fails, leave the repair to reconcile."""
        if not self._kept:
            return
        try:
            async with asyncio.timeout(_SECONDS):
                # The SDK's retry of an addition that was done finds its own nonce, and adds nothing; unless another
                # addition came in between.
                another = "attribute_not_exists(#nonce) OR #nonce <> :nonce"
                await self._change(user_id, "ADD #bytes :bytes SET #nonce = :nonce", size, another, {})
        except (Unavailable, TimeoutError) as error:
            logger.warning("cannot update the usage of a user; reconcile will correct it: %s", explained(error))

    async def rows(self) -> Sequence[Item]:
        """Return all counters."""
        shards = await together(*(self._shard(n) for n in range(_SHARDS))) if self._kept else []
        return [row for rows in shards for row in rows]

    async def mend(self, rows: Sequence[Item], found: Counter[str], *, dry_run: bool) -> int:
        """Set the counters to the actual sizes, and return how many were wrong.

        Skip counters that have changed since their `rows` were read.
        """
        known = {row["position"]["S"]: row for row in rows}
        users = (known.keys() | found.keys()) if self._kept else set()
        wrong = [user for user in users if _bytes(known.get(user, {})) != found[user]]
        if not dry_run:
            for user in wrong:
                await self._set(user, found[user], known.get(user, {}))
        return len(wrong)

    async def _set(self, user_id: str, size: int, row: Item) -> None:
        condition, values = "attribute_not_exists(#nonce)", {}
        if "nonce" in row:
            condition, values = "#nonce = :seen", {":seen": dict(row["nonce"])}
        await self._change(user_id, "SET #bytes = :bytes, #nonce = :nonce", size, condition, values)

    async def _change(self, user_id: str, expression: str, size: int, condition: str, values: Attributes) -> None:
        nonce = {":nonce": text(secrets.token_hex(8))}
        with translated():
            try:
                await self._dynamodb.update_item(
                    TableName=self._index_table,
                    Key=_key(user_id),
                    UpdateExpression=expression,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={"#bytes": "bytes", "#nonce": "nonce"},
                    ExpressionAttributeValues={":bytes": number(size), **nonce, **values},
                )
            except ClientError as error:
                if error_code(error) != "ConditionalCheckFailedException":
                    raise

    async def _shard(self, shard: int) -> list[Item]:
        rows: list[Item] = []
        with translated():
            pages = self._dynamodb.get_paginator("query").paginate(
                TableName=self._index_table,
                KeyConditionExpression="#term = :term",
                ExpressionAttributeNames={"#term": "term"},
                ExpressionAttributeValues={":term": text(_term(shard))},
                ConsistentRead=True,
            )
            async for page in pages:
                rows += page["Items"]
        return rows


def is_counter(row: Item) -> bool:
    """Return whether a row of the index table is a counter."""
    return str(row["term"]["S"]).startswith(_term(""))


def _term(shard: int | str) -> str:
    return f"usage#{shard}"


def _key(user_id: str) -> Attributes:
    return {"term": text(_term(crc32(user_id.encode()) % _SHARDS)), "position": text(user_id)}


def _bytes(row: Item) -> int:
    return int(row["bytes"]["N"]) if "bytes" in row else 0
