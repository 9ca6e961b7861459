"""Cleanup comes after the answer is decided, is bounded as a whole, and may fail."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from service.domain.model import Details, Expected
from service.operations import undoing
from service.operations.depot import Depot
from service.runtime import open_service
from service.settings import Settings


class Hanging:
    """A store that answers nothing, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def delete(self, *keys: str) -> None:
        self.asked += keys
        await asyncio.Event().wait()


class Failing(Hanging):
    """A store that fails at once."""

    async def delete(self, *keys: str) -> None:
        self.asked += keys
        raise OSError


def depot_with(objects: object) -> Depot:
    return Depot(objects, None, Settings(), None)  # type: ignore[arg-type] # nothing else is asked for


async def test_within_a_request_it_waits_until_the_block_has_ended() -> None:
    store = Failing()
    async with undoing.afterwards():
        await undoing.delete(depot_with(store), "a")
        assert store.asked == []
    assert store.asked == ["a"]


async def test_outside_of_one_it_is_done_at_once() -> None:
    store = Failing()
    await undoing.delete(depot_with(store), "a")
    assert store.asked == ["a"]


async def test_all_of_it_together_takes_two_seconds_at_most() -> None:
    store, clock = Hanging(), asyncio.get_running_loop().time
    began = clock()
    async with undoing.afterwards():
        await asyncio.gather(*(undoing.delete(depot_with(store), f"{n}") for n in range(60)))
    assert 1.9 < clock() - began < 4


async def test_after_a_failure_it_takes_one_and_the_failure_stands() -> None:
    store, clock = Hanging(), asyncio.get_running_loop().time
    began = clock()

    async def failing() -> None:
        async with undoing.afterwards():
            await undoing.delete(depot_with(store), "a")
            raise LookupError

    with pytest.raises(LookupError):
        await failing()
    assert 0.9 < clock() - began < 1.9


async def test_what_fails_is_told_and_keeps_nothing_else_from_its_turn(caplog: pytest.LogCaptureFixture) -> None:
    store = Failing()
    async with undoing.afterwards():
        for n in range(30):
            await undoing.delete(depot_with(store), f"{n}")
    assert len(store.asked) == 30
    assert caplog.text.count("cleanup of a request failed; sweep will retry: OSError") == 30


async def test_an_operation_that_is_cut_off_is_cleaned_up_all_the_same(tmp_path: Path) -> None:
    async with open_service(Settings(data_dir=tmp_path)) as runtime:
        depot = runtime.api.services.depot
        upload = depot.new_upload(Details("ada", "A photo", "photo.jpg"), Expected("PUT", "image/jpeg", 5))
        key, other = depot.sealed_key(upload.image_id), depot.sealed_key(upload.image_id)
        await depot.objects.put(other, b"other", "image/jpeg")
        with suppress(TimeoutError):
            async with undoing.afterwards(), asyncio.timeout(0.5), undoing.unless_done(depot, key):
                for each in (key, key.replace("original", "thumb")):
                    await depot.objects.put(each, b"bytes", "image/jpeg")
                await asyncio.Event().wait()
        assert [each.key async for each in depot.objects.list("images/")] == [other]
