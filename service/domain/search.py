"""Queries as index terms, and cursors. Pure functions, without storage, clock or framework.

Each filter has a posting list: the IDs of its images, newest first. Each candidate list of a query contains every
match. A backend reads the first page of each, follows the list whose page reaches furthest back in time (it is the
most selective), and drops images that the other filters exclude.
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

# The feed of all images is split into this many lists, to distribute the writes.
FEED_SHARDS = 4
FEED = tuple(f"feed#{shard}" for shard in range(FEED_SHARDS))

# One or more lists to merge. Together they contain every match.
Candidate = tuple[str, ...]

_GRAM, _JOINT = 3, 5  # characters; a part of a title shorter than 3 has no list
_JOINTS_TRIED, _GRAMS_TRIED = 4, 5  # for a long part of a title, because each costs one read of its list

_VERSION, _WITHOUT_FILTERS = b"\x03", b"\x02"
_TIME_BYTES, _MAC_BYTES = 7, 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def feed_of(image_id: str) -> str:
    """Return the feed's shard for an image."""
    return FEED[crc32(image_id.encode()) % FEED_SHARDS]


def grams(part: str) -> tuple[str, ...]:
    """Return the distinct trigrams of a text. A text shorter than 3 characters has none."""
    return _runs(part, _GRAM)


def joints(part: str) -> tuple[str, ...]:
    """Return the distinct 5-grams of a text that have a space among the middle three characters.

    Trigrams around a space are not selective, because many words share their last or first letters.
    """
    return tuple(each for each in _runs(part, _JOINT) if " " in each[1:-1])


def _runs(part: str, length: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part[n : n + length] for n in range(len(part) - length + 1)))


def terms(details: Details) -> tuple[str, ...]:
    """Return the index terms of an image: its tags and the n-grams of its title."""
    tags = dict.fromkeys(f"tag#{fold(tag)}" for tag in details.tags)
    title = fold(details.title)
    return (*tags, *(f"title#{piece}" for piece in grams(title) + joints(title)))


def candidates(query: ImageQuery) -> tuple[Candidate, ...]:
    """Return the candidate lists of a query, always in the same order, or the feed if no filter has a list.

    A part of a title shorter than 3 characters has no list: the backend filters the other lists by it.
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
    """Return the index of the list to follow: the one whose first page reaches furthest back in time.

    Pass the last position of each list's first page, with pages of equal length, or None if the list ended before.
    """
    return min(range(len(reaches)), key=lambda n: _age(reaches[n]))


def _age(reach: Position | None) -> tuple[datetime, str]:
    return reach.key if reach else (datetime.min.replace(tzinfo=UTC), "")


def matches(query: ImageQuery, details: Details, created_at: datetime | None) -> bool:
    """Return whether an image matches a query. Without `created_at`, ignore the query's times."""
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
    """Fold the tags and the title of a query. Equivalent queries become equal."""
    tags = tuple(sorted({fold(tag) for tag in query.tags}))
    return replace(query, tags=tags, title=fold(query.title) if query.title else None)


def encode_cursor(secret: bytes, query: ImageQuery, position: Position) -> str:
    """Return an opaque cursor to the images after `position`. It contains the query; only its viewer can use it.

    Pass the query before folding, because folding can exceed the length limits. A cursor has at most 7,500
    characters, so that it fits into a URL without the filters.
    """
    place = (position.lead, _milliseconds(position.created_at), position.image_id)
    since, until = (each and _milliseconds(each) for each in (query.since, query.until))
    filters = (query.user_id, query.tags, query.any_tag, query.title, since, until)
    document = json.dumps((*place, *filters), ensure_ascii=False, separators=(",", ":"))
    payload = _VERSION + document.encode()
    return urlsafe_b64encode(payload + _mac(secret, query.viewer, payload)).rstrip(b"=").decode()


def decode_cursor(secret: bytes, query: ImageQuery, cursor: str) -> tuple[ImageQuery, Position]:
    """Decode a cursor into its query and its position.

    `query` has the viewer and the filters of the request: none, or the same as in the cursor. Raises InvalidCursor
    for other filters, and for a cursor that `encode_cursor` did not make for this viewer and secret.
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


# Cursors of earlier versions, which clients may still hold. They do not contain the filters, but are bound to them.


def _older_position(payload: bytes) -> Position:
    lead, time, image_id = payload[1], payload[2 : 2 + _TIME_BYTES], payload[2 + _TIME_BYTES :]
    return Position(_instant(int.from_bytes(time, "big", signed=True)), image_id.decode(), lead)


def _older_mac(secret: bytes, query: ImageQuery, payload: bytes) -> bytes:
    bound = repr((query.viewer or "", folded(query))).encode() + b"\0" + payload
    return hmac.digest(secret, b"cursor\0" + bound, hashlib.sha256)[:_MAC_BYTES]
