"""Maintenance that reads whole tables: reindex and repair. Only this module scans, and never for a request.

IAM actions: dynamodb:Scan on both tables and dynamodb:DescribeTable on the first, beside the service's own.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from service.domain.model import Adopt, Details, Image, Mended, Reindexed, State
from service.domain.search import feed_of, terms

from .items import CLAIM_TERM, Attributes, Item, posting, read_image, stamp, text
from .originals import adopted_attributes, read_original
from .postings import Postings
from .session import error_code, translated
from .usage import Usage, is_counter

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

logger = logging.getLogger(__name__)

_PAGE, _KEYS = 200, 100  # items of a scan, keys of one batch
_AT_ONCE = 8
_PLACE: Attributes = {"term": text("reindex"), "position": text("place")}  # how far a reindex came; no image's term
_OURS = frozenset({"reindex", "secret"})


class Upkeep:
    """Builds and repairs the index of a table. Safe to run while the service serves requests."""

    def __init__(
        self, dynamodb: "DynamoDBClient", table: str, index_table: str, postings: Postings, usage: Usage
    ) -> None:
        self._dynamodb, self._table, self._index_table = dynamodb, table, index_table
        self._postings, self._usage = postings, usage

    # ------------------------------------------------------------ reindex

    async def reindex(self, adopt: Adopt) -> AsyncIterator[Reindexed]:
        """See `ImageRepository`. Its progress is a row of the index table, where the next reindex continues."""
        with translated():
            described = await self._dynamodb.describe_table(TableName=self._table)
            saved = await self._dynamodb.get_item(TableName=self._index_table, Key=_PLACE, ConsistentRead=True)
        so_far = Reindexed(total=described["Table"].get("ItemCount", 0))
        place = saved.get("Item", {})
        begin = {"image_id": place["image_id"]} if "image_id" in place else None
        async for items, reached in self._scanned(self._table, begin):
            turns = asyncio.Semaphore(_AT_ONCE)
            outcomes = await asyncio.gather(*(self._reindexed(item, adopt, turns) for item in items))
            so_far = replace(
                so_far,
                looked_at=so_far.looked_at + len(items),
                indexed=so_far.indexed + outcomes.count("indexed"),
                adopted=so_far.adopted + outcomes.count("adopted"),
                refused=so_far.refused + outcomes.count("refused"),
            )
            await self._save(reached)
            yield so_far

    async def _save(self, start: Any) -> None:
        with translated():
            if start:
                item = {**_PLACE, "image_id": start["image_id"]}
                await self._dynamodb.put_item(TableName=self._index_table, Item=item)
            else:
                await self._dynamodb.delete_item(TableName=self._index_table, Key=_PLACE)

    async def _reindexed(self, item: Item, adopt: Adopt, turns: asyncio.Semaphore) -> str:
        """Return "indexed", "adopted", "refused", or "" for an item that is not an image."""
        async with turns:
            if item.get("state") == text(State.READY):
                image = read_image(item)
                await self._postings.add(image.image_id, image.created_at, image.details, image.updated_at)
                if "feed" not in item:
                    await self._update(item, "#state = :was", {":was": text(State.READY)}, _feed(image))
                return "indexed"
            if "state" in item:
                return ""
            original = read_original(item)
            adopted = await adopt(original) if original else None
            if adopted is None:
                logger.warning("item %s not imported", item["image_id"].get("S"))
                return "refused"
            return await self._take_over(item, adopted)

    async def _take_over(self, item: Item, image: Image) -> str:
        await self._postings.add(image.image_id, image.created_at, image.details, image.updated_at)
        if await self._update(item, "attribute_not_exists(#state)", {}, adopted_attributes(image)):
            return "adopted"
        await self._postings.remove(image.image_id, image.created_at, image.details)
        return ""  # deleted meanwhile; the copy that was sealed is an orphan, which reconcile finds

    async def _update(self, item: Item, condition: str, values: Attributes, changes: Attributes) -> bool:
        names = {f"#{name}": name for name in (*changes, "state", "image_id")}
        with translated():
            try:
                await self._dynamodb.update_item(
                    TableName=self._table,
                    Key={"image_id": item["image_id"]},
                    UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in changes),
                    ConditionExpression=f"attribute_exists(#image_id) AND {condition}",
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues={**{f":{name}": value for name, value in changes.items()}, **values},
                )
            except ClientError as error:
                if error_code(error) != "ConditionalCheckFailedException":
                    raise
                with translated():
                    found = await self._dynamodb.get_item(
                        TableName=self._table, Key={"image_id": item["image_id"]}, ConsistentRead=True
                    )
                # The SDK's retry of a write that was done fails like this: then the item is as it was to be.
                return all(found.get("Item", {}).get(name) == value for name, value in changes.items())
        return True

    # ------------------------------------------------------------ reconcile

    async def repair(self, newer_than: datetime, *, dry_run: bool) -> Mended:
        """See `ImageRepository.mend_lists`."""
        missing = stale = 0
        counters, used = await self._usage.rows(), Counter[str]()
        async for items, _ in self._scanned(self._table, None):
            images = [read_image(item) for item in items if item.get("state") == text(State.READY)]
            for each in images:
                used[each.details.user_id] += each.content.file_size
            outcomes = await asyncio.gather(
                *(self._incomplete(each) for each in images if each.updated_at < newer_than)
            )
            for image, lacking in (each for each in outcomes if each[1]):
                missing += lacking
                if not dry_run:
                    await self._postings.add(image.image_id, image.created_at, image.details, image.updated_at)
        miscounted = await self._usage.mend(counters, used, dry_run=dry_run)
        async for rows, _ in self._scanned(self._index_table, None):
            old = [row for row in rows if row.get("revised_at", text(""))["S"] < stamp(newer_than)]
            for row in await self._stale(old):
                stale += 1
                if not dry_run:
                    key = {name: dict(row[name]) for name in ("term", "position")}
                    await self._postings.remove_older(key, stamp(newer_than))
        return Mended(missing, stale, miscounted)

    async def _incomplete(self, image: Image) -> tuple[Image, int]:
        """Return an image with the number of its rows that are missing or wrong."""
        wanted = [
            posting(image.image_id, image.created_at, image.details, term, image.updated_at)
            for term in terms(image.details)
        ]
        keys = [{name: row[name] for name in ("term", "position")} for row in wanted]
        found = {row["term"]["S"]: row for row in await self._batch(self._index_table, keys)}
        said = ("user_id", "title", "tags", "visibility")
        wrong = (any(found.get(row["term"]["S"], {}).get(name) != row.get(name) for name in said) for row in wanted)
        return image, sum(wrong)

    async def _stale(self, rows: Sequence[Item]) -> list[Item]:
        """Return the rows that belong to no image, or not to what it is now. A pending one may yet need them."""
        rows = [row for row in rows if not _is_ours(row["term"]["S"]) and not is_counter(row)]
        ids = {row["position"]["S"].partition("#")[2] for row in rows}
        items = await self._batch(self._table, [{"image_id": text(each)} for each in ids])
        kept: dict[str, set[str] | None] = {
            item["image_id"]["S"]: _terms_of(item)
            for item in items
            if item.get("state", text(State.PENDING)) in (text(State.READY), text(State.PENDING))
        }
        return [row for row in rows if not _belongs(row, kept)]

    async def _batch(self, table: str, keys: Sequence[Any]) -> list[Item]:
        found: list[Item] = []
        for n in range(0, len(keys), _KEYS):
            left: Any = {table: {"Keys": keys[n : n + _KEYS], "ConsistentRead": True}}
            while left:
                with translated():
                    answer = await self._dynamodb.batch_get_item(RequestItems=left)
                found += answer["Responses"].get(table, [])
                left = answer.get("UnprocessedKeys")
        return found

    async def _scanned(self, table: str, start: Any) -> AsyncIterator[tuple[Sequence[Item], Any]]:
        """Yield all items of a table in pages, each with the start of the next page."""
        while True:
            further = {"ExclusiveStartKey": start} if start else {}
            with translated():
                found = await self._dynamodb.scan(TableName=table, Limit=_PAGE, ConsistentRead=True, **further)
            start = found.get("LastEvaluatedKey")
            yield found["Items"], start
            if not start:
                return


def _is_ours(term: str) -> bool:
    """Return whether a term is reserved for the service and has no rows of images."""
    return term in _OURS or term.startswith(CLAIM_TERM)


def _feed(image: Image) -> Attributes:
    return {"feed": text(feed_of(image.image_id))}


def _terms_of(item: Item) -> set[str] | None:
    """Return the terms that an image has rows for; None for one that is not READY yet: any."""
    if item.get("state") != text(State.READY):
        return None
    details: Details = read_image(item).details
    return set(terms(details))


def _belongs(row: Item, kept: dict[str, set[str] | None]) -> bool:
    image_id = row["position"]["S"].partition("#")[2]
    if image_id not in kept:
        return False
    wanted = kept[image_id]
    return wanted is None or row["term"]["S"] in wanted
