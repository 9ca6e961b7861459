"""`pixdepot migrate`: a library on this machine moves to AWS and back, in processes that may be killed."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bootstrap.emulator import Emulator
from service.domain.model import Details, Image, ImageQuery
from service.operations.depot import Depot
from service.runtime import Runtime, open_service
from service.settings import Settings
from tests.aws.stand_in import Account, new_account, opened_in
from tests.faults.sites import everything, left_over, seen_later
from tests.pictures import picture, sha256_of
from tests.process.servers import PATIENCE, PIXDEPOT, Finished, run, start
from tests.process.typist import Typist
from tests.servers.proxy import Proxy, proxied

IMAGES = 12
EVERYTHING = {"total": IMAGES, "copied": 0, "updated": 0, "there": 0, "deleted": 0, "failed": 0, "copied_bytes": 0}


@pytest.fixture
async def account(emulator: Emulator) -> AsyncIterator[Account]:
    """Return a bucket and tables with nothing in them."""
    async with new_account(emulator) as made:
        yield made


@pytest.fixture
async def proxy(emulator: Emulator) -> AsyncIterator[Proxy]:
    async with proxied(emulator.endpoint_url) as running:
        yield running


@asynccontextmanager
async def opened(place: Path | Account) -> AsyncIterator[Runtime]:
    """Open the service on a data directory, or on AWS."""
    if isinstance(place, Path):
        async with open_service(Settings(data_dir=place)) as runtime:
            yield runtime
    else:
        async with opened_in(place.environment(), open_service(place.settings)) as runtime:
            yield runtime


async def filled(place: Path | Account) -> list[Image]:
    """Upload pictures, of two users, edited and not, public and not."""
    async with opened(place) as runtime:
        images = runtime.api.services.images
        made = []
        for number in range(IMAGES):
            details = Details(f"user-{number % 2}", f"Photo {number}", "photo.jpg", "About it", ("sea",))
            made.append(await images.upload(details, picture(size=(400, 300), seed=number)))
        for each in made[::3]:
            user = each.details.user_id
            await images.edit(each.image_id, user, viewer=user, title="Edited", visibility="public")
        return made


async def content(place: Path | Account) -> dict[str, tuple[Image, list[str]]]:
    """Return every image, with the digests of its objects."""
    async with opened(place) as runtime:
        depot = runtime.api.services.depot
        return {each.image_id: (each, await digests(depot, each)) async for each in everything(depot)}


async def digests(depot: Depot, image: Image) -> list[str]:
    return [sha256_of(await depot.whole(key)) for key in image.object_keys]


def environment(account: Account, url: str = "") -> dict[str, str]:
    """Return what a command needs to find this account, at another endpoint if one is given."""
    with account.environment(url or None):
        sdk = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return {**sdk, **account.settings.environment()}


async def migrate(account: Account, *arguments: str, directory: Path) -> Finished:
    return await run(PIXDEPOT, "migrate", *arguments, "--json", directory=directory, **environment(account))


async def test_a_library_moves_to_aws_and_back(account: Account, tmp_path: Path) -> None:
    await filled(tmp_path / "data")
    before = await content(tmp_path / "data")

    tried = await migrate(account, "--to", "aws", "--data", "data", "--dry-run", directory=tmp_path)
    assert (tried.code, json.loads(tried.out)["copied"]) == (0, IMAGES)
    assert await content(account) == {}

    moved = await migrate(account, "--to", "aws", "--data", "data", directory=tmp_path)
    assert (moved.code, json.loads(moved.out)["copied"]) == (0, IMAGES)
    assert await content(account) == before
    again = await migrate(account, "--to", "aws", "--data", "data", directory=tmp_path)
    assert json.loads(again.out) == {**EVERYTHING, "there": IMAGES, "dry_run": False}

    tried = await migrate(account, "--to", "local", "--data", "back", "--dry-run", directory=tmp_path)
    assert (tried.code, json.loads(tried.out)["copied"]) == (0, IMAGES)
    assert not (tmp_path / "back").exists()

    back = await migrate(account, "--to", "local", "--data", "back", directory=tmp_path)
    assert (back.code, json.loads(back.out)["copied"]) == (0, IMAGES)
    assert await content(tmp_path / "back") == before


@pytest.mark.parametrize("target", ["aws", "local"])
async def test_killed_half_way_it_is_gone_on_with_and_changes_since_are_taken_along(
    account: Account, proxy: Proxy, tmp_path: Path, target: str
) -> None:
    source, other = (tmp_path / "data", account) if target == "aws" else (account, tmp_path / "data")
    images = await filled(source)
    if target == "local":
        async with opened(other):
            pass  # it is there, and empty
    killed = await start(
        tmp_path,
        *(PIXDEPOT, "migrate", "--to", target, "--data", "data"),
        **environment(account, proxy.url),
    )
    await asyncio.wait_for(proxy.until_called(60 if target == "aws" else 30), PATIENCE)
    killed.kill()
    assert await killed.wait() != 0
    assert len(await content(other)) < IMAGES

    async with opened(source) as runtime:
        service, (first, *_, last) = runtime.api.services.images, images
        await service.delete(first.image_id, first.details.user_id, viewer=None)
        await service.edit(last.image_id, last.details.user_id, viewer=None, title="Edited since", tags=("lake",))
    if (await content(other)).get(first.image_id):
        async with opened(other) as runtime:  # it was copied before it was deleted
            await runtime.api.services.images.delete(first.image_id, first.details.user_id, viewer=None)

    done = await migrate(account, "--to", target, "--data", "data", directory=tmp_path)
    assert done.code == 0, done
    assert await content(other) == await content(source)
    assert len(await content(other)) == IMAGES - 1
    if target == "aws":
        async with seen_later(account, proxy) as later:
            assert await left_over(later) == []


async def test_a_damaged_object_is_told_of_and_the_command_fails(account: Account, tmp_path: Path) -> None:
    damaged, missing, *_ = await filled(tmp_path / "data")
    objects = tmp_path / "data" / "objects"
    file = objects / damaged.object_key
    file.unlink()
    file.write_bytes(picture(size=(400, 300), seed=99))
    (objects / missing.object_key).unlink()
    done = await migrate(account, "--to", "aws", "--data", "data", directory=tmp_path)
    assert done.code == 1
    assert json.loads(done.out) | {"copied_bytes": 0} == {
        **EVERYTHING,
        "copied": IMAGES - 2,
        "failed": 2,
        "dry_run": False,
    }
    assert damaged.image_id in done.error
    assert missing.image_id in done.error
    assert (await content(account)).keys().isdisjoint({damaged.image_id, missing.image_id})


async def test_on_a_terminal_a_bar_shows_how_far_it_is_and_elsewhere_none(account: Account, tmp_path: Path) -> None:
    await filled(tmp_path / "data")
    typist = Typist(tmp_path, "", "", environment(account))
    code, shown = await typist.on_terminal("migrate --to aws --data data")
    assert code == 0
    assert "━" in shown
    assert f"of {IMAGES} images" in shown
    moved = await migrate(account, "--to", "aws", "--data", "data", directory=tmp_path)
    assert moved.error == ""
    assert "\x1b" not in moved.out


async def test_images_that_were_moved_are_found_by_every_filter(account: Account, tmp_path: Path) -> None:
    await filled(tmp_path / "data")
    await migrate(account, "--to", "aws", "--data", "data", directory=tmp_path)
    for filters in ("user_id=user-0", "tags=sea", "title=edited", "title=photo 1"):
        found = [await ids(place, filters) for place in (tmp_path / "data", account)]
        assert found[0] == found[1] != []


async def ids(place: Path | Account, filters: str) -> list[str]:
    """Return the ids that a list has, in its order."""
    name, _, value = filters.partition("=")
    query = ImageQuery(**{name: (value,) if name == "tags" else value})  # type: ignore[arg-type]
    async with opened(place) as runtime:
        page = await runtime.api.services.images.find(query, None, 100)
        return [each.image_id for each in page.images]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--to", "aws", "--data", "nowhere"], 1, "nowhere is not a data directory of Pixdepot"),
        (["--to", "mars"], 2, "Invalid value for '--to'"),
        ([], 2, "Missing option '--to'"),
    ],
)
async def test_what_cannot_be_meant_is_told(tmp_path: Path, arguments: list[str], code: int, told: str) -> None:
    refused = await run(PIXDEPOT, "migrate", *arguments, directory=tmp_path)
    assert refused.code == code
    assert told in refused.error
    assert not (tmp_path / "nowhere").exists()


async def test_aws_that_does_not_answer_is_told_in_a_line(tmp_path: Path) -> None:
    await filled(tmp_path / "data")
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_DEFAULT_REGION": "us-east-1"}
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    refused = await run(PIXDEPOT, "migrate", "--to", "aws", "--data", "data", directory=tmp_path, **nowhere, **keys)
    assert refused.code == 1
    last = refused.error.splitlines()[-1]
    assert last.startswith("Error: A backend is unavailable. No response from http://127.0.0.1:9 ")
    assert "AWS_ENDPOINT_URL" in last
