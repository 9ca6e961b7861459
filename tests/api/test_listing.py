"""Finding images: filters, pages, cursors."""

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from tests.api.client import ApiClient
from tests.api.conftest import Start
from tests.pictures import picture

DATA = picture()


def ids(images: Sequence[Mapping[str, Any]]) -> list[str]:
    return [each["image_id"] for each in images]


@pytest.fixture(scope="session")
def ada() -> str:
    """Return the user of the library."""
    return f"ada-{secrets.token_hex(8)}"


@pytest.fixture(scope="session")
async def library(api: ApiClient, ada: str) -> dict[str, dict[str, Any]]:
    """Return a few images of one user by name, the oldest first."""
    return {
        name: await api.uploaded(DATA, user_id=ada, title=title, tags=tags)
        for name, title, tags in (
            ("beach", "Sunset at the beach", ["Sunset", "sea"]),
            ("wood", "Deep in the WOOD, 100%", ["nature", "Straße"]),
            ("hill", "A hill_side", ["nature", "sunset"]),
            ("lake", "İstanbul — Łódź 湖 'q'", []),
        )
    }


# ---------------------------------------------------------------- filters


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["lake", "hill", "wood", "beach"]),
        ({"tags": "sunset"}, ["hill", "beach"]),
        ({"tags": "SUNSET"}, ["hill", "beach"]),
        ({"tags": " sunset "}, ["hill", "beach"]),
        ({"tags": "sun"}, []),
        ({"tags": "nature,sunset"}, ["hill"]),
        ({"tags": "sunset,nature,sunset"}, ["hill"]),
        ({"tags": "nature,sea"}, []),
        ({"tags": "nature,sea", "tags_match": "all"}, []),
        ({"tags": "nature,sea", "tags_match": "any"}, ["hill", "wood", "beach"]),
        ({"tags": "nowhere,sea", "tags_match": "any"}, ["beach"]),
        ({"tags": "strasse"}, ["wood"]),
        ({"tags_match": "any"}, ["lake", "hill", "wood", "beach"]),
        ({"tags": " , ", "title": " "}, ["lake", "hill", "wood", "beach"]),
        ({"title": "sunset"}, ["beach"]),
        ({"title": "Wood"}, ["wood"]),
        ({"title": "e"}, ["hill", "wood", "beach"]),
        ({"title": "t the b"}, ["beach"]),
        ({"title": "100%"}, ["wood"]),
        ({"title": "_"}, ["hill"]),
        ({"title": "%"}, ["wood"]),
        ({"title": "łódź"}, ["lake"]),
        ({"title": "湖"}, ["lake"]),
        ({"title": "'q'"}, ["lake"]),
        ({"title": '"; DROP TABLE images; --'}, []),
        ({"title": "beach sunset"}, []),
        ({"title": "*"}, []),
        ({"tags": "nature", "title": "hill"}, ["hill"]),
        ({"tags": "sea,nature", "tags_match": "any", "title": "the"}, ["wood", "beach"]),
        ({"tags": "nature", "title": "beach"}, []),
    ],
)
async def test_filters_join(
    api: ApiClient, ada: str, library: dict[str, dict[str, Any]], filters: dict[str, str], found: list[str]
) -> None:
    expected = [library[name]["image_id"] for name in found]
    for limit in (1, 2, 100):
        assert ids(await api.walk(limit, user_id=ada, **filters)) == expected


async def test_a_list_has_everyone_s_images_unless_a_user_is_asked_for(api: ApiClient) -> None:
    tag = secrets.token_hex(8)
    users = [f"{tag}-{n}" for n in range(3)]
    images = [await api.uploaded(user_id=each, tags=[tag]) for each in users]
    assert ids(await api.walk(tags=tag)) == ids(images)[::-1]
    assert ids(await api.walk(tags=tag, user_id=users[1])) == [images[1]["image_id"]]
    assert await api.walk(tags=tag, user_id=tag) == []


async def test_a_user_is_matched_whole_and_in_its_own_case(api: ApiClient, user: str) -> None:
    await api.uploaded(user_id=user)
    assert await api.walk(user_id=user.upper()) == []
    assert await api.walk(user_id=user[:-1]) == []
    assert len(await api.walk(user_id=f" {user} ")) == 1


async def test_dates_include_both_edges(api: ApiClient, ada: str, library: dict[str, dict[str, Any]]) -> None:
    beach, wood, hill, lake = library.values()
    at = {name: image["created_at"] for name, image in library.items()}
    for filters, found in (
        ({"date_from": at["wood"]}, [lake, hill, wood]),
        ({"date_to": at["wood"]}, [wood, beach]),
        ({"date_from": at["wood"], "date_to": at["hill"]}, [hill, wood]),
        ({"date_from": at["wood"], "date_to": at["wood"]}, [wood]),
        ({"date_from": at["beach"], "date_to": at["lake"], "tags": "nature", "title": "hill"}, [hill]),
        ({"date_from": at["lake"], "tags": "nature"}, []),
    ):
        assert ids(await api.walk(user_id=ada, **filters)) == ids(found)


async def test_a_bare_date_to_includes_that_day(api: ApiClient, user: str) -> None:
    image = await api.uploaded(user_id=user)
    day = date.fromisoformat(image["created_at"][:10])
    before, after = day - timedelta(days=1), day + timedelta(days=1)
    for filters, found in (
        ({"date_to": day}, 1),
        ({"date_to": before}, 0),
        ({"date_to": after}, 1),
        ({"date_from": day}, 1),
        ({"date_from": after}, 0),
        ({"date_from": day, "date_to": day}, 1),
        ({"date_from": "0001-01-01", "date_to": "9999-12-31"}, 1),
    ):
        assert len(await api.walk(user_id=user, **filters)) == found, filters


async def test_instants_may_have_an_offset_or_none(api: ApiClient, user: str) -> None:
    image = await api.uploaded(user_id=user)
    created = datetime.fromisoformat(image["created_at"])
    for hours in (-11, 2, 14):
        there = created.astimezone(timezone(timedelta(hours=hours)))
        for spelled in (there.isoformat(), there.isoformat().replace("+", " ")):
            assert len(await api.walk(user_id=user, date_from=spelled, date_to=spelled)) == 1
        earlier = (there - timedelta(milliseconds=1)).isoformat()
        assert len(await api.walk(user_id=user, date_to=earlier)) == 0
    bare = image["created_at"].removesuffix("Z")
    assert len(await api.walk(user_id=user, date_from=bare, date_to=bare)) == 1


# ---------------------------------------------------------------- items


async def test_an_item_is_an_image_s_metadata_and_its_link(api: ApiClient, user: str) -> None:
    image = await api.uploaded(DATA, user_id=user)
    page = await api.page(user_id=user)
    assert page.keys() == {"images", "count", "next_cursor"}
    (item,) = page["images"]
    assert {name: item[name] for name in image} == image
    assert item.keys() - image.keys() - {"variants"} == {"url", "url_expires_at"}
    fetched = await api.fetch(item["url"])
    assert (fetched.status, fetched.body) == (200, DATA)


async def test_a_list_s_links_are_the_same_when_it_is_read_again(api: ApiClient, user: str) -> None:
    for _ in range(3):
        await api.uploaded(user_id=user)
    assert await api.page(user_id=user) == await api.page(user_id=user)


async def test_an_empty_list_is_a_page_of_none(api: ApiClient, user: str) -> None:
    answer = await api.get("/images", params={"user_id": user})
    assert (answer.status, answer.json) == (200, {"images": [], "count": 0, "next_cursor": None})
    assert "Link" not in answer.headers


# ---------------------------------------------------------------- pages


async def test_pages_are_full_and_join_without_a_seam_whatever_their_size(api: ApiClient, user: str) -> None:
    made = [(await api.uploaded(user_id=user, title=f"number {n}"))["image_id"] for n in range(12)]
    for limit in (1, 4, 5, 11, 12, 13, 100):
        page = await api.page(user_id=user, limit=limit)
        assert page["count"] == len(page["images"]) == min(limit, 12)
        assert (page["next_cursor"] is None) == (limit >= 12)
        assert ids(await api.walk(limit, user_id=user)) == made[::-1]


async def test_a_page_has_50_images_unless_told_otherwise_and_at_most_100(api: ApiClient, user: str) -> None:
    made = [(await api.uploaded(user_id=user))["image_id"] for _ in range(101)]
    for filters, size in (({}, 50), ({"limit": 100}, 100)):
        page = await api.page(user_id=user, **filters)
        assert ids(page["images"]) == made[::-1][:size]
        assert page["next_cursor"]
    assert ids(await api.walk(50, user_id=user)) == made[::-1]


async def test_link_next_leads_through_the_whole_list(api: ApiClient, user: str) -> None:
    title = 'a "b" & c=d, <é> +%'
    made = [(await api.uploaded(user_id=user, title=title))["image_id"] for _ in range(5)]
    answer = await api.get("/images", params={"user_id": user, "title": title, "limit": "2"})
    found = ids(answer.json["images"])
    while "Link" in answer.headers:
        match = re.fullmatch(r'<([^<>"]+)>; rel="next"', answer.headers["Link"])
        assert match
        query = dict(parse_qsl(urlsplit(match[1]).query))
        assert query == {"user_id": user, "title": title, "limit": "2", "cursor": answer.json["next_cursor"]}
        answer = await api.fetch(match[1])
        found += ids(answer.json["images"])
    assert answer.json["next_cursor"] is None
    assert found == made[::-1]


async def test_the_page_size_may_change_on_the_way(api: ApiClient, user: str) -> None:
    made = [(await api.uploaded(user_id=user))["image_id"] for _ in range(6)]
    first = await api.page(user_id=user, limit=1)
    second = await api.page(user_id=user, limit=2, cursor=first["next_cursor"])
    third = await api.page(user_id=user, cursor=second["next_cursor"])
    assert ids([*first["images"], *second["images"], *third["images"]]) == made[::-1]


async def test_images_that_come_and_go_between_pages_neither_repeat_nor_hide_the_others(
    api: ApiClient, user: str
) -> None:
    made = [(await api.uploaded(user_id=user))["image_id"] for _ in range(12)]
    newest_first = made[::-1]
    page = await api.page(user_id=user, limit=3)
    seen = ids(page["images"])
    # Of what was seen, the very image that the cursor stands at; of what is to come, the next and a later one.
    gone = {newest_first[2], newest_first[3], newest_first[8]}
    for image_id in gone:
        assert (await api.delete(f"/images/{image_id}", {"user_id": user})).status == 200
    while page["next_cursor"]:
        await api.uploaded(user_id=user)
        page = await api.page(user_id=user, limit=3, cursor=page["next_cursor"])
        assert page["count"] == 3 or page["next_cursor"] is None
        seen += ids(page["images"])
    assert seen == [each for each in newest_first if each not in gone - {newest_first[2]}]


async def test_an_edit_between_pages_does_not_move_an_image(api: ApiClient, user: str) -> None:
    made = [(await api.uploaded(user_id=user))["image_id"] for _ in range(4)]
    first = await api.page(user_id=user, limit=2)
    for image_id in made:
        await api.patch(f"/images/{image_id}", {"user_id": user, "title": "edited"})
    second = await api.page(user_id=user, limit=2, cursor=first["next_cursor"])
    assert ids([*first["images"], *second["images"]]) == made[::-1]


# ---------------------------------------------------------------- cursors


@pytest.fixture
async def cursor(api: ApiClient, ada: str, library: dict[str, dict[str, Any]]) -> str:
    """Return the cursor to the second page of the library."""
    return str((await api.page(user_id=ada, limit=1))["next_cursor"])


async def test_a_cursor_is_plain_enough_for_a_url(cursor: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._~-]+", cursor)


async def test_a_tampered_cursor_is_refused(api: ApiClient, ada: str, cursor: str) -> None:
    for n, letter in enumerate(cursor):
        other = cursor[:n] + ("A" if letter != "A" else "B") + cursor[n + 1 :]
        answer = await api.get("/images", params={"user_id": ada, "cursor": other})
        assert answer.outcome == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "change",
    [
        lambda cursor: "",
        lambda cursor: cursor[:-1],
        lambda cursor: cursor[1:],
        lambda cursor: cursor + "A",
        lambda cursor: cursor + "=",
        lambda cursor: cursor + cursor,
        lambda cursor: f" {cursor}",
        lambda cursor: f"{cursor}\n",
        lambda cursor: cursor.swapcase(),
        lambda cursor: "é",
        lambda cursor: "\0",
        lambda cursor: "A" * 5_000,
        lambda cursor: "eyJpZCI6MX0",
    ],
)
async def test_what_is_no_cursor_is_refused(api: ApiClient, ada: str, cursor: str, change: Any) -> None:
    answer = await api.get("/images", params={"user_id": ada, "cursor": change(cursor)})
    assert answer.outcome == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "other",
    [
        {"user_id": "another"},
        {"tags": "sunset"},
        {"tags_match": "any"},
        {"title": "a"},
        {"date_from": "2020-01-01"},
        {"date_to": "2120-01-01"},
    ],
)
async def test_a_cursor_is_bound_to_its_filters(
    api: ApiClient, ada: str, cursor: str, other: dict[str, str]
) -> None:
    answer = await api.get("/images", params={"user_id": ada, **other, "cursor": cursor})
    assert answer.outcome == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"title": "E"},
        {"tags": "NATURE,sunset", "tags_match": "any"},
        {"date_from": "2020-01-01", "date_to": "9999-12-31"},
        {"tags": "Straße,nature", "tags_match": "any", "title": " e", "date_to": "2120-01-01T00:00+05:30"},
    ],
)
async def test_a_cursor_alone_goes_on_with_its_query(
    api: ApiClient, ada: str, library: dict[str, dict[str, Any]], filters: dict[str, str]
) -> None:
    whole = ids(await api.walk(user_id=ada, **filters))
    page = await api.page(user_id=ada, limit=1, **filters)
    found = ids(page["images"])
    while page["next_cursor"]:
        page = await api.page(limit=1, cursor=page["next_cursor"])
        found += ids(page["images"])
    assert found == whole
    assert found or not library


# As many letters as there may be of each: of one byte, and of more where the URL has room for it.
LONGEST = {
    "ascii": ("x" * 128, [f"{n:02}" + "x" * 48 for n in range(20)], "x" * 200),
    "beyond": ("u" * 128, [f"{n:02}" + "ü" * 48 for n in range(20)], "ö" * 200),
    "folded": ("u" * 128, [f"{n:02}" + "\u0390" * 48 for n in range(20)], "\u0390" * 200),
}


@pytest.mark.parametrize(("letters", "tags", "title"), LONGEST.values(), ids=LONGEST.keys())
async def test_the_longest_query_has_pages_too(api: ApiClient, letters: str, tags: list[str], title: str) -> None:
    user = (secrets.token_hex(8) + letters)[:128]
    made = [(await api.uploaded(DATA, user_id=user, tags=tags, title=title))["image_id"] for _ in range(3)]
    for fewer in range(20, 0, -1):  # as many tags as the first page's URL has room for
        filters = {"user_id": user, "tags": ",".join(tags[:fewer]), "title": title, "tags_match": "any"}
        if len(urlencode({"limit": 1, **filters})) < 8_100:
            break
    answer = await api.get("/images", params={"limit": 1, **filters})
    found = ids(answer.json["images"])
    while cursor := answer.json["next_cursor"]:
        assert len(answer.headers.get("Link", "")) <= 3_000
        answer = await api.get("/images", params={"limit": 1, "cursor": cursor})
        assert answer.status == 200
        found += ids(answer.json["images"])
    assert found == made[::-1]


async def test_a_link_that_would_be_long_leaves_the_filters_to_the_cursor(api: ApiClient, user: str) -> None:
    title, tags = "ö" * 200, [f"{n:02}" * 15 for n in range(20)]
    made = [(await api.uploaded(DATA, user_id=user, title=title, tags=tags))["image_id"] for _ in range(2)]
    filters = {"user_id": user, "title": title, "tags": ",".join(tags)}
    first = await api.get("/images", params={"limit": "1", **filters})
    link = first.headers["Link"].removeprefix("<").removesuffix('>; rel="next"')
    assert parse_qsl(urlsplit(link).query) == [("limit", "1"), ("cursor", first.json["next_cursor"])]
    assert ids((await api.fetch(link)).json["images"]) == [made[0]]


async def test_a_cursor_does_not_mind_how_its_filters_are_spelled(
    api: ApiClient, ada: str, library: dict[str, dict[str, Any]]
) -> None:
    first = await api.page(user_id=ada, limit=1, tags="nature,sunset", tags_match="any", title="E")
    spelled = {"title": "e", "tags_match": "any", "tags": " SUNSET,nature", "user_id": ada}
    second = await api.page(**spelled, cursor=first["next_cursor"])
    assert ids([*first["images"], *second["images"]]) == [library[n]["image_id"] for n in ("hill", "wood", "beach")]


async def test_a_cursor_of_another_service_is_refused(
    api: ApiClient, start: Start, tmp_path: Path, cursor: str, ada: str
) -> None:
    async with start(tmp_path) as other:
        for _ in range(2):
            await other.uploaded(user_id=ada)
        foreign = (await other.page(user_id=ada, limit=1))["next_cursor"]
        assert (await other.get("/images", params={"user_id": ada, "cursor": foreign})).status == 200
    assert (await api.get("/images", params={"user_id": ada, "cursor": cursor})).status == 200
    answer = await api.get("/images", params={"user_id": ada, "cursor": foreign})
    assert answer.outcome == (400, "invalid_cursor")


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("limit", each) for each in ("0", "-1", "101", "1e9", "1000000000", "9" * 100, "abc", "10.5", "")],
        *[("limit", each) for each in ("+5", " 5", "0x10", "1_0", "٣", "null", "true", "1,2")],
        ("tags_match", "some"),
        ("tags_match", "ALL"),
        ("tags_match", ""),
        ("tags", ",".join(f"t{n}" for n in range(21))),
        ("tags", ",".join(f"t{n}" for n in range(1_000))),
        ("tags", "t" * 51),
        ("tags", "\0"),
        ("title", "x" * 201),
        ("title", "\0"),
        ("title", "a\nb"),
        ("user_id", ""),
        ("user_id", " "),
        ("user_id", "u" * 129),
        ("user_id", "\x7f"),
        *[
            (name, each)
            for name in ("date_from", "date_to")
            for each in (
                "", "yesterday", "2025-02-30", "2025-13-01", "2025-00-10", "2025-9-1", "01/09/2025", "2025",
                "2025-09", "1756684800", "2025-09-01T25:00", "2025-09-01T12:60Z", "2025-09-01T12:00+99:00",
                "2025-09-01T", "2025-09-01Z", "0000-01-01", "10000-01-01", "-2025-09-01", "\uff12025-09-01",
                "2025-09-01\n", "NaN", "0001-01-01T00:00+01:00", "2025-09-01T12:00:00Zjunk",
            )
        ],
        ("date_form", "2025-09-01"),
        ("Limit", "5"),
        ("page", "2"),
        ("offset", "0"),
        ("", "x"),
    ],
)  # fmt: skip
async def test_a_parameter_that_cannot_be_meant_is_refused(api: ApiClient, name: str, value: str) -> None:
    answer = await api.get("/images", params={name: value})
    assert answer.outcome == (400, "invalid_parameter")
    known = {"limit", "tags", "tags_match", "title", "user_id", "date_from", "date_to"}
    assert answer.json["errors"].keys() == {name if name in known else "_unknown"}


async def test_several_wrong_parameters_are_told_together(api: ApiClient) -> None:
    answer = await api.get("/images", params={"limit": "x", "date_from": "x", "tags_match": "x"})
    assert answer.json["errors"].keys() == {"limit", "date_from", "tags_match"}


@pytest.mark.parametrize(
    "name", ["user_id", "tags", "tags_match", "title", "date_from", "date_to", "limit", "cursor"]
)
async def test_a_repeated_parameter_is_refused(api: ApiClient, name: str) -> None:
    for value in ("", "5"):
        answer = await api.get("/images", params=[(name, "5"), (name, value)])
        assert answer.outcome == (400, "invalid_parameter")


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("2025-09-02", "2025-09-01"),
        ("2025-09-01T12:00:00.001Z", "2025-09-01T12:00:00Z"),
        ("2025-09-02T00:00:00Z", "2025-09-01"),
        ("2025-09-01T12:00+00:00", "2025-09-01T12:30+01:00"),
    ],
)
async def test_a_range_that_ends_before_it_begins_is_refused(api: ApiClient, since: str, until: str) -> None:
    answer = await api.get("/images", params={"date_from": since, "date_to": until})
    assert answer.outcome == (400, "invalid_parameter")
    assert (await api.get("/images", params={"date_from": until, "date_to": since})).status == 200


async def test_a_page_that_reads_its_budget_comes_short_with_a_cursor(start: Start, tmp_path: Path) -> None:
    async with start(tmp_path, read_budget=4) as api:
        images = [await api.uploaded(DATA, title=title) for title in ("lake", *["sea"] * 11, "lake")]
        first = await api.page(title="la")
        assert first["count"] < 2
        assert first["next_cursor"]
        found, cursor = first["images"], first["next_cursor"]
        while cursor:
            page = await api.page(title="la", cursor=cursor)
            found, cursor = found + page["images"], page["next_cursor"]
        assert ids(found) == ids([images[-1], images[0]])
