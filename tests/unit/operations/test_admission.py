"""Memory is lent by weight, in order, and given back whatever happens."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from PIL import Image

from service.domain.errors import Unavailable
from service.media import memory_to_develop
from service.operations.admission import Budget
from service.operations.patience import limited
from tests.pictures import picture

SOON = 0.01  # seconds: the patience of those who are to lose it
LONG = 60.0


async def holder(budget: Budget, weight: int, done: asyncio.Event) -> None:
    async with budget.admitted(weight):
        await done.wait()


async def settled() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_fits_is_let_in_at_once() -> None:
    budget = Budget(10, SOON)
    async with budget.admitted(4), budget.admitted(6):
        pass
    async with budget.admitted(10):
        pass


async def test_what_does_not_fit_in_time_is_turned_away_and_takes_nothing() -> None:
    budget = Budget(10, SOON)
    async with budget.admitted(5):
        with pytest.raises(Unavailable) as refused:
            async with budget.admitted(6):
                pytest.fail("let in")
        assert refused.value.headers["Retry-After"]
        async with budget.admitted(5):
            pass
    async with budget.admitted(10):
        pass


async def test_what_is_heavier_than_all_there_is_is_let_in_alone() -> None:
    budget = Budget(10, SOON)
    async with budget.admitted(99):
        with pytest.raises(Unavailable):
            async with budget.admitted(1):
                pytest.fail("let in")
    async with budget.admitted(10):
        pass


async def test_who_waits_is_let_in_first_come_first_served() -> None:
    budget, order, ends = Budget(10, LONG), list[int](), [asyncio.Event() for _ in range(4)]

    async def visit(number: int, weight: int) -> None:
        async with budget.admitted(weight):
            order.append(number)
            await ends[number].wait()

    async with asyncio.TaskGroup() as visitors:
        for number, weight in enumerate([10, 8, 1, 1]):
            visitors.create_task(visit(number, weight))
            await settled()
        assert order == [0]  # the light ones do not slip past the heavy one
        ends[0].set()
        await settled()
        assert order == [0, 1, 2, 3]
        for end in ends:
            end.set()


async def test_who_leaves_the_queue_lets_those_behind_pass() -> None:
    budget, done = Budget(10, LONG), asyncio.Event()
    async with budget.admitted(5):
        heavy = asyncio.create_task(holder(budget, 10, done))
        await settled()
        light = asyncio.create_task(holder(budget, 5, done))
        await settled()
        heavy.cancel()
        await settled()
        done.set()
        await asyncio.wait_for(light, LONG)
    with pytest.raises(asyncio.CancelledError):
        await heavy
    async with budget.admitted(10):
        pass


async def test_who_leaves_in_the_moment_of_its_turn_takes_nothing_along() -> None:
    budget = Budget(10, LONG)
    async with AsyncExitStack() as first:
        await first.enter_async_context(budget.admitted(10))
        waiting = asyncio.create_task(holder(budget, 10, asyncio.Event()))
        await settled()
    waiting.cancel()  # it has its turn, and has not run since
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(LONG), budget.admitted(10):
        pass


async def test_the_queue_has_an_end() -> None:
    budget, done = Budget(1, LONG), asyncio.Event()
    async with asyncio.TaskGroup() as visitors:
        for _ in range(401):
            visitors.create_task(holder(budget, 1, done))
        await settled()
        with pytest.raises(Unavailable):
            async with budget.admitted(1):
                pytest.fail("let in")
        done.set()


PIXELS = 300 * 200


@pytest.mark.parametrize(
    ("data", "per_pixel"),
    [
        (picture("PNG", (300, 200)), 6),
        (picture("PNG", (300, 200), transparency=(1, 2, 3)), 14),
        (picture("GIF", (300, 200)), 8),
        (picture("JPEG", (300, 200)), 4),
        (
            picture("JPEG", (300, 200), progressive=True),
            4 + 19 * 13 * 6 * 128 / PIXELS,
        ),  # units, their blocks, bytes
        (picture("AVIF", (300, 200)), 12),
        (picture("WEBP", (300, 200)), 20),
        (picture("WEBP", (300, 200), lossless=True), 20),
        (picture("WEBP", (300, 200), icc_profile=b"x"), 20),
    ],
    ids=[
        "PNG",
        "transparent PNG",
        "GIF",
        "JPEG",
        "progressive JPEG",
        "AVIF",
        "WebP",
        "lossless WebP",
        "extended WebP",
    ],
)
def test_a_decode_is_weighed_by_its_header(data: bytes, per_pixel: float) -> None:
    assert memory_to_develop(data, max_pixels=PIXELS) - len(data) - round(per_pixel * PIXELS) in {0, 200 * 16}


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_frames_that_are_held_at_once_weigh_as_well(kind: str) -> None:
    def weight(frames: int) -> int:
        images = [Image.new("RGB", (300, 200), (9 * number, 0, 0)) for number in range(frames)]
        file = io.BytesIO()
        images[0].save(file, kind, save_all=True, append_images=images[1:])
        data = file.getvalue()
        return memory_to_develop(data, max_pixels=30 * PIXELS) - len(data)

    assert weight(12) - weight(2) == 10 * 4 * PIXELS
    assert weight(16) < weight(2) + 4 * PIXELS  # too many: it will stand still


@pytest.mark.parametrize("data", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"RIFF....WEBP", picture()[:30]])
def test_what_will_be_refused_weighs_nothing(data: bytes) -> None:
    assert memory_to_develop(data, max_pixels=PIXELS) == 0


def test_neither_does_what_has_too_many_pixels() -> None:
    assert memory_to_develop(picture("WEBP", (300, 201)), max_pixels=PIXELS) == 0


class Body:
    """A body whose bytes come when a test says so."""

    def __init__(self) -> None:
        self._chunks = asyncio.Queue[bytes]()

    def send(self, size: int) -> None:
        self._chunks.put_nowait(bytes(size))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._chunks.get():
            yield chunk


async def read(budget: Budget, weight: int, body: Body) -> int:
    async with budget.admitted(weight) as loan:
        async for _ in loan.metered(aiter(body)):
            pass
        return loan.received


MIB = 2**20


async def test_bodies_that_drip_hold_what_they_have_sent_while_others_wait() -> None:
    budget, drips = Budget(8 * MIB, LONG), [Body() for _ in range(4)]
    async with asyncio.TaskGroup() as group:
        slow = [group.create_task(read(budget, 2 * MIB, body)) for body in drips]
        await settled()
        assert budget.lent == budget.total
        start = asyncio.get_running_loop().time()
        for _ in range(10):  # honest ones, one after the other
            async with budget.admitted(7 * MIB):
                assert budget.lent <= budget.total
            for body in drips:
                body.send(1)
        assert asyncio.get_running_loop().time() - start < 8
        for body in drips:  # they come to their end all the same
            body.send(2 * MIB - 10)
            body.send(0)
    assert [task.result() for task in slow] == [2 * MIB] * 4
    assert budget.lent == 0


async def test_a_body_that_keeps_coming_keeps_its_room() -> None:
    budget, body = Budget(8 * MIB, 3.0), Body()
    task = asyncio.create_task(read(budget, 8 * MIB, body))
    await settled()
    waiting = asyncio.create_task(holder(budget, MIB, asyncio.Event()))
    for _ in range(30):
        body.send(128 * 1024)
        assert budget.lent == budget.total
        await asyncio.sleep(0.1)
    with pytest.raises(Unavailable):
        await waiting
    body.send(0)
    assert await task == 30 * 128 * 1024


async def test_one_whose_room_was_given_to_another_is_refused_when_that_stays() -> None:
    budget, body = Budget(8 * MIB, 3.0), Body()
    task = asyncio.create_task(read(budget, 8 * MIB, body))
    await settled()
    async with budget.admitted(7 * MIB):
        body.send(MIB)
        with pytest.raises(Unavailable):
            await task
        assert budget.lent == 7 * MIB
    assert budget.lent == 0


async def test_a_request_s_time_stands_still_while_it_waits() -> None:
    budget = Budget(1, LONG)
    async with budget.admitted(1):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await holder(budget, 1, asyncio.Event())

        async def request() -> float:
            async with asyncio.timeout(0.2) as limit:
                with limited(limit):
                    async with budget.admitted(1):
                        return limit.when() or 0.0

        task = asyncio.create_task(request())
        await asyncio.wait([task], timeout=0.5)
        assert not task.done()
    left = await task - asyncio.get_running_loop().time()
    assert 0.05 < left <= 0.2
