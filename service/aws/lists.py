"""Lists without scans. Each query reads sorted rows of one list, up to a budget of rows.

The feed and the lists of users are sparse indexes on the image table. They contain whole items, and only READY
images have their keys, so their rows need no check. The index table has a row for each tag and each n-gram of a
title, newest first by `position`. Its rows are written before an image is READY and deleted after it is gone, so
each row is checked against its image.
"""

import asyncio
import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from service.domain.errors import Unavailable
from service.domain.model import Details, Image, ImageQuery, Page, Position, State
from service.domain.search import Candidate, candidates, furthest_back, matches

from .items import Item, read_image, stamp, text, visibility
from .session import together, translated
from .streams import Merged, Read, Row, Spent, Stream

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

BATCH_TRIES = 6  # of what DynamoDB left undone
_PROBE = 16  # rows, of each list there is to choose from
_LONGEST = 500  # rows in one read

_is_a_stamp = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z").fullmatch

# The indexes on the image table, and the attribute that each is keyed on.
_INDEXES = {"user": ("user-id-index", "user_id"), "feed": ("feed-index", "feed")}


class ImageLists:
    """The lists of one table and its index table. A request reads at most about `budget` rows."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str, index_table: str, budget: int) -> None:
        self._dynamodb, self._table, self._index_table = dynamodb, table, index_table
        self._budget = budget

    async def find(self, query: ImageQuery, after: Position | None, limit: int) -> Page:
        """Return a page of matching READY images. The page is short, with a next, if the budget is used up."""
        spent = Spent(self._budget)
        choice, lead = await self._lead(query, after, spent)
        images: list[Image] = []
        pending: Sequence[Row] = ()
        looked: Position | None = None
        seen = 0
        while (missing := limit - len(images)) > 0:
            if pending:
                batch, pending = pending[:missing], pending[missing:]
                images += await self._ready(query, batch, spent)
            elif lead.ended or (looked and spent.left <= 0):
                break
            elif rows := await lead.take(_size(missing, seen, len(images)) + lead.several):
                seen, looked = seen + len(rows), rows[-1].position
                pending = [row for row in rows if _row_matches(query, row)]
        if lead.ended and not pending:
            return Page(tuple(images))
        if len(images) < limit:  # the budget is spent: another list may be shorter from here on
            return Page(tuple(images), looked)
        last = images[-1]
        return Page(tuple(images), Position(last.created_at, last.image_id, choice))

    async def _lead(self, query: ImageQuery, after: Position | None, spent: Spent) -> tuple[int, Merged]:
        """Return the list to follow, and its number in a position."""
        choices = candidates(query)
        if after and 0 < after.lead <= len(choices):
            return after.lead, self._merged(choices[after.lead - 1], query, after, spent)
        lists = [self._merged(each, query, after, spent) for each in choices]
        if len(lists) == 1:
            return 0, lists[0]
        reaches = await together(*(each.reach(_PROBE) for each in lists))
        chosen = furthest_back(reaches)
        return chosen + 1, lists[chosen]

    def _merged(self, terms: Candidate, query: ImageQuery, after: Position | None, spent: Spent) -> Merged:
        return Merged([self._stream(term, query, after, spent) for term in terms], spent)

    def _stream(self, term: str, query: ImageQuery, after: Position | None, spent: Spent) -> Stream:
        kind, _, value = term.partition("#")
        if kind in _INDEXES:
            # Equal times come in no promised order, so it begins at the very time where the last page ended.
            newest = min(stamp(each) if each else "~" for each in (query.until, after and after.created_at))
            index, key = _INDEXES[kind]
            within = self._between(key, "created_at", value if kind == "user" else term, query, newest)
            return Stream(
                self._read({"TableName": self._table, "IndexName": index, **within}, spent), after, tied=True
            )
        newest = stamp(query.until) if query.until else "~"
        within = self._between("term", "position", term, query, newest)
        position = f"{stamp(after.created_at)}#{after.image_id}" if after else "~"
        # The page before may have ended on another list, on what is of the very time `until`. Nothing here is as
        # new, and a start beyond the ends is refused.
        start = {"term": text(term), "position": text(position)} if position < newest else None
        return Stream(self._read({"TableName": self._index_table, **within}, spent), after, start=start)

    def _between(self, key: str, order: str, value: str, query: ImageQuery, newest: str) -> dict[str, Any]:
        # BETWEEN takes in both ends: what is of the very time `until` is dropped with what does not match.
        return {
            "KeyConditionExpression": "#key = :key AND #order BETWEEN :oldest AND :newest",
            "ExpressionAttributeNames": {"#key": key, "#order": order},
            "ExpressionAttributeValues": {
                ":key": text(value),
                ":oldest": text(stamp(query.since) if query.since else " "),
                ":newest": text(newest),
            },
            "ScanIndexForward": False,
        }

    def _read(self, request: dict[str, Any], spent: Spent) -> Read:
        async def read(count: int, start: Any) -> tuple[list[Row], Any]:
            further = {"ExclusiveStartKey": start} if start else {}
            with translated():
                found = await self._dynamodb.query(**request, **further, Limit=min(count, _LONGEST))
            spent.left -= found["ScannedCount"]
            rows = [row for row in map(_row, found["Items"]) if row]
            return rows, found.get("LastEvaluatedKey")

        return read

    async def _ready(self, query: ImageQuery, rows: Sequence[Row], spent: Spent) -> list[Image]:
        """Return the READY images of these rows that match, in the order of the rows."""
        ids = [row.position.image_id for row in rows if not _is_whole(row.item)]
        found = await self.images(ids) if ids else {}
        spent.left -= len(ids)
        images = (read_image(row.item) if _is_whole(row.item) else found.get(row.position.image_id) for row in rows)
        return [each for each in images if each and matches(query, each.details, each.created_at)]

    async def images(self, ids: Sequence[str]) -> dict[str, Image]:
        """Return the READY images among at most 100 IDs."""
        left: Any = {self._table: {"Keys": [{"image_id": text(each)} for each in ids], "ConsistentRead": True}}
        images: dict[str, Image] = {}
        for attempt in range(BATCH_TRIES):
            with translated():
                found = await self._dynamodb.batch_get_item(RequestItems=left)
            for item in found["Responses"].get(self._table, []):
                if item.get("state") == text(State.READY):
                    images[item["image_id"]["S"]] = read_image(item)
            left = found.get("UnprocessedKeys")
            if not left:
                return images
            await asyncio.sleep(0.05 * 2**attempt)
        raise Unavailable("The database is overloaded; retry later.")


def _size(missing: int, seen: int, found: int) -> int:
    """Return how many rows to take on: as many as it took so far for what is still missing, and a little more."""
    if seen == found:
        return missing
    return min(max(missing, missing * seen * 6 // (5 * found) if found else 2 * seen), _LONGEST)


def _row(item: Item) -> Row | None:
    """Return where an item stands; None for one that Pixdepot never wrote (see `reindex`)."""
    if "position" in item:
        at, _, image_id = item["position"]["S"].partition("#")
    else:
        at, image_id = item["created_at"]["S"], item["image_id"]["S"]
    if not _is_a_stamp(at):
        return None
    try:
        return Row(Position(datetime.fromisoformat(at), image_id), item)
    except ValueError:
        return None


def _is_whole(item: Item) -> bool:
    """Return whether an index carries the item, and need not be asked what else there is."""
    return "state" in item


def _row_matches(query: ImageQuery, row: Row) -> bool:
    """Return whether a row says that its image matches: the image is asked where it is there, or no row tells."""
    item = row.item
    if _is_whole(item) or "title" not in item or "L" not in item.get("tags", {}):
        return True
    tags = tuple(each["S"] for each in item["tags"]["L"])
    details = Details(item["user_id"]["S"], item["title"]["S"], "", tags=tags, visibility=visibility(item))
    return matches(query, details, row.position.created_at)
