"""A query as lists of index terms, and cursors. Pure: no storage, no clock, no framework.

Every filter is a sorted list of images, newest first, and each candidate of a query has every match. A backend
reads the beginning of each, follows the one that reaches furthest back (it has the fewest in its way), and drops
what the other filters do not want.
"""

import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zlib import crc32

from .errors import InvalidCursor
from .model import Details, ImageQuery, Position, fold

# The feed of everything is written to this many lists, so that no single one takes every write.
FEED_SHARDS = 4
FEED = tuple(f"feed#{shard}" for shard in range(FEED_SHARDS))

# Some lists that are joined into one: together they have every match.
Candidate = tuple[str, ...]

_GRAM, _JOINT = 3, 5  # characters; a part of a title that is shorter than the first has no list of its own
_JOINTS_TRIED, _GRAMS_TRIED = 4, 5  # of a long part's: each costs a look at the beginning of its list

_VERSION, _WITHOUT_FILTERS = b"\x03", b"\x02"
_TIME_BYTES, _MAC_BYTES = 7, 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def feed_of(image_id: str) -> str:
    """Return the shard of the feed that an image is in."""
    return FEED[crc32(image_id.encode()) % FEED_SHARDS]


def grams(part: str) -> tuple[str, ...]:
    """Return every three characters in a row, each once; none of what is shorter."""
    return _runs(part, _GRAM)


def joints(part: str) -> tuple[str, ...]:
    """Return every five characters in a row with a blank among the middle three.

    Three characters around a blank tell little of two words: many words end as one of them, and begin as the other.
    """
    return tuple(each for each in _runs(part, _JOINT) if " " in each[1:-1])


def _runs(part: str, length: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part[n : n + length] for n in range(len(part) - length + 1)))


def terms(details: Details) -> tuple[str, ...]:
    """Return the terms that an image has a row of the index for: its tags, and the pieces of its title."""
    tags = dict.fromkeys(f"tag#{fold(tag)}" for tag in details.tags)
    title = fold(details.title)
    return (*tags, *(f"title#{piece}" for piece in grams(title) + joints(title)))


def candidates(query: ImageQuery) -> tuple[Candidate, ...]:
    """Return the choices there are of what to follow, always in the same order; the feed when no filter has a list.

    A part of a title that is shorter than three characters has none: it is looked for along the other lists.
    """
    found: list[Candidate] = [] if query.user_id is None else [(f"user#{query.user_id}",)]
    tags = tuple(dict.fromkeys(f"tag#{tag}" for tag in query.tags))
    found += [tags] if tags and query.any_tag else [(tag,) for tag in tags]
    title = query.title or ""
    pieces = (*_spread(joints(title), _JOINTS_TRIED), *_spread(grams(title), _GRAMS_TRIED))
    found += [(f"title#{piece}",) for piece in pieces]
    return tuple(found) or (FEED,)


def _spread(pieces: Sequence[str], count: int) -> Sequence[str]:
    if len(pieces) <= count:
        return pieces
    return [pieces[n * (len(pieces) - 1) // (count - 1)] for n in range(count)]


def furthest_back(reaches: Sequence[Position | None]) -> int:
    """Return the number of the list to follow: the one whose beginning reaches furthest back.

    Each is given by the last position of as many rows as were read of every list, or None where it ended before.
    """
    return min(range(len(reaches)), key=lambda n: _age(reaches[n]))


def _age(reach: Position | None) -> tuple[datetime, str]:
    return reach.key if reach else (datetime.min.replace(tzinfo=UTC), "")


def matches(query: ImageQuery, details: Details, created_at: datetime | None) -> bool:
    """Return whether an image is wanted; without a time, times are not asked."""
    in_time = created_at is None or (
        (query.since is None or query.since <= created_at) and (query.until is None or created_at < query.until)
    )
    return (
        in_time
        and query.user_id in {None, details.user_id}
        and details.visible_to(query.viewer)
        and (query.title is None or query.title in fold(details.title))
        and (not query.tags or _has_tags(query, details))
    )


def _has_tags(query: ImageQuery, details: Details) -> bool:
    has = {fold(tag) for tag in details.tags}
    wanted = (tag in has for tag in query.tags)
    return any(wanted) if query.any_tag else all(wanted)


def folded(query: ImageQuery) -> ImageQuery:
    """Return a query, given as a client spells it, as it is compared; queries that mean the same become equal."""
    tags = tuple(sorted({fold(tag) for tag in query.tags}))
    return replace(query, tags=tags, title=fold(query.title) if query.title else None)


def encode_cursor(secret: bytes, query: ImageQuery, position: Position) -> str:
    """Return an opaque cursor to the images after `position`. It contains the query, and is for its viewer only.

    The query must not be folded yet: the limits are those of the text as clients spell it, and folding may lengthen
    it. So a cursor has at most 7,500 characters, and fits into a URL without the filters.
    """
    place = (position.lead, _milliseconds(position.created_at), position.image_id)
    since, until = (each and _milliseconds(each) for each in (query.since, query.until))
    filters = (query.user_id, query.tags, query.any_tag, query.title, since, until)
    document = json.dumps((*place, *filters), ensure_ascii=False, separators=(",", ":"))
    payload = _VERSION + document.encode()
    return urlsafe_b64encode(payload + _mac(secret, query.viewer, payload)).rstrip(b"=").decode()


def decode_cursor(secret: bytes, query: ImageQuery, cursor: str) -> tuple[ImageQuery, Position]:
    """Return the query that a cursor continues, and the position it stands for.

    `query` has the viewer, and the filters that came with the cursor: none, or those that it was made with. Raises
    InvalidCursor for other filters, and for a cursor that `encode_cursor` did not make for this viewer and secret.
    """
    try:
        token = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
    except ValueError as error:
        raise InvalidCursor("Send next_cursor exactly as the server returned it.") from error
    payload, mac = token[:-_MAC_BYTES], token[-_MAC_BYTES:]
    if urlsafe_b64encode(token).rstrip(b"=").decode() == cursor:
        if payload[:1] == _VERSION and hmac.compare_digest(mac, _mac(secret, query.viewer, payload)):
            carried, position = _carried(payload, query.viewer)
            if folded(query) in {folded(carried), ImageQuery(viewer=query.viewer)}:
                return carried, position
        elif payload[:1] == _WITHOUT_FILTERS and hmac.compare_digest(mac, _older_mac(secret, query, payload)):
            return query, _older_position(payload)
    raise InvalidCursor(
        "The cursor belongs to a query with other filters: omit the filters, or repeat them unchanged."
    )


def _carried(payload: bytes, viewer: str | None) -> tuple[ImageQuery, Position]:
    lead, created_at, image_id, user_id, tags, any_tag, title, since, until = json.loads(payload[1:])
    since, until = (None if each is None else _instant(each) for each in (since, until))
    query = ImageQuery(user_id, tuple(tags), any_tag, title, since, until, viewer)
    return query, Position(_instant(created_at), image_id, lead)


def _mac(secret: bytes, viewer: str | None, payload: bytes) -> bytes:
    bound = repr(viewer).encode() + b"\0" + payload
    return hmac.digest(secret, b"cursor of a query\0" + bound, hashlib.sha256)[:_MAC_BYTES]


def _milliseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def _instant(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


# What earlier versions made, and clients may still hold: it was bound to the filters, and did not have them in it.


def _older_position(payload: bytes) -> Position:
    lead, time, image_id = payload[1], payload[2 : 2 + _TIME_BYTES], payload[2 + _TIME_BYTES :]
    return Position(_instant(int.from_bytes(time, "big", signed=True)), image_id.decode(), lead)


def _older_mac(secret: bytes, query: ImageQuery, payload: bytes) -> bytes:
    bound = repr((query.viewer or "", folded(query))).encode() + b"\0" + payload
    return hmac.digest(secret, b"cursor\0" + bound, hashlib.sha256)[:_MAC_BYTES]
