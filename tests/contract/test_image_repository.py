"""What every image repository promises (see `service.domain.ports.ImageRepository`)."""

import asyncio
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import uuid_utils

from service.domain.model import (
    CLAIM_LIFE,
    GRACE,
    Claim,
    Content,
    Details,
    Expected,
    Failure,
    Image,
    ImageQuery,
    Position,
    State,
    Upload,
    Variant,
    Visibility,
    milliseconds,
    now,
)
from service.domain.ports import ImageRepository

NOON = datetime(2025, 9, 15, 12, tzinfo=UTC)


def an_upload(user: str | None = None, created_at: datetime | None = None, **details: object) -> Upload:
    created = milliseconds(created_at or datetime.now(UTC))
    about = {"title": "A photo", "filename": "photo.jpg", "user_id": user or secrets.token_hex(8), **details}
    expected = Expected("PUT", "image/jpeg", 1_000, "ab" * 32)
    return Upload(
        str(uuid_utils.uuid7()),
        Details(**about),  # type: ignore[arg-type]
        expected,
        created,
        created + timedelta(minutes=15),
    )


def the_image(upload: Upload) -> Image:
    content = Content("image/jpeg", 1_000, "ab" * 32, 640, 480)
    key = f"images/{upload.image_id}/{secrets.token_hex(8)}/original"
    return Image(upload.image_id, upload.details, content, key, upload.created_at, upload.created_at)


async def published(records: ImageRepository, upload: Upload) -> Image:
    await records.begin(upload)
    await records.prepare(upload)
    image = await records.publish(the_image(upload), settled=True)
    assert image is not None
    return image


async def listed(records: ImageRepository, query: ImageQuery, limit: int = 100) -> list[str]:
    """Return the ids of a whole list, page by page."""
    ids: list[str] = []
    after: Position | None = None
    while True:
        page = await records.find(query, after, limit)
        ids += [image.image_id for image in page.images]
        if page.next is None:
            return ids
        after = page.next


async def test_the_secret_is_made_once(records: ImageRepository) -> None:
    secret = await records.secret()
    assert len(secret) == 32
    assert await records.secret() == secret


def a_claim(user: str, created_at: datetime, key: str = "key") -> Claim:
    created = milliseconds(created_at)
    ends = created + timedelta(minutes=15)
    return Claim(user, key, secrets.token_hex(32), secrets.token_hex(8), str(uuid_utils.uuid7()), created, ends)


async def test_the_first_claim_of_a_key_counts_for_as_long_as_it_lives(records: ImageRepository) -> None:
    user, now = secrets.token_hex(8), datetime.now(UTC)
    first = a_claim(user, now)
    assert await records.claim(first) == first
    assert await records.claim(first) == first
    for later in (timedelta(), timedelta(hours=1), CLAIM_LIFE - SECOND):
        assert await records.claim(a_claim(user, now + later)) == first
    last = a_claim(user, now + CLAIM_LIFE)
    assert await records.claim(last) == last
    assert await records.claim(a_claim(user, now + CLAIM_LIFE)) == last


async def test_a_key_is_each_users_own(records: ImageRepository) -> None:
    user, now = secrets.token_hex(8), datetime.now(UTC)
    claims = [a_claim(user, now), a_claim(user, now, "KEY"), a_claim(f"{user}#", now), a_claim(user, now, "#key")]
    assert [await records.claim(each) for each in claims] == claims


async def test_of_many_claims_at_once_one_counts_for_all(records: ImageRepository) -> None:
    claims = [a_claim("many", datetime.now(UTC), key="one") for _ in range(10)]
    (counts,) = set(await asyncio.gather(*map(records.claim, claims)))
    assert counts in claims


async def test_beginning_again_changes_nothing(records: ImageRepository) -> None:
    upload = an_upload()
    await records.begin(upload)
    await records.begin(upload)
    assert await records.upload(upload.image_id) == upload
    image = await records.publish(the_image(upload), settled=True)
    await records.begin(upload)
    assert await records.image(upload.image_id) == image
    assert await records.retire(upload.image_id, {State.READY}, NOON)
    await records.begin(upload)
    assert await records.image(upload.image_id) is None
    assert await records.publish(the_image(upload), settled=True) is None


async def test_a_new_upload_is_pending_and_no_image(records: ImageRepository) -> None:
    upload = an_upload(description="Two\nlines", tags=("Sunset", "nature"))
    await records.begin(upload)
    assert await records.upload(upload.image_id) == upload
    assert await records.image(upload.image_id) is None
    assert await listed(records, ImageQuery(user_id=upload.details.user_id)) == []


async def test_an_unknown_id_is_neither_an_upload_nor_an_image(records: ImageRepository) -> None:
    assert await records.upload(an_upload().image_id) is None
    assert await records.image(an_upload().image_id) is None


async def test_publishing_makes_the_image_ready_and_listed(records: ImageRepository) -> None:
    upload = an_upload(tags=("Sunset",))
    image = await published(records, upload)
    assert await records.image(upload.image_id) == image
    found = await records.upload(upload.image_id)
    assert found is not None
    assert found.state is State.READY
    assert await listed(records, ImageQuery(user_id=upload.details.user_id)) == [image.image_id]


async def test_of_two_publishers_both_get_the_first_ones_image(records: ImageRepository) -> None:
    upload = an_upload()
    await records.begin(upload)
    attempts = [the_image(upload) for _ in range(8)]
    outcomes = await asyncio.gather(*(records.publish(each, settled=True) for each in attempts))
    (winner,) = set(outcomes)
    assert winner in attempts
    assert await records.image(upload.image_id) == winner


async def test_publishing_without_an_upload_makes_nothing(records: ImageRepository) -> None:
    image = the_image(an_upload())
    assert await records.publish(image, settled=True) is None
    assert await records.image(image.image_id) is None


async def test_a_pending_upload_can_be_extended_a_published_one_not(records: ImageRepository) -> None:
    upload = an_upload()
    await records.begin(upload)
    later = upload.expires_at + timedelta(hours=1)
    assert await records.extend(upload.image_id, later) == replace(upload, expires_at=later)
    await records.publish(the_image(upload), settled=True)
    assert await records.extend(upload.image_id, later) is None


async def test_a_failed_upload_keeps_its_reason_and_stays_failed(records: ImageRepository) -> None:
    upload, reason = an_upload(), Failure("invalid_image", "It is cut off.")
    await records.begin(upload)
    assert await records.fail(upload.image_id, reason)
    assert not await records.fail(upload.image_id, Failure("too_large", "No."))
    found = await records.upload(upload.image_id)
    assert found == replace(upload, state=State.FAILED, failure=reason)
    assert await records.publish(the_image(upload), settled=True) is None


async def test_an_extension_never_shortens_what_was_granted(records: ImageRepository) -> None:
    upload = an_upload()
    await records.begin(upload)
    later = replace(upload, expires_at=upload.expires_at + timedelta(hours=1))
    assert await records.extend(upload.image_id, later.expires_at) == later
    for sooner in (upload.expires_at, later.expires_at, upload.created_at):
        assert await records.extend(upload.image_id, sooner) == later
    assert await records.upload(upload.image_id) == later
    assert not await records.retire(upload.image_id, {State.PENDING}, NOON, due=later.deadline - SECOND)


async def test_a_published_image_cannot_fail(records: ImageRepository) -> None:
    image = await published(records, an_upload())
    assert not await records.fail(image.image_id, Failure("invalid_image", "No."))
    assert await records.image(image.image_id) == image


async def test_an_edit_shows_in_the_image_and_in_lists(records: ImageRepository) -> None:
    tags = [secrets.token_hex(8) for _ in range(2)]
    image = await published(records, an_upload(tags=(tags[0],), title="Before"))
    details = replace(image.details, title="After", tags=(tags[1],), description="New")
    edited = replace(image, details=details, updated_at=image.updated_at + timedelta(seconds=1))
    assert await records.edit(edited, seen=image)
    assert await records.image(image.image_id) == edited
    assert await listed(records, ImageQuery(tags=(tags[0],))) == []
    assert await listed(records, ImageQuery(tags=(tags[1],), title="after")) == [image.image_id]


async def test_an_edit_of_what_has_changed_meanwhile_is_refused(records: ImageRepository) -> None:
    image = await published(records, an_upload())
    first = replace(image, details=replace(image.details, title="First"), updated_at=image.updated_at + SECOND)
    second = replace(image, details=replace(image.details, title="Second"), updated_at=image.updated_at + SECOND)
    assert await records.edit(first, seen=image)
    assert not await records.edit(second, seen=image)
    assert await records.image(image.image_id) == first


async def test_an_edit_of_who_sees_an_image_shows_in_every_list(records: ImageRepository) -> None:
    user, tag = secrets.token_hex(8), secrets.token_hex(8)
    image = await published(records, an_upload(user, tags=(tag,), title=f"Seen {tag}"))
    queries = [
        ImageQuery(viewer="eve", user_id=user),
        ImageQuery(viewer="eve", tags=(tag,)),
        ImageQuery(viewer="eve", title=tag),
    ]
    for visibility in VISIBILITIES:
        found = [image.image_id] if visibility == "public" else []
        details = replace(image.details, visibility=visibility)
        edited = replace(image, details=details, updated_at=image.updated_at + SECOND)
        assert await records.edit(edited, seen=image)
        assert await records.image(image.image_id) == edited
        assert [await listed(records, each) for each in queries] == [found] * len(queries)
        image = edited


SECOND = timedelta(seconds=1)
VISIBILITIES: tuple[Visibility, ...] = ("public", "private")


async def test_of_many_edits_at_once_one_takes_effect(records: ImageRepository) -> None:
    image = await published(records, an_upload())
    edits = [
        replace(image, details=replace(image.details, title=f"Title {n}"), updated_at=image.updated_at + n * SECOND)
        for n in range(1, 9)
    ]
    outcomes = await asyncio.gather(*(records.edit(each, seen=image) for each in edits))
    assert outcomes.count(True) == 1
    assert await records.image(image.image_id) == edits[outcomes.index(True)]


async def test_a_retired_image_is_gone_for_good(records: ImageRepository) -> None:
    tag = secrets.token_hex(8)
    image = await published(records, an_upload(tags=(tag,)))
    deadline = now() + GRACE  # the sweep of another test, beside this one, shall not have it yet
    assert await records.retire(image.image_id, {State.READY}, deadline)
    assert not await records.retire(image.image_id, {State.READY}, deadline)
    assert await records.image(image.image_id) is None
    assert await listed(records, ImageQuery(tags=(tag,))) == []
    assert await records.publish(image, settled=True) is None
    found = await records.upload(image.image_id)
    assert found is not None
    assert found.state is State.DELETED


async def test_retiring_names_the_states_it_is_meant_for(records: ImageRepository) -> None:
    upload = an_upload()
    await records.begin(upload)
    assert not await records.retire(upload.image_id, {State.READY, State.FAILED}, NOON)
    assert await records.retire(upload.image_id, {State.PENDING}, NOON)
    assert not await records.retire(an_upload().image_id, {State.PENDING}, NOON)


async def test_of_many_that_retire_an_image_one_is_told_that_it_did(records: ImageRepository) -> None:
    image = await published(records, an_upload())
    outcomes = await asyncio.gather(*(records.retire(image.image_id, {State.READY}, NOON) for _ in range(8)))
    assert outcomes.count(True) == 1


async def test_of_publishing_and_retiring_at_once_one_wins_and_both_know(records: ImageRepository) -> None:
    for _ in range(10):
        upload = an_upload()
        await records.begin(upload)
        image, retired = await asyncio.gather(
            records.publish(the_image(upload), settled=True), records.retire(upload.image_id, {State.PENDING}, NOON)
        )
        assert (image is None) is retired
        assert await records.image(upload.image_id) == image


async def test_due_are_those_whose_deadline_has_come_whatever_their_state(records: ImageRepository) -> None:
    old = datetime(2001, 1, 1, tzinfo=UTC)
    pending, failed, ready, settled, later = (an_upload(created_at=old) for _ in range(5))
    for each in (pending, failed, ready, settled, later):
        await records.begin(each)
    await records.fail(failed.image_id, Failure("invalid_image", "No."))
    await records.publish(the_image(ready), settled=False)
    await records.publish(the_image(settled), settled=False)
    await records.settle(settled.image_id, datetime.now(UTC))
    await records.settle(ready.image_id, old)  # before its deadline: it stays due
    await records.extend(later.image_id, datetime.now(UTC) + timedelta(hours=1))
    now = old + timedelta(days=1)
    due = {each.image_id: each.state for each in await records.due(now, 100)}
    ours = {each.image_id for each in (pending, failed, ready, settled, later)}
    assert {image_id: state for image_id, state in due.items() if image_id in ours} == {
        pending.image_id: State.PENDING,
        failed.image_id: State.FAILED,
        ready.image_id: State.READY,
    }
    assert len(await records.due(now, 2)) == 2
    for each in (pending, failed, ready, settled, later):
        await records.retire(each.image_id, set(State), old)
        assert await records.forget(each.image_id, datetime.now(UTC) + timedelta(days=1))


def with_variants(image: Image, encoding: str) -> Image:
    key = f"images/{image.image_id}/{secrets.token_hex(8)}/thumb"
    variant = Variant("thumb", key, f"image/{encoding}", 320, 240)
    return replace(image, content=replace(image.content, placeholder=f"hash {encoding}"), variants=(variant,))


async def test_variants_are_exchanged_once_and_the_image_is_due_when_links_to_the_old_ones_end(
    records: ImageRepository,
) -> None:
    old = datetime(2001, 1, 1, tzinfo=UTC)
    plain = await published(records, an_upload(created_at=old))
    first, second = with_variants(plain, "webp"), with_variants(plain, "avif")
    assert await records.exchange_variants(first, seen=plain, deadline=old + timedelta(days=2))
    assert not await records.exchange_variants(second, seen=plain, deadline=old)
    assert await records.image(plain.image_id) == first
    due = [each.image_id for each in await records.due(old + timedelta(days=1), 1000)]
    assert plain.image_id not in due
    due = [each.image_id for each in await records.due(old + timedelta(days=3), 1000)]
    assert plain.image_id in due
    edited = replace(first, details=replace(first.details, title="Another"))
    assert await records.edit(replace(edited, updated_at=old + timedelta(days=1)), seen=first)
    assert await records.exchange_variants(second, seen=first, deadline=old)  # what is said of it is not compared
    found = await records.image(plain.image_id)
    assert found
    assert (found.details.title, found.variants) == ("Another", second.variants)
    await records.settle(plain.image_id, datetime.now(UTC))


async def test_an_image_is_due_at_the_latest_time_that_was_asked_for_and_so_is_its_tombstone(
    records: ImageRepository,
) -> None:
    old = datetime(2001, 1, 1, tzinfo=UTC)
    image = await published(records, an_upload(created_at=old))
    for days in (3, 1, 2):
        assert await records.schedule_sweep(image.image_id, old + timedelta(days=days))
    assert await records.exchange_variants(with_variants(image, "webp"), seen=image, deadline=old)
    assert await records.retire(image.image_id, {State.READY}, old)
    assert not await records.schedule_sweep(image.image_id, old + timedelta(days=4))
    assert not await records.forget(image.image_id, old + timedelta(days=3, seconds=-1))
    assert await records.forget(image.image_id, old + timedelta(days=3))


async def test_what_is_no_image_is_not_made_due(records: ImageRepository) -> None:
    upload = an_upload()
    assert not await records.schedule_sweep(upload.image_id, NOON)
    await records.begin(upload)
    assert not await records.schedule_sweep(upload.image_id, NOON)


async def test_variants_of_what_is_no_image_are_not_exchanged(records: ImageRepository) -> None:
    upload = an_upload()
    pending = the_image(upload)
    assert not await records.exchange_variants(with_variants(pending, "webp"), seen=pending, deadline=NOON)
    await records.begin(upload)
    assert not await records.exchange_variants(with_variants(pending, "webp"), seen=pending, deadline=NOON)
    await records.retire(upload.image_id, {State.PENDING}, NOON)
    assert not await records.exchange_variants(with_variants(pending, "webp"), seen=pending, deadline=NOON)


async def test_a_tombstone_outlives_the_newest_link_of_its_upload(records: ImageRepository) -> None:
    upload = an_upload(created_at=NOON)
    await records.begin(upload)
    extended = await records.extend(upload.image_id, NOON + timedelta(hours=2))
    assert extended is not None
    await records.retire(upload.image_id, {State.PENDING}, NOON)
    assert not await records.forget(upload.image_id, extended.deadline - SECOND)
    assert await records.forget(upload.image_id, extended.deadline)


async def test_retiring_what_is_due_leaves_what_was_extended_meanwhile(records: ImageRepository) -> None:
    upload = an_upload(created_at=NOON)
    await records.begin(upload)
    await records.extend(upload.image_id, NOON + timedelta(days=2))
    a_day_later = NOON + timedelta(days=1)
    assert not await records.retire(upload.image_id, {State.PENDING}, a_day_later, due=a_day_later)
    assert await records.retire(upload.image_id, {State.PENDING}, NOON, due=NOON + timedelta(days=3))


async def test_that_an_image_was_deleted_stays_known_and_no_upload_takes_its_id(records: ImageRepository) -> None:
    upload = an_upload()
    await records.begin(upload)
    assert await records.publish(the_image(upload), settled=True)
    assert not await records.is_deleted(upload.image_id)
    assert await records.retire(upload.image_id, {State.READY}, upload.deadline)
    for _ in range(2):
        assert await records.is_deleted(upload.image_id)
        await records.forget(upload.image_id, upload.deadline)
        assert await records.upload(upload.image_id) is None
    await records.begin(upload)
    assert await records.upload(upload.image_id) is None
    assert await records.image(upload.image_id) is None


async def test_an_upload_that_never_was_an_image_is_forgotten_whole(records: ImageRepository) -> None:
    upload = an_upload()
    await records.begin(upload)
    assert await records.retire(upload.image_id, {State.PENDING}, upload.deadline)
    assert not await records.is_deleted(upload.image_id)
    assert await records.forget(upload.image_id, upload.deadline)
    assert not await records.is_deleted(upload.image_id)
    await records.begin(upload)
    assert await records.upload(upload.image_id) == upload


async def test_forgetting_needs_a_tombstone_whose_deadline_has_come(records: ImageRepository) -> None:
    upload = an_upload(created_at=NOON)
    await records.begin(upload)
    late = NOON + timedelta(days=9)
    assert not await records.forget(upload.image_id, late)
    await records.retire(upload.image_id, {State.PENDING}, NOON)
    assert not await records.forget(upload.image_id, upload.deadline - SECOND)
    assert await records.forget(upload.image_id, late)
    assert not await records.forget(upload.image_id, late)
    assert await records.upload(upload.image_id) is None


async def test_lists_are_newest_first_and_pages_join_without_a_seam(records: ImageRepository) -> None:
    user = secrets.token_hex(8)
    images = [
        await published(records, an_upload(user, created_at=NOON + timedelta(seconds=n // 3))) for n in range(12)
    ]
    newest_first = sorted(images, key=lambda each: (each.created_at, each.image_id), reverse=True)
    expected = [each.image_id for each in newest_first]
    for limit in (1, 4, 5, 12, 50):
        assert await listed(records, ImageQuery(user_id=user), limit) == expected


async def test_a_full_last_page_has_no_next(records: ImageRepository) -> None:
    user = secrets.token_hex(8)
    for _ in range(2):
        await published(records, an_upload(user))
    assert (await records.find(ImageQuery(user_id=user), None, 2)).next is None


@pytest.fixture(scope="session")
async def library(backend: object) -> tuple[ImageRepository, str, dict[str, str]]:
    """Return a few images of one user, by name."""
    records: ImageRepository = backend.records  # type: ignore[attr-defined]
    user, ids = secrets.token_hex(8), {}
    for name, title, tags, day in (
        ("beach", "Sunset at the beach", ("Sunset", "sea"), 1),
        ("wood", "Deep in the WOOD", ("nature", "Straße"), 2),
        ("hill", "A hill, 100% green_ish", ("nature", "sunset"), 3),
    ):
        image = await published(
            records, an_upload(user, title=title, tags=tags, created_at=NOON + timedelta(days=day))
        )
        ids[image.image_id] = name
    return records, user, ids


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["hill", "wood", "beach"]),
        ({"tags": ("sunset",)}, ["hill", "beach"]),
        ({"tags": ("nature", "sunset")}, ["hill"]),
        ({"tags": ("nature", "sea"), "any_tag": True}, ["hill", "wood", "beach"]),
        ({"tags": ("strasse",)}, ["wood"]),
        ({"tags": ("sun",)}, []),
        ({"title": "sunset at"}, ["beach"]),
        ({"title": "wood"}, ["wood"]),
        ({"title": "e"}, ["hill", "wood", "beach"]),
        ({"title": "0%"}, ["hill"]),
        ({"title": "_"}, ["hill"]),
        ({"title": "nothing like it"}, []),
        ({"since": NOON + timedelta(days=2)}, ["hill", "wood"]),
        ({"until": NOON + timedelta(days=2)}, ["beach"]),
        ({"since": NOON + timedelta(days=2), "until": NOON + timedelta(days=3)}, ["wood"]),
        ({"tags": ("nature",), "title": "hill", "since": NOON}, ["hill"]),
        ({"tags": ("nature",), "until": NOON}, []),
    ],
)
async def test_filters_join(
    library: tuple[ImageRepository, str, dict[str, str]], filters: dict[str, object], found: list[str]
) -> None:
    records, user, names = library
    for limit in (1, 2, 50):
        ids = await listed(records, ImageQuery(user_id=user, **filters), limit)  # type: ignore[arg-type]
        assert [names[each] for each in ids] == found


async def test_a_repository_that_works_passes_its_check(records: ImageRepository) -> None:
    await records.check()


# ---------------------------------------------------------------- usage


async def test_somebody_without_images_uses_nothing(records: ImageRepository) -> None:
    assert await records.usage(secrets.token_hex(8)) == 0


async def test_usage_is_the_bytes_of_a_user_s_published_images(records: ImageRepository) -> None:
    user = f"üser {secrets.token_hex(8)}"
    images = [await published(records, an_upload(user)) for _ in range(3)]
    await published(records, an_upload())
    pending = an_upload(user)
    await records.begin(pending)
    assert await records.usage(user) == 3_000

    assert await records.retire(images[0].image_id, {State.READY}, datetime.now(UTC))
    assert await records.usage(user) == 2_000
    assert not await records.retire(images[0].image_id, {State.READY}, datetime.now(UTC))
    assert await records.retire(pending.image_id, {State.PENDING}, datetime.now(UTC))
    assert await records.usage(user) == 2_000


async def test_an_image_that_is_published_twice_is_counted_once(records: ImageRepository) -> None:
    upload = an_upload()
    await published(records, upload)
    assert await records.publish(the_image(upload), settled=True)
    assert await records.usage(upload.details.user_id) == 1_000


async def test_an_edit_does_not_change_what_is_used(records: ImageRepository) -> None:
    image = await published(records, an_upload())
    edited = replace(image, updated_at=image.updated_at + timedelta(seconds=1))
    assert await records.edit(edited, seen=image)
    assert await records.usage(image.details.user_id) == 1_000


async def test_what_is_published_and_deleted_at_once_is_counted_to_the_byte(records: ImageRepository) -> None:
    user = secrets.token_hex(8)
    images = await asyncio.gather(*(published(records, an_upload(user)) for _ in range(12)))
    gone = (records.retire(each.image_id, {State.READY}, datetime.now(UTC)) for each in images[:5])
    assert all(await asyncio.gather(*gone))
    assert await records.usage(user) == 7_000
