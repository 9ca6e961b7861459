"""The index of a table that has none, that lacks something, or says what is not so."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bootstrap.emulator import Emulator
from bootstrap.policy import upkeep_policy
from service.domain import model
from service.domain.model import Details, ImageQuery, Mended, fold
from service.domain.search import terms
from service.runtime import Runtime, open_service
from service.upkeep.reconciler import Reconciled
from tests.aws.stand_in import new_account
from tests.pictures import picture

DETAILS = Details("ada", "Sunset at the lake", "photo.jpg", tags=("Sunset", "sea"))
QUERIES = [
    ImageQuery(),
    ImageQuery(user_id="ada"),
    ImageQuery(tags=("sunset",)),
    ImageQuery(title="sunset"),
    ImageQuery(title="set at"),
]
# As the original service writes an item; each in one of the forms that were seen.
ORIGINALS: list[dict[str, Any]] = [
    {"created_at": {"S": "2025-09-15T12:00:00.123456"}, "tags": {"L": [{"S": "Sunset"}]}},
    {"created_at": {"S": "2025-09-15T12:00:01+00:00"}, "tags": {"SS": ["Sunset", "sea"]}},
    {"created_at": {"S": "2025-09-15T14:00:02.5+02:00"}, "tags": {"S": "Sunset, sea"}},
    {"created_at": {"S": "2025-09-15T12:00:03Z"}, "tags": {"L": [{"S": "Sunset"}]}, "description": {"S": "Old"}},
]


class Depot:
    """A service of its own on the emulator, a day from now, and its tables as they are stored."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.records: Any = runtime.api.services.depot.records
        self.objects = runtime.api.services.depot.objects
        settings = runtime.api.services.settings
        self.table, self.index = settings.table, settings.index_table
        self.dynamodb = self.records._dynamodb

    async def listed(self) -> list[list[str]]:
        pages = [await self.runtime.api.services.images.find(query, None, 100) for query in QUERIES]
        return [[each.image_id for each in page.images] for page in pages]

    async def rows(self) -> list[dict[str, Any]]:
        """Return the index table's rows of images."""
        found = (await self.dynamodb.scan(TableName=self.index, ConsistentRead=True))["Items"]
        return [row for row in found if "#" in row["term"]["S"]]

    async def clear(self) -> None:
        for row in await self.rows():
            await self.dynamodb.delete_item(TableName=self.index, Key=key(row))

    async def put_originals(self) -> list[str]:
        """Leave images as the original service would, and return their ids, the newest first."""
        for n, form in enumerate(ORIGINALS):
            image_id, object_key = f"original-{n}", f"images/ada/{n}.jpg"
            await self.objects.put(object_key, picture(), "image/jpeg")
            item = {
                "image_id": {"S": image_id},
                "user_id": {"S": "ada"},
                "s3_key": {"S": object_key},
                "filename": {"S": "photo.jpg"},
                "title": {"S": "Sunset at the lake"},
                "content_type": {"S": "image/jpeg"},
                **form,
            }
            await self.dynamodb.put_item(TableName=self.table, Item=item)
        return [f"original-{n}" for n in range(len(ORIGINALS))][::-1]


def key(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("term", "position")}


@pytest.fixture
async def depot(emulator: Emulator) -> AsyncIterator[Depot]:
    async with AsyncExitStack() as stack:
        account = await stack.enter_async_context(new_account(emulator))
        account = replace(account, key=await emulator.create_user(upkeep_policy(account.settings)))
        with account.environment():  # the SDK reads it when clients are made
            opening = open_service(account.settings, lambda: model.now() + timedelta(days=1))
            runtime = await stack.enter_async_context(opening)
        yield Depot(runtime)


async def uploaded(depot: Depot) -> str:
    """Publish a picture a day ago, as it seems then, and return its id."""
    image = await depot.runtime.api.services.images.upload(DETAILS, picture())
    return image.image_id


@pytest.fixture
async def tomorrow(depot: Depot) -> Depot:
    """Return a depot with one image in it, a day later."""
    await uploaded(depot)
    reconciler: Any = depot.runtime.reconciler
    reconciler._depot = replace(reconciler._depot, clock=lambda: model.now() + timedelta(days=2))
    return depot


async def test_what_idempotency_keys_stand_for_is_no_part_of_the_index(tomorrow: Depot) -> None:
    uploads = tomorrow.runtime.api.services.images
    image = await uploads.upload(DETAILS, picture(), idempotency_key="a key")
    before = await tomorrow.rows()
    assert await tomorrow.runtime.reconciler.reconcile() == Reconciled(0, 0, Mended())
    assert await tomorrow.rows() == before
    assert await uploads.upload(DETAILS, picture(), idempotency_key="a key") == image


async def test_an_index_that_is_whole_stays_as_it_is(tomorrow: Depot) -> None:
    before = await tomorrow.rows()
    assert await tomorrow.runtime.reconciler.reconcile() == Reconciled(0, 0)
    assert await tomorrow.rows() == before


async def test_rows_that_are_missing_are_added_but_not_by_a_dry_run(tomorrow: Depot) -> None:
    before, listed = await tomorrow.rows(), await tomorrow.listed()
    await tomorrow.clear()
    assert await tomorrow.listed() != listed
    found = Reconciled(0, 0, Mended(missing=len(before)))
    assert await tomorrow.runtime.reconciler.reconcile(dry_run=True) == found
    assert await tomorrow.rows() == []
    assert await tomorrow.runtime.reconciler.reconcile() == found
    assert await tomorrow.listed() == listed


async def test_rows_that_were_folded_by_case_alone_are_folded_again(
    depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    details = Details("ada", "İstanbul, ΑΘΉΝΑ: ﬁne", "photo.jpg", tags=("İzmir", "sea"))
    with monkeypatch.context() as before:
        for module in ("service.domain.search", "service.aws.items"):
            before.setattr(f"{module}.fold", str.casefold)
        image = await depot.runtime.api.services.images.upload(details, picture())
    old = await depot.rows()
    wanted = [
        *(ImageQuery(title=fold(part)) for part in ("istanbul", "fine", ": ﬁne", "ΑΘΉΝΑ")),
        ImageQuery(tags=(fold("izmir"),)),
        ImageQuery(tags=("sea",), title=fold("İSTANBUL, αθήνα")),
    ]

    async def found() -> list[bool]:
        pages = [await depot.records.find(query, None, 100) for query in wanted]
        return [page.images == (image,) for page in pages]

    assert not all(await found())
    reconciler: Any = depot.runtime.reconciler
    reconciler._depot = replace(reconciler._depot, clock=lambda: model.now() + timedelta(days=2))
    mended = (await reconciler.reconcile()).lists
    assert mended.missing > 0
    assert mended.stale > 0
    assert all(await found())
    new = await depot.rows()
    assert {row["term"]["S"] for row in new} == set(terms(details))
    assert {row["title"]["S"] for row in new} == {fold(details.title)}
    assert await reconciler.reconcile() == Reconciled(0, 0)
    for row in old:  # as they were; this time they are added only
        await depot.dynamodb.put_item(TableName=depot.index, Item=row)
    assert [each.indexed async for each in depot.runtime.reindexer.reindex()] == [1]
    assert all(await found())


@pytest.mark.parametrize("said", [{"title": {"S": "something else"}}, {"visibility": {"S": "public"}}])
async def test_a_row_that_says_something_else_than_the_image_is_mended(
    tomorrow: Depot, said: dict[str, Any]
) -> None:
    before = await tomorrow.rows()
    wrong = {**before[0], **said}
    await tomorrow.dynamodb.put_item(TableName=tomorrow.index, Item=wrong)
    assert (await tomorrow.runtime.reconciler.reconcile()).lists == Mended(missing=1)
    assert await tomorrow.rows() == before


@pytest.mark.parametrize("change", [{"term": "tag#winter"}, {"position": "2025-01-01T00:00:00.000Z#nobody"}])
async def test_rows_of_nothing_are_removed_but_not_by_a_dry_run(tomorrow: Depot, change: dict[str, str]) -> None:
    before = await tomorrow.rows()
    stale = {**before[0], **{name: {"S": value} for name, value in change.items()}}
    await tomorrow.dynamodb.put_item(TableName=tomorrow.index, Item=stale)
    assert (await tomorrow.runtime.reconciler.reconcile(dry_run=True)).lists == Mended(stale=1)
    assert len(await tomorrow.rows()) == len(before) + 1
    assert (await tomorrow.runtime.reconciler.reconcile()).lists == Mended(stale=1)
    assert await tomorrow.rows() == before


async def test_what_is_young_may_belong_to_something_under_way(depot: Depot) -> None:
    await uploaded(depot)
    await depot.clear()
    assert (await depot.runtime.reconciler.reconcile()).lists == Mended()


async def test_reindexing_builds_an_index_that_is_gone(depot: Depot) -> None:
    image_id = await uploaded(depot)
    await depot.clear()
    (done,) = [each async for each in depot.runtime.reindexer.reindex()]
    assert (done.looked_at, done.indexed, done.adopted, done.refused) == (1, 1, 0, 0)
    assert await depot.listed() == [[image_id]] * len(QUERIES)


async def test_images_of_the_original_service_are_listed_shown_edited_and_deleted(depot: Depot) -> None:
    originals = await depot.put_originals()
    images = depot.runtime.api.services.images
    assert await depot.listed() == [[]] * len(QUERIES)
    (done,) = [each async for each in depot.runtime.reindexer.reindex()]
    assert (done.adopted, done.refused) == (len(originals), 0)
    assert await depot.listed() == [originals] * len(QUERIES)
    image = await images.image(originals[0], "ada")
    assert (image.content.content_type, image.details.description) == ("image/jpeg", "Old")
    assert b"".join([chunk async for chunk in await images.read(image)]) == picture()
    await images.edit(originals[0], "ada", viewer=None, title="Sunset at the lake, again", tags=("sunset",))
    await images.delete(originals[1], "ada", viewer=None)
    assert await depot.listed() == [[originals[0], *originals[2:]]] * len(QUERIES)
    (again,) = [each async for each in depot.runtime.reindexer.reindex()]
    assert (again.adopted, again.indexed) == (0, len(originals) - 1)


@pytest.mark.parametrize("declared", ["image/png", "image/jpg", ""])
async def test_an_original_under_another_type_is_sealed_as_what_it_is(depot: Depot, declared: str) -> None:
    for original in await depot.put_originals():
        await depot.dynamodb.update_item(
            TableName=depot.table,
            Key={"image_id": {"S": original}},
            UpdateExpression="SET content_type = :declared",
            ExpressionAttributeValues={":declared": {"S": declared}},
        )
    (done,) = [each async for each in depot.runtime.reindexer.reindex()]
    assert (done.adopted, done.refused) == (len(ORIGINALS), 0)
    image = await depot.runtime.api.services.images.image("original-0", "ada")
    s3: Any = depot.objects
    head = await s3._s3.head_object(Bucket=s3._bucket, Key=image.object_key)
    assert head["ContentType"] == image.content.content_type == "image/jpeg"


@pytest.mark.parametrize(
    "broken", [{"s3_key": {"S": "images/ada/nothing.jpg"}}, {"created_at": {"S": "yesterday"}}]
)
async def test_what_cannot_be_shown_is_refused_and_left_as_it_is(depot: Depot, broken: dict[str, Any]) -> None:
    await depot.put_originals()
    found = (await depot.dynamodb.get_item(TableName=depot.table, Key={"image_id": {"S": "original-0"}}))["Item"]
    await depot.dynamodb.put_item(TableName=depot.table, Item=(item := {**found, **broken}))
    (done,) = [each async for each in depot.runtime.reindexer.reindex()]
    assert (done.adopted, done.refused) == (len(ORIGINALS) - 1, 1)
    left = await depot.dynamodb.get_item(TableName=depot.table, Key={"image_id": {"S": "original-0"}})
    assert left["Item"] == item


async def test_a_reindex_that_was_cut_off_goes_on_where_it_was(
    depot: Depot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.aws.upkeep._PAGE", 1)
    originals = await depot.put_originals()
    async for done in depot.runtime.reindexer.reindex():
        if done.looked_at == 2:
            break
    rest = [each async for each in depot.runtime.reindexer.reindex()]
    assert sum(each.adopted for each in rest[-1:]) == 2
    assert await depot.listed() == [originals] * len(QUERIES)


async def test_objects_that_the_service_never_made_are_no_orphans(tomorrow: Depot) -> None:
    await tomorrow.objects.put("images/ada/0.jpg", picture(), "image/jpeg")
    assert (await tomorrow.runtime.reconciler.reconcile()).orphans == 0
