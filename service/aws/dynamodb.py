"""The image repository in DynamoDB: the table of the original service, and an index table for lists.

Each transition is one UpdateItem with a condition on the state that it starts from; see `records`.

IAM actions: dynamodb:GetItem, PutItem, UpdateItem, DeleteItem, Query, BatchGetItem and BatchWriteItem on the two
tables, and Query on the first one's indexes.
"""

import logging
import secrets
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from service.domain.model import (
    CLAIM_LIFE,
    Adopt,
    Claim,
    Failure,
    Image,
    ImageQuery,
    Mended,
    Page,
    Position,
    Reindexed,
    State,
    Upload,
)

from .items import (
    DUE_SHARDS,
    Attributes,
    Item,
    claim_item,
    details_attributes,
    due,
    from_ms,
    image_attributes,
    milliseconds,
    number,
    read_claim,
    read_image,
    read_upload,
    stamp,
    text,
    upload_item,
    variants_attributes,
)
from .lists import ImageLists
from .postings import Postings
from .records import FAILED_CONDITION, FORGOTTEN, Records
from .session import DynamoAccess, error_code, together, translated
from .upkeep import Upkeep
from .usage import Usage

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

logger = logging.getLogger(__name__)

_IDENTITY: Attributes = {"term": text("secret"), "position": text("depot")}  # the row of the depot's ID
_TOMBSTONE_LIFE = timedelta(days=30)  # beyond its deadline; then DynamoDB removes what no sweep ever did


class DynamoRepository:
    """`ImageRepository` on DynamoDB. Any number of processes may share the tables."""

    def __init__(
        self, clients: DynamoAccess, table: str, index_table: str, read_budget: int, *, counts_usage: bool = False
    ) -> None:
        self._dynamodb: DynamoDBClient = clients.dynamodb
        self._table, self._index_table = table, index_table
        self._records = Records(clients.dynamodb, table)
        self._lists = ImageLists(clients.dynamodb, table, index_table, read_budget)
        self._postings = Postings(clients.dynamodb, index_table)
        self._usage = Usage(clients.dynamodb, index_table, kept=counts_usage)
        self._upkeep = Upkeep(clients.dynamodb, table, index_table, self._postings, self._usage)
        self._secret: bytes | None = None

    async def secret(self) -> bytes:
        """See `ImageRepository`. The secret is a row of the index table, under a term that no image has."""
        if self._secret is None:
            self._secret = await self._shared_secret()
        return self._secret

    async def _shared_secret(self) -> bytes:
        key = {"term": text("secret"), "position": text("cursor")}
        row: Attributes = {**key, "value": {"B": secrets.token_bytes(32)}}
        with translated():
            try:
                await self._dynamodb.put_item(
                    TableName=self._index_table,
                    Item=row,
                    ConditionExpression="attribute_not_exists(#term)",
                    ExpressionAttributeNames={"#term": "term"},
                )
            except ClientError as error:
                if error_code(error) != FAILED_CONDITION:
                    raise
            found = await self._dynamodb.get_item(TableName=self._index_table, Key=key, ConsistentRead=True)
        return bytes(found["Item"]["value"]["B"])

    async def identity(self) -> str | None:
        """See `ImageRepository`. The ID is a row of the index table, under the same term as the secret."""
        with translated():
            found = await self._dynamodb.get_item(TableName=self._index_table, Key=_IDENTITY, ConsistentRead=True)
        return found["Item"]["value"]["S"] if "Item" in found else None

    async def identify(self, identity: str, *, replacing: str | None = None) -> str:
        """See `ImageRepository`."""
        with translated():
            try:
                await self._dynamodb.put_item(
                    TableName=self._index_table,
                    Item={**_IDENTITY, "value": text(identity)},
                    ConditionExpression="attribute_not_exists(#term) OR #value = :replacing",
                    ExpressionAttributeNames={"#term": "term", "#value": "value"},
                    ExpressionAttributeValues={":replacing": text(replacing or identity)},
                )
            except ClientError as error:
                if error_code(error) != FAILED_CONDITION:
                    raise
        return await self.identity() or identity

    async def claim(self, claim: Claim) -> Claim:
        """See `ImageRepository`. Its image_id is its nonce, by which a retry recognizes its own claim."""
        with translated():
            try:
                await self._dynamodb.put_item(
                    TableName=self._index_table,
                    Item=claim_item(claim),
                    # DynamoDB removes expired rows only days later.
                    ConditionExpression="attribute_not_exists(#term) OR #created_at <= :expired",
                    ExpressionAttributeNames={"#term": "term", "#created_at": "created_at"},
                    ExpressionAttributeValues={":expired": number(milliseconds(claim.created_at - CLAIM_LIFE))},
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
            except ClientError as error:
                if error_code(error) != FAILED_CONDITION:
                    raise
                found: Any = error.response
                return read_claim(found["Item"])
        return claim

    async def begin(self, upload: Upload) -> None:
        """See `ImageRepository`."""
        # With this condition, a first attempt that arrives after its retry does not revert later changes.
        with translated():
            try:
                await self._dynamodb.put_item(
                    TableName=self._table,
                    Item=upload_item(upload),
                    ConditionExpression="attribute_not_exists(image_id)",
                )
            except ClientError as error:
                if error_code(error) != FAILED_CONDITION:
                    raise

    async def prepare(self, upload: Upload) -> None:
        """See `ImageRepository`."""
        await self._postings.add(upload.image_id, upload.created_at, upload.details, upload.created_at)

    async def upload(self, image_id: str) -> Upload | None:
        """See `ImageRepository`."""
        item = await self._records.item(image_id)
        return read_upload(item) if item else None

    async def image(self, image_id: str) -> Image | None:
        """See `ImageRepository`."""
        item = await self._records.item(image_id)
        return read_image(item) if item and _state(item) is State.READY else None

    async def extend(self, image_id: str, expires_at: datetime) -> Upload | None:
        """See `ImageRepository`."""
        upload = await self._pending(image_id)
        if upload is None or upload.expires_at >= expires_at:
            return upload
        extended = replace(upload, expires_at=expires_at)
        changes = {"expires_at": number(milliseconds(expires_at)), **due(image_id, extended.deadline)}
        later: tuple[str, Attributes] = ("#expires_at < :expires_at", {})
        if await self._records.transition("extend", image_id, {State.PENDING}, changes, later):
            return extended
        return await self._pending(image_id)  # moved as far by another, or no longer pending

    async def _pending(self, image_id: str) -> Upload | None:
        item = await self._records.item(image_id)
        return read_upload(item) if item and _state(item) is State.PENDING else None

    async def publish(self, image: Image, *, settled: bool) -> Image | None:
        """See `ImageRepository`. The object's key is the nonce, because it is unique for each attempt."""
        changes: dict[str, Any] = {
            "state": text(State.READY),
            **image_attributes(image),
            **(_NEVER_DUE if settled else {}),
        }
        if await self._records.transition("publish", image.image_id, {State.PENDING}, changes):
            await self._usage.add_or_leave(image.details.user_id, image.content.file_size)
            return image
        return await self.image(image.image_id)

    async def fail(self, image_id: str, failure: Failure) -> bool:
        """See `ImageRepository`."""
        changes = {
            "state": text(State.FAILED),
            "failure_code": text(failure.code),
            "failure_detail": text(failure.detail),
        }
        return await self._records.transition("fail", image_id, {State.PENDING}, changes)

    async def edit(self, image: Image, *, seen: Image) -> bool:
        """See `ImageRepository`. Write new index rows before, and delete stale ones after: lists check each row."""
        await self._postings.add(image.image_id, image.created_at, image.details, image.updated_at)
        changes = {**details_attributes(image.details), "updated_at": text(stamp(image.updated_at))}
        unchanged = "#updated_at = :seen", {":seen": text(stamp(seen.updated_at))}
        if not await self._records.transition("edit", image.image_id, {State.READY}, changes, unchanged):
            if await self.image(image.image_id) is None:
                await self._postings.remove_or_leave(image.image_id, image.created_at, image.details)
            return False
        await self._postings.remove_stale(image, seen.details)
        return True

    async def exchange_variants(self, image: Image, *, seen: Image, deadline: datetime) -> bool:
        """See `ImageRepository`."""
        item = await self._records.item(image.image_id)
        if not item or _state(item) is not State.READY or read_image(item).variants != seen.variants:
            return False
        # As it was just now, word by word; an item from before there were variants has none.
        was = ("#variants = :was", {":was": dict(item["variants"])}) if "variants" in item else _NO_VARIANTS
        changes = {**variants_attributes(image), **due(image.image_id, _latest(item, deadline))}
        return await self._records.transition("exchange_variants", image.image_id, {State.READY}, changes, was)

    async def schedule_sweep(self, image_id: str, deadline: datetime) -> bool:
        """See `ImageRepository`."""
        item = await self._records.item(image_id)
        changes = due(image_id, _latest(item or {}, deadline))
        return await self._records.transition("schedule_sweep", image_id, {State.READY}, changes)

    async def retire(
        self, image_id: str, states: Collection[State], deadline: datetime, *, due: datetime | None = None
    ) -> bool:
        """See `ImageRepository`."""
        item = await self._records.item(image_id)
        if not item or _state(item) not in states:
            return False
        deadline = _latest(item, deadline)
        came_due = ("#deadline <= :moment", {":moment": number(milliseconds(due))}) if due else None
        changes = {
            "state": text(State.DELETED),
            "user_id": None,
            "feed": None,
            "created_at": None,
            # Keep the ID of a published image permanently.
            **({} if _was_published(item) else {"expires": number(_expiry(deadline))}),
            **_due(image_id, deadline),
        }
        if not await self._records.transition("retire", image_id, states, changes, came_due):
            return False
        upload = read_upload(item)
        size = read_image(item).content.file_size if _state(item) is State.READY else 0
        await together(
            self._postings.remove_or_leave(image_id, upload.created_at, upload.details),
            *([self._usage.add_or_leave(upload.details.user_id, -size)] if size else []),
        )
        return True

    async def find(self, query: ImageQuery, after: Position | None, limit: int) -> Page:
        """See `ImageRepository`."""
        return await self._lists.find(query, after, limit)

    async def usage(self, user_id: str) -> int:
        """See `ImageRepository`. The counters exist only while a quota is configured."""
        return await self._usage.of(user_id)

    async def mend_lists(self, newer_than: datetime, *, dry_run: bool) -> Mended:
        """See `ImageRepository`."""
        return await self._upkeep.repair(newer_than, dry_run=dry_run)

    def reindex(self, adopt: Adopt) -> AsyncIterator[Reindexed]:
        """See `ImageRepository`."""
        return self._upkeep.reindex(adopt)

    async def due(self, now: datetime, limit: int) -> Sequence[Upload]:
        """See `ImageRepository`."""
        shards = (self._due(f"due#{n}", now, limit) for n in range(DUE_SHARDS))
        found = [item for items in await together(*shards) for item in items]
        found.sort(key=lambda item: int(item["deadline"]["N"]))
        # The index is eventually consistent and has only keys, so decide by the records.
        items = await together(*(self._records.item(each["image_id"]["S"]) for each in found[:limit]))
        return [read_upload(item) for item in items if item and _is_due(item, now)]

    async def _due(self, shard: str, now: datetime, limit: int) -> Sequence[Item]:
        with translated():
            found = await self._dynamodb.query(
                TableName=self._table,
                IndexName="deadline-index",
                KeyConditionExpression="#due = :shard AND #deadline <= :now",
                ExpressionAttributeNames={"#due": "due", "#deadline": "deadline"},
                ExpressionAttributeValues={":shard": text(shard), ":now": number(milliseconds(now))},
                Limit=limit,
            )
        return found["Items"]

    async def settle(self, image_id: str, now: datetime) -> None:
        """See `ImageRepository`."""
        came_due = "#deadline <= :moment", {":moment": number(milliseconds(now))}
        await self._records.transition("settle", image_id, {State.READY}, _NEVER_DUE, came_due)

    async def forget(self, image_id: str, now: datetime) -> bool:
        """See `ImageRepository`."""
        item = await self._records.item(image_id)
        if not item or _state(item) is not State.DELETED or not _is_due(item, now):
            return False
        upload = read_upload(item)
        await self._postings.remove(image_id, upload.created_at, upload.details)
        with translated():
            # A tombstone never changes, so the item that was just read is still current.
            if _was_published(item):
                forgotten = {"image_id": text(image_id), "state": text(FORGOTTEN)}
                await self._dynamodb.put_item(TableName=self._table, Item=forgotten)
            else:
                await self._dynamodb.delete_item(TableName=self._table, Key={"image_id": text(image_id)})
        return True

    async def is_deleted(self, image_id: str) -> bool:
        """See `ImageRepository`."""
        item = await self._records.stored(image_id)
        if not item or "state" not in item:
            return False
        state = item["state"]["S"]
        return state == FORGOTTEN or (state == State.DELETED and _was_published(item))

    async def check(self) -> None:
        """See `ImageRepository`."""
        with translated():
            await self._dynamodb.get_item(TableName=self._table, Key={"image_id": text("check")})
            await self._dynamodb.get_item(
                TableName=self._index_table, Key={"term": text("check"), "position": text("check")}
            )

    async def examine(self) -> None:
        """See `ImageRepository`. There is nothing to do, because AWS checks its storage."""


_NO_VARIANTS: tuple[str, Attributes] = ("attribute_not_exists(#variants)", {})
_NEVER_DUE: dict[str, Mapping[str, Any] | None] = {"due": None, "deadline": None}
_due = due  # where a parameter has the same name


def _state(item: Item) -> State:
    return State(item["state"]["S"])


def _latest(item: Item, deadline: datetime) -> datetime:
    """Return the later of a deadline and the item's own deadline."""
    return max(deadline, from_ms(item["deadline"]["N"])) if "deadline" in item else deadline


def _was_published(item: Item) -> bool:
    return "s3_key" in item


def _expiry(deadline: datetime) -> int:
    return int((deadline + _TOMBSTONE_LIFE).timestamp())


def _is_due(item: Item, now: datetime) -> bool:
    return "deadline" in item and int(item["deadline"]["N"]) <= milliseconds(now)
