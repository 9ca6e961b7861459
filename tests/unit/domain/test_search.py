"""A cursor stands for one place in one list and nothing else; terms lead to whatever a query matches."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.api.schemas import ListQuery, load_query
from service.domain.errors import InvalidCursor
from service.domain.model import Details, ImageQuery, Position, fold
from service.domain.search import (
    FEED,
    _mac,
    candidates,
    decode_cursor,
    encode_cursor,
    feed_of,
    furthest_back,
    matches,
    terms,
)

SECRET = b"s" * 32
NOON = datetime(2025, 9, 15, 12, tzinfo=UTC)
PLACE = Position(NOON, "01994d3c-8d00-7000-8000-000000000000")
QUERY = ImageQuery("ada", ("a", "b"), any_tag=False, title="lake", since=NOON, until=NOON + timedelta(days=1))
SEEN = replace(QUERY, viewer="ada")
CURSOR = encode_cursor(SECRET, SEEN, PLACE)

INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda each: each.replace(microsecond=each.microsecond // 1000 * 1000)
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
QUERIES = st.builds(
    ImageQuery,
    user_id=st.none() | TEXT,
    tags=st.lists(TEXT, max_size=3).map(tuple),
    any_tag=st.booleans(),
    title=st.none() | TEXT,
    since=st.none() | INSTANTS,
    until=st.none() | INSTANTS,
    viewer=st.none() | TEXT,
)
PLACES = st.builds(Position, created_at=INSTANTS, image_id=TEXT, lead=st.integers(0, 255))


def alone(viewer: str | None) -> ImageQuery:
    """Return the query of a request that brings nothing but a cursor."""
    return ImageQuery(viewer=viewer)


@given(secret=st.binary(min_size=32, max_size=32), query=QUERIES, place=PLACES)
def test_a_cursor_comes_back_as_the_query_and_the_place_it_was_made_for(
    secret: bytes, query: ImageQuery, place: Position
) -> None:
    cursor = encode_cursor(secret, query, place)
    assert decode_cursor(secret, query, cursor) == (query, place)
    assert decode_cursor(secret, alone(query.viewer), cursor) == (query, place)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", cursor)


def test_the_same_place_has_the_same_cursor() -> None:
    assert encode_cursor(SECRET, replace(SEEN), replace(PLACE)) == CURSOR


def test_no_single_bit_can_be_changed() -> None:
    token = urlsafe_b64decode(CURSOR + "=" * (-len(CURSOR) % 4))
    for bit in range(8 * len(token)):
        changed = bytearray(token)
        changed[bit // 8] ^= 1 << bit % 8
        for query in (SEEN, alone("ada")):
            with pytest.raises(InvalidCursor):
                decode_cursor(SECRET, query, urlsafe_b64encode(changed).decode().rstrip("="))


def test_no_letter_can_be_changed_taken_out_or_put_in() -> None:
    for n, letter in enumerate(CURSOR):
        for other in ("", letter * 2, "A" if letter != "A" else "B", "=", "+", "/", " ", "\n", "é", "\0"):
            with pytest.raises(InvalidCursor):
                decode_cursor(SECRET, SEEN, CURSOR[:n] + other + CURSOR[n + 1 :])


@given(st.text())
@example("")
@example("A")
@example("=" * 4)
@example(CURSOR + "=")
@example(CURSOR + "\n")
@example("\ud800")
def test_nothing_but_the_cursor_itself_is_taken(text: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(SECRET, SEEN, text)


@pytest.mark.parametrize("other", [b"t" * 32, b"", b"s" * 31, b"s" * 33])
def test_another_secret_s_cursor_is_refused(other: bytes) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(other, SEEN, CURSOR)


@pytest.mark.parametrize("other", ["", "Ada", "ada ", "eve", None])
def test_another_viewer_s_cursor_is_refused(other: str | None) -> None:
    for query in (replace(SEEN, viewer=other), alone(other)):
        with pytest.raises(InvalidCursor):
            decode_cursor(SECRET, query, CURSOR)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user_id", None),
        ("user_id", "eve"),
        ("tags", ()),
        ("tags", ("a",)),
        ("tags", ("a,b",)),
        ("any_tag", True),
        ("title", None),
        ("title", "lakes"),
        ("since", None),
        ("since", NOON + timedelta(milliseconds=1)),
        ("until", None),
        ("until", NOON),
        ("viewer", None),
    ],
)
def test_another_query_s_cursor_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(SECRET, replace(SEEN, **{name: value}), CURSOR)


def test_every_filter_there_is_was_tried() -> None:
    assert [each.name for each in fields(ImageQuery)] == [
        "user_id", "tags", "any_tag", "title", "since", "until", "viewer",
    ]  # fmt: skip


def test_the_same_filters_may_be_spelled_in_another_way() -> None:
    spelled = replace(SEEN, tags=("B", "a", "A"), title="LAKE")
    assert decode_cursor(SECRET, spelled, CURSOR) == (SEEN, PLACE)


def test_a_query_s_parts_cannot_be_moved_from_one_to_the_other() -> None:
    one = encode_cursor(SECRET, ImageQuery(user_id="b", title="c", viewer="a"), PLACE)
    for query in (
        ImageQuery(title="c", viewer="ab"),
        ImageQuery(user_id="c", title="b", viewer="a"),
        ImageQuery(title="c", viewer="a', ImageQuery(user_id='b"),
    ):
        with pytest.raises(InvalidCursor):
            decode_cursor(SECRET, query, one)


# Of four bytes each; and letters that become three when they are folded, of two bytes each.
@pytest.mark.parametrize("letters", ["\U0001f4f7\U0001f30a\U00010400", "\u0390\u03b0", '"\\'])
def test_the_cursor_of_the_longest_query_there_can_be_fits_into_a_target(letters: str) -> None:
    said = {
        "user_id": (letters * 128)[:128],
        "tags": ",".join((f"{n:02}" + letters * 50)[:50] for n in range(20)),
        "title": (letters * 200)[:200],
        "date_from": "0001-01-01",
        "date_to": "9999-12-31",
    }
    loaded = load_query(ListQuery(), tuple(said.items()))
    assert len(loaded["tags"]) == 20
    query = ImageQuery(
        loaded["user_id"], loaded["tags"], True, loaded["title"], loaded["date_from"], loaded["date_to"], "ada"
    )
    cursor = encode_cursor(SECRET, query, replace(PLACE, lead=255))
    assert len(cursor) <= 7_500
    assert decode_cursor(SECRET, alone("ada"), cursor)[0] == query


# Made by the version before: bound to the filters, without having them in them.
EARLIER = (
    (SEEN, "AgAAAZlNPwYAMDE5OTRkM2MtOGQwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAwL224WzEwGhO81encrMJAdQ"),
    (ImageQuery(), "AgAAAZlNPwYAMDE5OTRkM2MtOGQwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAwc6ldXDPbn-zhsXg-LFYumQ"),
)


def test_a_cursor_of_an_earlier_version_goes_on_beside_its_filters() -> None:
    for query, cursor in EARLIER:
        assert decode_cursor(SECRET, query, cursor) == (query, PLACE)
        for other in (replace(query, title="other"), replace(query, viewer="eve")):
            with pytest.raises(InvalidCursor):
                decode_cursor(SECRET, other, cursor)


def test_a_cursor_of_another_version_is_refused() -> None:
    token = bytearray(urlsafe_b64decode(CURSOR + "=" * (-len(CURSOR) % 4)))
    token[0] = 1
    token[-16:] = _mac(SECRET, "ada", bytes(token[:-16]))
    with pytest.raises(InvalidCursor):
        decode_cursor(SECRET, SEEN, urlsafe_b64encode(token).decode().rstrip("="))


DETAILS = st.builds(Details, user_id=TEXT, title=TEXT, filename=TEXT, tags=st.lists(TEXT, max_size=4).map(tuple))


@given(details=DETAILS, data=st.data())
def test_an_image_has_a_row_for_whatever_finds_it(details: Details, data: st.DataObject) -> None:
    title = fold(details.title)
    start, stop = (data.draw(st.integers(0, len(title))) for _ in range(2))
    tags = tuple(fold(each) for each in details.tags)
    query = ImageQuery(details.user_id, tags, data.draw(st.booleans()), title[start:stop] or None)
    assert matches(query, details, None)
    mine = {f"user#{details.user_id}", *terms(details)}
    assert all(mine & set(choice) for choice in candidates(query))


def test_without_a_filter_that_has_a_list_the_feed_is_followed() -> None:
    assert candidates(ImageQuery()) == candidates(ImageQuery(title="la")) == (FEED,)
    assert feed_of("any id") in FEED


def test_tags_of_which_any_will_do_are_one_list() -> None:
    assert candidates(ImageQuery(tags=("a", "b"), any_tag=True)) == (("tag#a", "tag#b"),)
    assert candidates(ImageQuery(tags=("a", "b"))) == (("tag#a",), ("tag#b",))


def test_a_title_has_rows_for_three_letters_and_for_five_around_a_blank() -> None:
    assert terms(Details("ada", "A lake", "", tags=("Sea", "SEA"))) == (
        "tag#sea", "title#a l", "title# la", "title#lak", "title#ake", "title#a lak",
    )  # fmt: skip


def test_of_a_long_part_a_few_pieces_are_tried_from_all_along() -> None:
    tried = [choice[0] for choice in candidates(ImageQuery(title=" ".join(["abcdefgh"] * 3 + ["xyz"])))]
    assert len(tried) <= 9
    assert tried[-1] == "title#xyz"


def test_the_list_that_reaches_furthest_back_is_followed() -> None:
    old, new = Position(NOON - timedelta(days=1), "a"), Position(NOON, "a")
    assert furthest_back([new, old]) == 1
    assert furthest_back([old, None, new]) == 1
    assert furthest_back([replace(old, image_id="b"), old]) == 1
