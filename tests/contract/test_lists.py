"""Lists against a filter by brute force: random libraries, random queries, pages of any size, any budget."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.backends import Backend, opened_backend
from service.domain import model
from service.domain.model import Image, ImageQuery, Position, State, fold
from service.domain.ports import ImageRepository
from service.settings import Settings
from tests.aws.stand_in import Account
from tests.contract.test_image_repository import an_upload, published

WORDS = ("sun", "sunset", "under", "Lake", "a lake", "ake", "STRASSE", "Straße", "湖", "é", "to", "x", "%_", '"q"')
WORDS += ("İstanbul", "ISTANBUL", "ΑΘΉΝΑ", "αθήνα", "ﬁne")
TAGS = ("Sunset", "nature", "İzmir", "lake", "é", "rare")
VISIBILITIES = ("private", "public", "private")
DAY = timedelta(days=1)
LIBRARY = 70  # images

# By their read budget.
Repositories = dict[int, ImageRepository]


def local(place: Path, budget: int) -> AbstractAsyncContextManager[Backend]:
    return opened_backend(Settings(data_dir=place, read_budget=budget), model.now)


@asynccontextmanager
async def aws(place: Account, budget: int) -> AsyncIterator[Backend]:
    async with AsyncExitStack() as stack:
        with place.environment():  # the SDK reads it when clients are made
            opening = opened_backend(replace(place.settings, read_budget=budget), model.now)
            backend = await stack.enter_async_context(opening)
        yield backend


class Library:
    """Some images in a time of their own, so that every query for that time is about them alone."""

    def __init__(self, budgets: Repositories, begins: datetime, users: Sequence[str]) -> None:
        self.budgets, self.begins, self.users = budgets, begins, users
        self.images: list[Image] = []

    @property
    def records(self) -> ImageRepository:
        return self.budgets[2000]

    async def add(self, chance: random.Random) -> Image:
        """Publish a random image; many are of the same millisecond."""
        upload = an_upload(
            chance.choice(self.users),
            self.begins + timedelta(seconds=min(chance.randrange(86_400), chance.randrange(86_400)) // 4000),
            title=" ".join(chance.choices(WORDS, k=chance.randint(1, 4))),
            tags=tuple(chance.sample(TAGS[:-1] if chance.random() < 0.9 else TAGS, k=chance.randint(0, 3))),
            visibility=chance.choice(VISIBILITIES),
        )
        return await published(self.records, upload)

    def expected(self, query: ImageQuery) -> list[str]:
        """Return the ids of the images that match, found without any list."""
        found = [each for each in self.images if wanted(each, query)]
        return [each.image_id for each in sorted(found, key=lambda each: (each.created_at, each.image_id))][::-1]


def wanted(image: Image, query: ImageQuery) -> bool:
    tags = {fold(each) for each in image.details.tags}
    asked = set(query.tags)
    return (
        query.user_id in {None, image.details.user_id}
        and (not asked or bool(asked & tags if query.any_tag else asked <= tags))
        and (query.title or "") in fold(image.details.title)
        and (query.since is None or image.created_at >= query.since)
        and (query.until is None or image.created_at < query.until)
        and (query.viewer in {None, image.details.user_id} or image.details.visibility == "public")
    )


OPENED = {"local": (local, "session_directory"), "aws": (aws, "account")}


@pytest.fixture(scope="session", params=OPENED)
def opening(request: pytest.FixtureRequest) -> Callable[[int], AbstractAsyncContextManager[Backend]]:
    """Return how each backend is opened with a read budget, always on the same place."""
    opens, place = OPENED[request.param]
    return partial(opens, request.getfixturevalue(place))


@pytest.fixture(scope="session")
async def backends(opening: Callable[[int], AbstractAsyncContextManager[Backend]]) -> AsyncIterator[Repositories]:
    """Return a repository by its read budget."""
    async with AsyncExitStack() as stack:
        yield {budget: (await stack.enter_async_context(opening(budget))).records for budget in (1, 7, 2000)}


def a_time_of_its_own() -> datetime:
    return datetime(1900, 1, 1, tzinfo=UTC) + secrets.randbelow(100_000) * DAY


async def a_library(budgets: Repositories, seed: int) -> Library:
    chance = random.Random(seed)
    users = [f"{name}-{secrets.token_hex(4)}" for name in ("ada", "ben")]
    library = Library(budgets, a_time_of_its_own(), users)
    library.images = list(await asyncio.gather(*(library.add(chance) for _ in range(LIBRARY))))
    return library


@pytest.fixture(scope="session")
async def library(backends: Repositories) -> Library:
    """Return a library that nobody changes."""
    return await a_library(backends, secrets.randbelow(2**32))


def parts() -> st.SearchStrategy[str]:
    """Return parts of titles, most of them there."""
    whole = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
    cut = st.tuples(whole, st.integers(0, 8), st.integers(1, 9)).map(lambda each: each[0][each[1] :][: each[2]])
    return cut.filter(bool).map(fold)


@st.composite
def queries(draw: st.DrawFn) -> tuple[ImageQuery, int, int]:
    """Return a query, a limit and a budget; users are numbers there, times seconds from the library's beginning."""
    tags = tuple(dict.fromkeys(fold(each) for each in draw(st.lists(st.sampled_from(TAGS), max_size=3))))
    times = draw(st.lists(st.integers(0, 22), min_size=2, max_size=2, unique=True))
    dates = draw(st.booleans())
    query = ImageQuery(
        draw(st.none() | st.sampled_from("01")),
        tags,
        bool(tags) and draw(st.booleans()),
        draw(st.none() | parts()),
        datetime.fromtimestamp(min(times) if dates else 0, UTC),
        datetime.fromtimestamp(max(times) if dates else 86_400, UTC),
        draw(st.none() | st.sampled_from("012")),
    )
    return query, draw(st.integers(1, 30)), draw(st.sampled_from([1, 7, 2000]))


def placed(query: ImageQuery, library: Library) -> ImageQuery:
    """Return the query for this library's time and its users; the last one has nothing in it."""
    users = dict(zip("012", [*library.users, "eve"], strict=True))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert query.since
    assert query.until
    since, until = (library.begins + (each - epoch) for each in (query.since, query.until))
    user, viewer = (users.get(each) if each else None for each in (query.user_id, query.viewer))
    return replace(query, user_id=user, viewer=viewer, since=since, until=until)


MANY = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@MANY
@given(asked=queries())
async def test_the_pages_of_any_query_are_what_a_filter_finds(library: Library, asked: Any) -> None:
    query, limit, budget = asked
    query = placed(query, library)
    found: list[str] = []
    after: Position | None = None
    while True:
        page = await library.budgets[budget].find(query, after, limit)
        assert len(page.images) <= limit
        assert page.next is None or after is None or page.next.key < after.key
        found += [each.image_id for each in page.images]
        if page.next is None:
            break
        after = page.next
    assert found == library.expected(query)


@MANY
@given(asked=queries())
async def test_a_page_within_its_budget_is_full_unless_the_list_ends(library: Library, asked: Any) -> None:
    query, limit, _ = asked
    query = placed(query, library)
    expected = library.expected(query)
    page = await library.records.find(query, None, limit)
    assert [each.image_id for each in page.images] == expected[:limit]
    assert page.next is not None or len(expected) <= limit


@pytest.mark.parametrize(
    ("title", "looked_for"),
    [
        ("İstanbul", "istanbul"),
        ("Istanbul", "İSTANBUL"),
        ("ΑΘΉΝΑ", "αθήνα"),
        ("Αθη\u0301να", "ΑΘΉΝΑ"),
        ("Ὀδυσσεύς", "ὈΔΥΣΣΕΎΣ"),
        ("ﬁne", "FINE"),
        ("ＴＯＫＹＯ", "Tokyo"),
    ],
)
async def test_a_title_and_a_tag_are_found_in_every_form_of_theirs(
    backends: Repositories, title: str, looked_for: str
) -> None:
    begins, part = a_time_of_its_own(), fold(looked_for)
    upload = an_upload(created_at=begins, title=f"In {title}, 2024", tags=(title,))
    image = await published(backends[2000], upload)
    times = {"since": begins, "until": begins + DAY}
    for query in (ImageQuery(title=part, **times), ImageQuery(tags=(part,), **times)):
        assert (await backends[2000].find(query, None, 10)).images == (image,)


@pytest.mark.parametrize("lead", [0, 1, 2])
async def test_a_page_may_begin_after_what_is_of_the_very_time_until(backends: Repositories, lead: int) -> None:
    user, begins = f"ada-{secrets.token_hex(4)}", a_time_of_its_own()
    until = begins + timedelta(seconds=1)
    within, beyond = [
        await published(backends[2000], an_upload(user, at, tags=("sunset",))) for at in (begins, until)
    ]
    query = ImageQuery(user, ("sunset",), since=begins, until=until)
    page = await backends[2000].find(query, Position(until, beyond.image_id, lead), 10)
    assert [each.image_id for each in page.images] == [within.image_id]


@pytest.mark.parametrize("seed", range(12))
async def test_what_comes_and_goes_between_pages_moves_nothing_else(backends: Repositories, seed: int) -> None:
    chance = random.Random(seed)
    library = await a_library(backends, seed)
    untouched = {each.image_id for each in library.images}
    deleted: set[str] = set()
    filters: dict[str, Any] = chance.choice(
        [
            {},
            {"user_id": library.users[0]},
            {"tags": ("sunset",)},
            {"tags": ("sunset", "nature")},
            {"tags": ("sunset", "lake"), "any_tag": True},
            {"title": "sun"},
            {"title": "a"},
            {"viewer": library.users[0]},
            {"viewer": "eve", "tags": ("sunset",)},
        ]
    )
    query = ImageQuery(since=library.begins, until=library.begins + DAY, **filters)
    found: list[str] = []
    after: Position | None = None
    while True:
        page = await library.budgets[chance.choice([7, 2000])].find(query, after, chance.randint(1, 9))
        found += [each.image_id for each in page.images]
        assert not deleted & {each.image_id for each in page.images}
        if page.next is None:
            break
        after = page.next
        library.images.append(await library.add(chance))
        going = chance.choice([each for each in library.images if each.image_id not in deleted])
        assert await library.records.retire(going.image_id, {State.READY}, going.created_at)
        deleted.add(going.image_id)
        untouched.discard(going.image_id)
    assert len(found) == len(set(found))
    expected = library.expected(query)
    assert [each for each in found if each in untouched] == [each for each in expected if each in untouched]
    assert set(found) <= set(expected)
