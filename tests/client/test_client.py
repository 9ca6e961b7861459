"""What a program does with `pixdepot.Client`, at every skin on every backend."""

import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import pixdepot
from pixdepot import Client
from tests.pictures import picture, sha256_of

PHOTO = picture(size=(700, 500), noise=True)


class Unseekable(io.RawIOBase):
    """A file that can be read once, such as a pipe."""

    def __init__(self, data: bytes) -> None:
        self._left = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._left.readinto(buffer)


async def pieces_of(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 50_000):
        yield data[start : start + 50_000]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "At the lake.jpg"
    path.write_bytes(PHOTO)
    return path


# ---------------------------------------------------------------- uploading


async def test_a_file_is_uploaded_by_its_path_and_is_called_as_it_is(client: Client, path: Path) -> None:
    image = await client.upload(path)
    assert (image.filename, image.title) == ("At the lake.jpg", "At the lake")
    assert (image.sha256, image.file_size, image.content_type) == (sha256_of(PHOTO), len(PHOTO), "image/jpeg")
    assert (image.user_id, image.width, image.height) == (client.user_id, 700, 500)
    assert datetime.now(UTC) - image.created_at < timedelta(minutes=1)


async def test_a_name_of_another_format_or_none_is_no_obstacle(client: Client, tmp_path: Path) -> None:
    for name, saved in (("lake.png", "lake.jpg"), ("IMG.HEIC", "IMG.jpg"), ("lake", "lake.jpg")):
        (tmp_path / name).write_bytes(PHOTO)
        image = await client.upload(tmp_path / name)
        assert (image.filename, image.content_type, image.download_name) == (name, "image/jpeg", saved)
    image = await client.upload(PHOTO, filename="page.html", content_type="image/pjpeg")
    path = await client.download(image, tmp_path)
    assert (path.name, path.read_bytes()) == ("page.html.jpg", PHOTO)


@pytest.mark.parametrize("serve", ["server on local"], indirect=True)
async def test_an_open_file_is_read_to_its_end_and_left_open(client: Client, path: Path) -> None:
    with path.open("rb") as file:
        image = await client.upload(file)
        assert not file.closed
    assert (image.filename, image.sha256) == ("At the lake.jpg", sha256_of(PHOTO))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, Unseekable, pieces_of])
@pytest.mark.parametrize("serve", ["server on local"], indirect=True)
async def test_bytes_come_from_wherever_they_are(client: Client, kind: Any) -> None:
    image = await client.upload(kind(PHOTO))
    assert (image.filename, image.sha256, image.file_size) == ("image.jpg", sha256_of(PHOTO), len(PHOTO))


async def test_all_that_can_be_said_of_a_picture_is_kept(client: Client) -> None:
    image = await client.upload(
        PHOTO,
        title="At the lake",
        filename="lake.jpg",
        description="In the morning",
        tags=("water", "summer"),
        visibility="public",
        content_type="image/jpeg",
        sha256=sha256_of(PHOTO),
    )
    assert (image.title, image.filename, image.description) == ("At the lake", "lake.jpg", "In the morning")
    assert (image.tags, image.visibility) == (("water", "summer"), "public")
    assert await client.get(image.image_id) == image_with_links_of(image, await client.get(image.image_id))


def image_with_links_of(image: pixdepot.Image, linked: pixdepot.LinkedImage) -> pixdepot.LinkedImage:
    known = {name: getattr(image, name) for name in pixdepot.Image.__dataclass_fields__}
    return pixdepot.LinkedImage(**known, url=linked.url, url_expires_at=linked.url_expires_at)


async def test_progress_is_told_in_bytes(client: Client) -> None:
    large, told = picture("PNG", size=(700, 450), noise=True), list[tuple[int, int]]()
    await client.upload(large, on_progress=lambda done, size: told.append((done, size)))
    done = [each for each, _ in told]
    assert (done[0], done[-1], len(done)) == (0, len(large), 5)
    assert done == sorted(done)
    assert {size for _, size in told} == {len(large)}


async def test_of_many_each_has_its_result_and_a_failure_stops_nothing(
    client: Client, path: Path, tmp_path: Path
) -> None:
    async def breaks_off() -> AsyncIterator[bytes]:
        yield PHOTO[:1000]
        raise EOFError

    named = pixdepot.NewImage(picture(seed=1), title="By bytes", tags=("many",))
    broken = pixdepot.NewImage(picture("PNG"), content_type="image/jpeg")
    sources = [path, tmp_path / "nowhere.jpg", named, b"no picture", broken, breaks_off(), picture(seed=2)]
    told: set[Any] = set()
    results = {}
    async for each in client.upload_many(sources, concurrency=3, on_progress=lambda *what: told.add(what[1:])):
        results[sources.index(each.source)] = each
    assert [type(results[number].error) for number in range(len(sources))] == [
        type(None),
        FileNotFoundError,
        type(None),
        pixdepot.UnknownFormat,
        pixdepot.InvalidRequest,
        EOFError,
        type(None),
    ]
    uploaded = [each.image for each in results.values() if each.image]
    assert {each.title for each in uploaded} == {"At the lake", "By bytes", "image"}
    assert {each.image_id async for each in client.images(user_id=client.user_id)} == {
        each.image_id for each in uploaded
    }
    assert (len(PHOTO), len(PHOTO)) in told


# ---------------------------------------------------------------- finding


async def test_a_list_is_walked_image_by_image_and_page_by_page(client: Client) -> None:
    for number in range(5):
        await client.upload(picture(seed=number), title=f"Number {number}", tags=["odd" if number % 2 else "even"])
    mine = client.images(user_id=client.user_id, page_size=2)
    titles = [each.title async for each in mine]
    assert titles == [f"Number {number}" for number in (4, 3, 2, 1, 0)]
    pages = [page async for page in mine.pages()]
    assert [[each.title for each in page.images] for page in pages] == [titles[:2], titles[2:4], titles[4:]]
    rest = [each.title async for page in mine.pages(pages[0].next_cursor) for each in page.images]
    assert rest == titles[2:]


async def test_lists_are_filtered(client: Client) -> None:
    for number in range(3):
        await client.upload(picture(seed=number), title=f"Number {number}", tags=["all", f"tag-{number}"])

    async def titles(**filters: Any) -> list[str]:
        return [each.title async for each in client.images(user_id=client.user_id, **filters)]

    today = datetime.now(UTC)
    assert await titles(tags=["all", "tag-1"]) == ["Number 1"]
    assert await titles(tags=["tag-0", "tag-2"], tags_match="any") == ["Number 2", "Number 0"]
    assert await titles(title="BER 2") == ["Number 2"]
    assert len(await titles(date_from=today.date() - timedelta(days=1), date_to=today.isoformat())) == 3
    assert await titles(date_from=today + timedelta(days=1)) == []


async def test_links_lead_to_the_picture_and_to_smaller_ones(client: Client) -> None:
    image_id = (await client.upload(PHOTO)).image_id
    image = await client.get(image_id)
    original, thumb = await client.link(image_id), await client.link(image_id, "thumb")
    assert original.expires_at > datetime.now(UTC)
    assert (image.variants["thumb"].width, image.variants["thumb"].height) == (320, 229)
    async with aiohttp.ClientSession() as anyone:
        async with anyone.get(image.url) as seen, anyone.get(original.url) as linked:
            assert await seen.read() == await linked.read() == PHOTO
        async with anyone.get(thumb.url) as seen:
            assert seen.content_type == image.variants["thumb"].content_type


# ---------------------------------------------------------------- downloading


async def test_a_picture_is_downloaded_to_a_path_or_into_a_directory(client: Client, tmp_path: Path) -> None:
    image = await client.upload(PHOTO, filename="lake.jpg")
    told: list[tuple[int, int]] = []
    (tmp_path / "other.jpg").write_bytes(b"something else")
    into = await client.download(image.image_id, tmp_path)
    to = await client.download(
        image, str(tmp_path / "other.jpg"), on_progress=lambda done, size: told.append((done, size))
    )
    assert (into, to) == (tmp_path / "lake.jpg", tmp_path / "other.jpg")
    assert into.read_bytes() == to.read_bytes() == PHOTO
    assert (told[0], told[-1]) == ((0, len(PHOTO)), (len(PHOTO), len(PHOTO)))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("serve", ["server on local", "lambda on aws"], indirect=True)
async def test_a_picture_too_large_for_lambda_is_sent_and_fetched_all_the_same(
    client: Client, tmp_path: Path
) -> None:
    large = picture("PNG", size=(1600, 1000), noise=True)
    assert len(large) > 4.5 * 2**20
    path = await client.download(await client.upload(large), tmp_path)
    assert path.read_bytes() == large


# ---------------------------------------------------------------- changing


async def test_an_image_is_changed_by_its_owner(client: Client) -> None:
    image = await client.upload(PHOTO, title="Before", tags=["a"])
    changed = await client.update(image.image_id, title="After", description="Said later", visibility="public")
    assert (changed.title, changed.description, changed.tags) == ("After", "Said later", ("a",))
    assert changed.updated_at > image.updated_at
    assert (await client.update(image.image_id, tags=())).tags == ()
    assert (await client.get(image.image_id)).title == "After"


async def test_a_change_may_be_made_to_what_was_seen_only(client: Client) -> None:
    image_id = (await client.upload(PHOTO)).image_id
    seen = await client.get(image_id)
    changed = await client.update(image_id, title="First", if_match=seen.etag)
    with pytest.raises(pixdepot.PreconditionFailed):
        await client.update(image_id, title="Second", if_match=seen.etag)
    await client.update(image_id, title="Third", if_match=changed.etag)
    assert (await client.get(image_id)).title == "Third"


async def test_a_deleted_image_is_gone(client: Client, tmp_path: Path) -> None:
    image = await client.upload(PHOTO)
    await client.delete(image.image_id)
    for asked in (
        client.get(image.image_id),
        client.delete(image.image_id),
        client.update(image.image_id, title="A"),
        client.download(image, tmp_path),
    ):
        with pytest.raises(pixdepot.NotFound) as caught:
            await asked
        assert (caught.value.status, caught.value.code) == (404, "not_found")
    assert list(tmp_path.iterdir()) == []


async def test_several_are_deleted_each_with_its_result(client: Client, service: str) -> None:
    mine = [(await client.upload(picture(seed=number))).image_id for number in range(3)]
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(Client(service, user_id="somebody else"))
        theirs = (await other.upload(PHOTO)).image_id
    results = await client.delete_many([*mine, theirs, mine[0], "nothing"])
    found = {each.image_id: type(each.error) for each in results}
    assert found == {
        **dict.fromkeys(mine, type(None)),
        theirs: pixdepot.Forbidden,
        "nothing": pixdepot.NotFound,
    }


async def test_an_error_tells_what_is_wrong_with_each_field(client: Client) -> None:
    with pytest.raises(pixdepot.InvalidRequest) as caught:
        await client.upload(PHOTO, title="x" * 201)
    error = caught.value
    assert (error.status, error.code, list(error.errors)) == (400, "invalid_request", ["title"])
    assert error.request_id
    assert error.request_id in str(error)
    assert "title: " in str(error)


@pytest.mark.parametrize("serve", ["server on local"], indirect=True)
async def test_a_session_of_one_s_own_is_left_open(service: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with Client(service, user_id="ada", session=session) as client:
            await client.upload(PHOTO)
        assert not session.closed


async def test_filters_that_are_too_long_beside_a_cursor_have_pages_too(client: Client, path: Path) -> None:
    title, tags = "ö" * 200, [f"{n:02}" + "ü" * 48 for n in range(18)]
    made = {(await client.upload(path, title=title, tags=tags)).image_id for _ in range(3)}
    images = client.images(user_id=client.user_id, title=title, tags=tags, page_size=1)
    assert {each.image_id async for each in images} == made
    first = await anext(images.pages())
    assert sum([len(page.images) async for page in images.pages(first.next_cursor)]) == 2
