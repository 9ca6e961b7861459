"""Lists in SQLite: the tables that keep them, and the statements that follow them.

Every list gives the numbers of images, newest first: the feed, a user's, a tag's, and FTS5's for three characters.
A page follows one of them and asks the others of each image on the way, over a budget of rows at most.

What a statement finds comes as one row of JSON: after each row sqlite3 lets the event loop's thread take its turn,
and waiting to go on costs more than the row.
"""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from service.domain.model import Image, ImageQuery, Page, Position, fold
from service.domain.search import candidates, furthest_back, grams

from .rows import IMAGE_COLUMNS, from_ms, list_order, read_image, to_ms

_PROBE = 16  # rows, of each list there is to choose from
_TIES = 32768  # numbers within one millisecond
_EVER = (-(2**47), 2**47)  # milliseconds, with room for the numbers within them


@dataclass(frozen=True, slots=True)
class _List:
    """A list: where its numbers come from. It is bounded at both ends, so it is never read whole."""

    source: str
    where: str
    number: str = "lead.listing"

    def statement(self, *filters: str) -> str:
        """Return what follows the list, newest first, and gives the numbers that pass."""
        where = " AND ".join((self.where, f"{self.number} BETWEEN :first AND :last", *filters))
        source = f"{self.source} AS lead WHERE {where}"
        return f"SELECT {self.number} AS number FROM {source} ORDER BY {self.number} DESC"  # noqa: S608


_FEED = _List("listed", "TRUE")
_USER = _List("listed", "lead.user_id = :user")

# Several lists that are followed as one.
Choice = tuple[_List, ...]


def _tag(n: int) -> _List:
    return _List("listed_tags", f"lead.tag = :tag{n}")


def _piece(n: int) -> _List:
    return _List("title_parts", f"title_parts MATCH :piece{n}", "lead.rowid")


@dataclass(frozen=True, slots=True)
class Found:
    """What a list gave: the columns of images as JSON, in no order, and where the budget ended, if it did."""

    images: str
    floor: int | None = None  # milliseconds

    def page(self, limit: int) -> Page:
        """Return the first `limit` of them as a page."""
        rows = sorted(orjson.loads(self.images), key=list_order, reverse=True)
        images = tuple(map(read_image, rows[:limit]))
        if len(rows) > limit:
            return Page(images, Position(images[-1].created_at, images[-1].image_id))
        return Page(images, None if self.floor is None else Position(from_ms(self.floor), ""))


def find(
    connection: sqlite3.Connection, query: ImageQuery, after: Position | None, limit: int, budget: int
) -> Found:
    """Return a page of READY images that match, and what is of the same millisecond; fewer with a floor."""
    values = _values(query, after)
    connection.execute("BEGIN")  # one state of the database for all that is read
    try:
        lead = _lead(connection, query, values)
        values["first"], cut = _floor(connection, query, lead, values, budget)
        statements = [each.statement(*filters(query, each)) for each in lead]
        numbers = _whole_milliseconds(connection, statements, values, limit, _passed(connection, after))
        images = _images(connection, numbers)
    finally:
        connection.execute("COMMIT")
    return Found(images, values["first"] // _TIES if cut else None)


def _values(query: ImageQuery, after: Position | None) -> dict[str, Any]:
    last = (to_ms(query.until) if query.until else _EVER[1]) * _TIES - 1
    if after:
        last = min(last, to_ms(after.created_at) * _TIES + (_TIES - 1 if after.image_id else -1))
    return {
        "user": query.user_id,
        "viewer": query.viewer,
        "title": query.title,
        "first": (to_ms(query.since) if query.since else _EVER[0]) * _TIES,
        "last": last,
        **{f"tag{n}": tag for n, tag in enumerate(query.tags)},
        **{f"piece{n}": '"' + piece.replace('"', '""') + '"' for n, piece in enumerate(_pieces(query))},
    }


def _passed(connection: sqlite3.Connection, after: Position | None) -> set[int]:
    """Return the numbers of the position's own millisecond that a page before had; these are in no order."""
    if after is None:
        return set()
    first = to_ms(after.created_at) * _TIES
    sql = "SELECT listing FROM listed WHERE listing BETWEEN ? AND ? AND image_id >= ?"
    return {number for (number,) in connection.execute(sql, (first, first + _TIES - 1, after.image_id))}


def choices(query: ImageQuery) -> list[Choice]:
    """Return the lists that each, or joined with others, have every match of a query."""
    found: list[Choice] = []
    for candidate in candidates(query):
        kind, _, value = candidate[0].partition("#")
        if kind == "tag":
            found.append(tuple(_tag(query.tags.index(each.removeprefix("tag#"))) for each in candidate))
        elif kind != "title":
            found.append(({"feed": _FEED, "user": _USER}[kind],))
        elif value in _pieces(query):
            found.append((_piece(_pieces(query).index(value)),))
    return found


def _pieces(query: ImageQuery) -> tuple[str, ...]:
    """Return the pieces of a title that FTS5 has a list of, and need not find the common rows of several for."""
    return grams(query.title or "")


def _lead(connection: sqlite3.Connection, query: ImageQuery, values: Mapping[str, Any]) -> Choice:
    found = choices(query)
    if len(found) == 1:
        return found[0]
    ends = [_farthest(connection, choice, values, _PROBE) for choice in found]
    return found[furthest_back([None if end is None else Position(from_ms(end // _TIES), "") for end in ends])]


def _farthest(connection: sqlite3.Connection, lead: Choice, values: Mapping[str, Any], rows: int) -> int | None:
    """Return the newest number that one of the lists has after so many rows; None where they all end before."""
    skipped = {**values, "skipped": rows}
    found = (connection.execute(f"{each.statement()} LIMIT 1 OFFSET :skipped", skipped).fetchone() for each in lead)
    return max((number for (number,) in filter(None, found)), default=None)


def _floor(
    connection: sqlite3.Connection, query: ImageQuery, lead: Choice, values: Mapping[str, Any], budget: int
) -> tuple[int, bool]:
    """Return the last number that the budget reaches, and whether there are more; in whole milliseconds."""
    if not filters(query, lead[0]):
        return values["first"], False  # it stops when the page is full
    below = _farthest(connection, lead, values, budget // len(lead))
    newest = _farthest(connection, lead, values, 0)
    if below is None or newest is None:
        return values["first"], False
    return min(below // _TIES + 1, newest // _TIES) * _TIES, True


def filters(query: ImageQuery, lead: _List) -> list[str]:
    """Return what is asked of each image on a list, beyond being there."""
    listed = []
    if query.user_id is not None and lead != _USER:
        listed.append("image.user_id = :user")
    if query.viewer not in {None, query.user_id}:
        listed.append("(image.user_id = :viewer OR image.visibility = 'public')")
    if query.title is not None and not (lead.source == "title_parts" and len(query.title) == 3):
        listed.append("instr(image.title, :title)")
    found = [_exists("listed AS image", lead, *listed)] if listed else []
    leads = lead.source == "listed_tags"
    tags = [_exists("listed_tags AS image", lead, f"image.tag = :tag{n}") for n in range(len(query.tags))]
    if not query.any_tag:
        found += [each for n, each in enumerate(tags) if lead != _tag(n)]
    elif tags and not leads:
        found.append(f"({' OR '.join(tags)})")
    return found


def _exists(source: str, lead: _List, *conditions: str) -> str:
    where = " AND ".join((f"image.listing = {lead.number}", *conditions))
    return f"EXISTS (SELECT 1 FROM {source} WHERE {where})"  # noqa: S608


def _whole_milliseconds(
    connection: sqlite3.Connection,
    lists: Sequence[str],
    values: Mapping[str, Any],
    limit: int,
    passed: Collection[int],
) -> list[int]:
    """Return the numbers that match and were not passed, newest first: all there are, or a few more than `limit`.

    Their order within a millisecond is not the images', so none of the last one's is left out.
    """
    count = limit + len(passed) + 2
    while True:
        numbers = _numbers(connection, lists, values, count)
        ended = len(numbers) < count
        kept = [each for each in numbers if ended or each // _TIES > numbers[-1] // _TIES]
        found = [each for each in kept if each not in passed]
        if ended or len(found) > limit:
            return found
        count *= 2


def _numbers(
    connection: sqlite3.Connection, lists: Sequence[str], values: Mapping[str, Any], count: int
) -> list[int]:
    """Return the first `count` numbers of these lists, newest first, and once what more than one has."""
    found: set[int] = set()
    for each in lists:
        sql = f"SELECT json_group_array(number) FROM ({each} LIMIT {count})"  # noqa: S608 - our own statements
        found.update(orjson.loads(connection.execute(sql, values).fetchone()[0]))
    return sorted(found, reverse=True)[:count]


def _images(connection: sqlite3.Connection, numbers: Sequence[int]) -> str:
    """Return the columns of these images, as JSON."""
    source = "json_each(?) AS wanted CROSS JOIN listed ON listing = wanted.value JOIN images USING (image_id)"
    sql = f"SELECT json_group_array(json_array({IMAGE_COLUMNS})) FROM {source}"  # noqa: S608 - our own names
    (images,) = connection.execute(sql, (orjson.dumps(numbers).decode(),)).fetchone()
    return str(images)


def write(connection: sqlite3.Connection, image: Image) -> None:
    """Put a READY image into its lists, in place of what was there."""
    remove(connection, image.image_id)
    first = to_ms(image.created_at) * _TIES
    sql = "SELECT coalesce(max(listing) + 1, ?) FROM listed WHERE listing BETWEEN ? AND ?"
    (number,) = connection.execute(sql, (first, first, first + _TIES - 1)).fetchone()
    details = image.details
    row = (number, image.image_id, details.user_id, fold(details.title), details.visibility)
    connection.execute("INSERT INTO listed VALUES (?, ?, ?, ?, ?)", row)
    rows = [(tag, number) for tag in {fold(each) for each in details.tags}]
    connection.executemany("INSERT INTO listed_tags VALUES (?, ?)", rows)


def remove(connection: sqlite3.Connection, image_id: str) -> None:
    """Take an image out of its lists."""
    connection.execute("DELETE FROM listed WHERE image_id = ?", (image_id,))


def differences(connection: sqlite3.Connection) -> tuple[list[str], list[str]]:
    """Return the ids of READY images that are in no list, and of those in lists that are not READY."""
    unlisted = "images LEFT JOIN listed USING (image_id) WHERE state = 'ready' AND listing IS NULL"
    unready = "listed LEFT JOIN images USING (image_id) WHERE state IS NOT 'ready'"
    missing, stale = (
        [image_id for (image_id,) in connection.execute(f"SELECT image_id FROM {each}")]  # noqa: S608 - our own
        for each in (unlisted, unready)
    )
    return missing, stale
