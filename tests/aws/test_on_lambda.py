"""Without a request on Lambda: S3 tells of bytes that arrived, and the events function publishes them."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from bootstrap.commands import up
from bootstrap.emulator import Emulator
from service.aws.session import opened_clients
from service.settings import Settings
from tests.api.client import ApiClient
from tests.aws.on_lambda import deployed, make_older, package
from tests.aws.stand_in import new_settings, sdk_environment
from tests.pictures import picture, sha256_of

WITHIN = 20.0  # seconds for an event on a busy machine; on an idle one it takes less than one


@pytest.fixture(scope="module")
def settings() -> Settings:
    """Return settings with names that nobody else has."""
    return new_settings()


@pytest.fixture(scope="module")
async def api(emulator: Emulator, settings: Settings) -> AsyncIterator[ApiClient]:
    """Return a client of a deployment whose events function hears of uploads."""
    async with deployed(emulator, settings) as client:
        yield client


async def sent(api: ApiClient, data: bytes) -> dict[str, Any]:
    """Begin a direct upload, send its bytes, and return what was answered in the beginning."""
    user = f"user-{secrets.token_hex(8)}"
    begun = await api.begun(data, user_id=user)
    assert (await api.transfer(begun["upload"], data)).status == 200
    return {**begun, "user_id": user}


async def until(come: Callable[[], Awaitable[bool]]) -> None:
    """Return when something has come; nobody tells of it, so it is asked for."""
    async with asyncio.timeout(WITHIN):
        while not await come():  # noqa: ASYNC110 - it comes from other processes
            await asyncio.sleep(0.05)


async def decided(api: ApiClient, image_id: str) -> dict[str, Any]:
    """Return what became of an upload, as soon as it is no longer pending."""
    state: dict[str, Any] = {}

    async def come() -> bool:
        state.update((await api.get(f"/uploads/{image_id}")).json)
        return state["status"] != "pending"

    await until(come)
    return state


@dataclass(frozen=True)
class Bucket:
    """The deployment's bucket, looked into by its owner."""

    emulator: Emulator
    settings: Settings

    async def places(self, image_id: str) -> set[str]:
        """Return where an image has objects: a copy of it has one place for the original and its variants."""
        with sdk_environment(self.emulator.endpoint_url, self.emulator.root):
            async with opened_clients(self.settings) as clients:
                found = await clients.s3.list_objects_v2(Bucket=self.settings.bucket)
        return {each["Key"].rpartition("/")[0] for each in found.get("Contents", []) if image_id in each["Key"]}

    async def holds(self, image_id: str, number: int) -> bool:
        """Return whether an image has so many of them."""
        return len(await self.places(image_id)) == number


async def test_an_upload_that_nobody_completes_is_published_when_its_bytes_arrive(api: ApiClient) -> None:
    data = picture(size=(320, 240), noise=True)
    upload = await sent(api, data)
    assert (await decided(api, upload["image_id"]))["status"] == "ready"
    metadata = (await api.get(f"/images/{upload['image_id']}?metadata_only=true")).json["metadata"]
    assert metadata["sha256"] == sha256_of(data)
    assert (await api.page(user_id=upload["user_id"]))["count"] == 1


async def test_completing_by_hand_at_the_same_time_gives_one_image_and_one_answer(
    api: ApiClient, emulator: Emulator, settings: Settings
) -> None:
    bucket = Bucket(emulator, settings)
    for seed in range(5):
        data = picture(size=(320, 240), noise=True, seed=seed)
        upload = await sent(api, data)
        image_id = upload["image_id"]
        answers = await asyncio.gather(*(api.complete(image_id) for _ in range(4)))
        assert (await decided(api, image_id))["status"] == "ready"
        assert {answer.status for answer in answers} == {200}
        again = await api.complete(image_id)
        assert [answer.json for answer in answers] == [again.json] * 4
        assert again.json["metadata"]["sha256"] == sha256_of(data)
        assert (await api.page(user_id=upload["user_id"]))["count"] == 1
        await until(partial(bucket.holds, image_id, 1))  # whoever came second takes its own copy away
        (place,) = await bucket.places(image_id)
        assert place.startswith(f"images/{image_id}/")
        assert (await api.download(image_id)).body == data


async def test_bytes_that_are_no_picture_leave_their_reason_on_the_upload(
    api: ApiClient, emulator: Emulator, settings: Settings
) -> None:
    upload = await sent(api, b"%PDF-1.7 not a picture")
    state = await decided(api, upload["image_id"])
    assert (state["status"], state["failure"]["code"]) == ("failed", "unsupported_image")
    bucket = Bucket(emulator, settings)
    await until(partial(bucket.holds, upload["image_id"], 0))


async def test_an_api_of_an_older_version_is_brought_up_to_date_at_its_url(
    api: ApiClient, emulator: Emulator, settings: Settings
) -> None:
    with sdk_environment(emulator.endpoint_url, emulator.root):
        await make_older(settings)
        made = await up(settings, package())
    assert f"REST API {settings.bucket}" in made.names
    assert made.url == api.base_url
    assert (await api.get("/images")).status == 200
