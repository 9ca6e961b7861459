"""What every object store promises (see `service.domain.ports.ObjectStore`)."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta

import pytest

from service.domain import notes
from service.domain.errors import ObjectMissing
from service.domain.model import Expected
from service.domain.ports import ObjectStore


def new_key() -> str:
    return f"images/{secrets.token_hex(16)}/original"


async def contents(objects: ObjectStore, key: str, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in await objects.open(key, start, stop)])


async def test_what_was_put_is_read_back(objects: ObjectStore) -> None:
    key, data = new_key(), secrets.token_bytes(700_000)
    await objects.put(key, data, "image/png")
    assert await contents(objects, key) == data


async def test_a_second_put_replaces_the_first(objects: ObjectStore) -> None:
    key = new_key()
    await objects.put(key, b"one", "image/png")
    await objects.put(key, b"two", "image/png")
    assert await contents(objects, key) == b"two"


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (1, 4), (4, 10), (9, 10), (3, None), (0, 999)])
async def test_a_part_is_read_by_its_offsets(objects: ObjectStore, start: int, stop: int | None) -> None:
    key, data = new_key(), b"0123456789"
    await objects.put(key, data, "image/png")
    assert await contents(objects, key, start, stop) == data[start:stop]


async def test_opening_a_missing_object_fails_before_its_first_byte(objects: ObjectStore) -> None:
    with pytest.raises(ObjectMissing):
        await objects.open(new_key())


async def test_a_copy_has_the_same_bytes_and_outlives_its_source(objects: ObjectStore) -> None:
    source, target = new_key(), new_key()
    await objects.put(source, b"bytes", "image/png")
    await objects.copy(source, target, "image/png")
    await objects.delete(source)
    assert await contents(objects, target) == b"bytes"


async def test_a_copy_does_not_change_when_its_source_is_put_again(objects: ObjectStore) -> None:
    source, target = new_key(), new_key()
    await objects.put(source, b"before", "image/png")
    await objects.copy(source, target, "image/png")
    await objects.put(source, b"after!", "image/png")
    assert await contents(objects, target) == b"before"


async def test_copying_a_missing_object_fails_and_makes_nothing(objects: ObjectStore) -> None:
    target = new_key()
    with pytest.raises(ObjectMissing):
        await objects.copy(new_key(), target, "image/png")
    with pytest.raises(ObjectMissing):
        await objects.open(target)


async def test_deleting_is_repeatable_and_takes_several_keys(objects: ObjectStore) -> None:
    one, two = new_key(), new_key()
    await objects.put(one, b"1", "image/png")
    await objects.put(two, b"2", "image/png")
    for _ in range(2):
        await objects.delete(one, two, new_key())
    for key in (one, two):
        with pytest.raises(ObjectMissing):
            await objects.open(key)


async def test_listing_finds_what_is_below_a_prefix_and_nothing_else(objects: ObjectStore) -> None:
    image = secrets.token_hex(16)
    keys = {f"images/{image}/{n}/original" for n in range(3)}
    for key in (*keys, f"images/{image}0/0/original"):
        await objects.put(key, b"12345", "image/png")
    found = [each async for each in objects.list(f"images/{image}/")]
    assert {each.key for each in found} == keys
    assert {each.size for each in found} == {5}
    assert all(abs(datetime.now(UTC) - each.modified_at) < timedelta(minutes=1) for each in found)


async def test_listing_an_unknown_prefix_finds_nothing(objects: ObjectStore) -> None:
    assert [each async for each in objects.list(f"images/{secrets.token_hex(16)}/")] == []


@pytest.mark.parametrize("size", [1, 300_000])
async def test_of_an_object_the_first_bytes_are_read_at_once(objects: ObjectStore, size: int) -> None:
    key, data = new_key(), secrets.token_bytes(size)
    await objects.put(key, data, "image/png")
    for most in (1, max(size - 1, 1), size + 1):
        assert await objects.read(key, most) == data[:most]


async def test_there_is_nothing_to_read_under_an_unknown_key(objects: ObjectStore) -> None:
    with pytest.raises(ObjectMissing):
        await objects.read(new_key(), 10)


async def test_puts_and_deletes_of_neighbours_at_once_do_not_disturb_each_other(objects: ObjectStore) -> None:
    image = secrets.token_hex(16)

    async def come_and_go(n: int) -> None:
        key = f"images/{image}/{n}/original"
        for _ in range(10):
            await objects.put(key, b"bytes", "image/png")
            assert await contents(objects, key) == b"bytes"
            await objects.delete(key)

    await asyncio.gather(*map(come_and_go, range(8)))
    assert [each async for each in objects.list(f"images/{image}/")] == []


async def test_equal_questions_give_equal_download_links(objects: ObjectStore) -> None:
    signed_at = datetime.now(UTC).replace(microsecond=0)
    expires_at = signed_at + timedelta(hours=1)
    links = []
    for key in ("images/a/b/original", "images/a/b/original", "images/a/c/original"):
        downloads = await objects.presign_downloads(signed_at, expires_at)
        assert downloads.expires_at == expires_at
        links.append(downloads.url(key, "image/png", 'inline; filename="a.png"'))
    assert links[0] == links[1] != links[2]
    assert all(each.startswith(f"{objects.origin}/") for each in links)


async def test_an_upload_link_says_what_to_send_and_until_when(objects: ObjectStore) -> None:
    signed_at = datetime.now(UTC).replace(microsecond=0)
    expires_at = signed_at + timedelta(minutes=5)
    what = Expected("PUT", "image/png", 5, "ab" * 32), Expected("POST", "image/png")
    put, post = [await objects.presign_upload("uploads/x", each, 100, signed_at, expires_at) for each in what]
    assert await objects.presign_upload("uploads/x", what[0], 100, signed_at, expires_at) == put
    assert await objects.presign_upload("uploads/x", what[1], 100, signed_at, expires_at) == post
    assert (put.method, put.headers["Content-Type"], put.fields) == ("PUT", "image/png", {})
    assert put.headers["If-None-Match"] == "*"
    assert put.headers["x-amz-checksum-sha256"]
    assert (post.method, post.headers, post.fields["Content-Type"]) == ("POST", {}, "image/png")
    assert post.fields["key"] == "uploads/x"
    for link in (put, post):  # some count whole seconds only, and never past what was asked
        assert timedelta() <= expires_at - link.expires_at < timedelta(seconds=2)


async def test_a_store_that_works_passes_its_check(objects: ObjectStore) -> None:
    await objects.check()


async def test_tidying_leaves_objects_alone(objects: ObjectStore) -> None:
    key = new_key()
    await objects.put(key, b"bytes", "image/png")
    for _ in range(2):
        await objects.tidy(timedelta())
    assert await contents(objects, key) == b"bytes"


async def test_a_store_with_room_takes_a_picture(objects: ObjectStore) -> None:
    await objects.check_room(10 * 2**20)


async def test_a_note_stays_with_an_object_wherever_it_is_moved(objects: ObjectStore) -> None:
    uploaded, key, other = new_key(), new_key(), new_key()
    await objects.put(uploaded, b"bytes", "image/png")
    assert await objects.note(uploaded) == b""
    note = "Zürich 写真 \0 \r\n".encode() + bytes(1000)
    await objects.copy(uploaded, key, "image/png", note=note)
    assert await objects.note(key) == note
    for _ in range(2):
        await objects.annotate(key, "image/png", b"another")
        assert await objects.note(key) == b"another"
    await objects.move(key, other)
    assert await objects.note(other) == b"another"
    assert await contents(objects, other) == b"bytes"
    with pytest.raises(ObjectMissing):
        await objects.note(key)


async def test_a_note_may_be_as_long_as_notes_are(objects: ObjectStore) -> None:
    key, note = new_key(), secrets.token_bytes(notes.MOST)
    await objects.put(key, b"bytes", "image/png", note=note)
    assert await objects.note(key) == note


async def test_a_note_is_no_object_and_ends_with_its_own(objects: ObjectStore) -> None:
    key = new_key()
    await objects.put(key, b"bytes", "image/png", note=b"note")
    assert [each.key async for each in objects.list(key.rpartition("/")[0] + "/")] == [key]
    await objects.delete(key)
    await objects.put(key, b"bytes", "image/png")
    assert await objects.note(key) == b""


async def test_moving_is_repeatable_and_tells_of_what_is_missing(objects: ObjectStore) -> None:
    key, other = new_key(), new_key()
    await objects.put(key, b"bytes", "image/png")
    await objects.copy(key, other, "image/png")  # as a move that was cut off leaves it
    await objects.move(key, other)
    with pytest.raises(ObjectMissing):
        await objects.move(key, other)
    assert await contents(objects, other) == b"bytes"


async def test_hidden_objects_are_listed_only_where_they_are_asked_for(objects: ObjectStore) -> None:
    image = secrets.token_hex(16)
    for name in (".hidden", ".place/original", "seen"):
        await objects.put(f"images/{image}/{name}", b"bytes", "image/png")
    listed = [each.key async for each in objects.list(f"images/{image}/")]
    hidden = [each.key async for each in objects.list(f"images/{image}/.place/")]
    assert listed == [f"images/{image}/seen"]
    assert hidden == [f"images/{image}/.place/original"]
