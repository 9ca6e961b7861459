"""The rows of the index table. Uploads write them, edits update them, and deletes remove them."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from service.domain.errors import Unavailable, explained
from service.domain.model import Details, Image
from service.domain.search import terms

from .items import Attributes, posting, stamp, text
from .lists import BATCH_TRIES
from .session import error_code, together, translated

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

logger = logging.getLogger(__name__)

_WRITES = 25  # what one batch may have


class Postings:
    """The images' rows in the index table: one for each tag and for each n-gram of the title."""

    def __init__(self, dynamodb: "DynamoDBClient", index_table: str) -> None:
        self._dynamodb, self._index_table = dynamodb, index_table

    async def add(self, image_id: str, created_at: datetime, details: Details, revised_at: datetime) -> None:
        """Write the rows of this metadata, last edited at `revised_at`. Safe to retry."""
        rows = [posting(image_id, created_at, details, term, revised_at) for term in terms(details)]
        await self._write([{"PutRequest": {"Item": row}} for row in rows])

    async def remove(self, image_id: str, created_at: datetime, details: Details) -> None:
        """Delete the rows of a deleted image. Safe to retry."""
        keys = [_key(image_id, created_at, term) for term in terms(details)]
        await self._write([{"DeleteRequest": {"Key": key}} for key in keys])

    async def remove_or_leave(self, image_id: str, created_at: datetime, details: Details) -> None:
        """Delete an image's rows, or leave them to sweep if that fails, because lists ignore stale rows."""
        try:
            async with asyncio.timeout(2):
                await self.remove(image_id, created_at, details)
        except (Unavailable, TimeoutError) as error:
            logger.warning("cannot delete index rows; sweep will retry: %s", explained(error))

    async def remove_stale(self, edited: Image, before: Details) -> None:
        """Delete the rows that an edit made stale, unless a later edit has written them again."""
        gone = set(terms(before)) - set(terms(edited.details))
        keys = [_key(edited.image_id, edited.created_at, term) for term in gone]
        await together(*(self.remove_older(key, stamp(edited.updated_at)) for key in keys))

    async def remove_older(self, key: Attributes, revised_at: str) -> bool:
        """Delete a row unless it was written for metadata edited at `revised_at` or later."""
        with translated():
            try:
                await self._dynamodb.delete_item(
                    TableName=self._index_table,
                    Key=key,
                    ConditionExpression="attribute_not_exists(#at) OR #at < :at",
                    ExpressionAttributeNames={"#at": "revised_at"},
                    ExpressionAttributeValues={":at": text(revised_at)},
                )
            except ClientError as error:
                if error_code(error) != "ConditionalCheckFailedException":
                    raise
                return False
        return True

    async def _write(self, requests: Sequence[Any]) -> None:
        batches = (requests[n : n + _WRITES] for n in range(0, len(requests), _WRITES))
        await together(*map(self._write_batch, batches))

    async def _write_batch(self, requests: Sequence[Any]) -> None:
        left: Any = {self._index_table: requests}
        for attempt in range(BATCH_TRIES):
            with translated():
                done = await self._dynamodb.batch_write_item(RequestItems=left)
            left = done.get("UnprocessedItems")
            if not left:
                return
            await asyncio.sleep(0.05 * 2**attempt)
        raise Unavailable("The list index is overloaded; retry later.")


def _key(image_id: str, created_at: datetime, term: str) -> Attributes:
    return {"term": text(term), "position": text(f"{stamp(created_at)}#{image_id}")}
