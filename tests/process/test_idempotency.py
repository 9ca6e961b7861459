"""One idempotency key, one image: whenever the server is killed, and whenever a client loses its connection."""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import count
from pathlib import Path

import aiohttp

from service.domain import model
from service.domain.model import GRACE
from service.runtime import open_service
from service.settings import Settings
from tests.api.client import Answer, ApiClient
from tests.pictures import picture
from tests.process.servers import Server, serving

ROUNDS, CLIENTS = 8, 6
STEPS = range(5, 60)  # of all clients together, until the server is killed: an upload takes four
PICTURES = [picture(size=(60 * n, 50 * n), noise=True, seed=n) for n in range(1, CLIENTS + 1)]


async def test_killed_again_and_again_every_key_makes_one_image(tmp_path: Path) -> None:
    chance = random.Random(11)
    clients = [Client(f"client {number}", data) for number, data in enumerate(PICTURES)]
    for _ in range(ROUNDS):
        async with serving(tmp_path) as server:
            api = deadly(server, chance.choice(STEPS))
            await asyncio.gather(*(client.upload_until_unanswered(api) for client in clients))
    async with serving(tmp_path) as server:
        for client in clients:
            await client.ask(server.api)
        shown = [image["title"] for image in await server.api.walk(limit=100)]
        assert Counter(shown) == Counter(title for client in clients for title in client.answers)
        settings = Settings(data_dir=server.data)
    assert len(shown) > len(clients)  # there was time for more than the last round's

    links_dead = model.now() + timedelta(seconds=settings.upload_ttl + 1) + GRACE
    async with open_service(settings, clock=lambda: links_dead) as runtime:
        await runtime.sweeper.sweep()
    assert files_in(settings.data_dir) == files_of(images=len(shown))


def deadly(server: Server, last: int) -> ApiClient:
    """Return a client that kills its server at its last step, in the middle of what else it was asked for."""
    steps = count(1)

    def step() -> None:
        if next(steps) == last:
            server.process.kill()

    async def send(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        step()
        answer = await server.api.send(method, url, headers, body)
        step()
        return answer

    return ApiClient(server.url, send)


class Client:
    """Uploads one picture after another, each under a key of its own, and asks again until it has the answer."""

    def __init__(self, name: str, data: bytes) -> None:
        self.answers: dict[str, bytes] = {}
        self._data = data
        self._titles = (f"{name}, number {number}" for number in count())
        self._title = next(self._titles)

    async def upload_until_unanswered(self, api: ApiClient) -> None:
        """Upload until the server is gone. What had no answer is asked for again the next time."""
        try:
            while True:
                await self.ask(api)
                self._title = next(self._titles)
        except aiohttp.ClientError:
            return

    async def ask(self, api: ApiClient) -> None:
        """Ask for one upload until it is granted, and then once more."""
        keyed = replace(api, headers={"Idempotency-Key": self._title.replace(", ", "/").replace(" ", "-")})
        answer = await self._granted(keyed)
        assert self.answers.setdefault(self._title, answer.body) == answer.body
        assert (await self._granted(keyed)).body == answer.body

    async def _granted(self, api: ApiClient) -> Answer:
        while (answer := await api.upload(self._data, title=self._title)).status == 409:
            assert answer.json["code"] == "in_flight"
            await asyncio.sleep(float(answer.headers["Retry-After"]))
        assert answer.status == 201, answer.body
        return answer


async def test_fifty_at_once_make_one_image_and_one_file_and_get_one_answer(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        keyed = replace(server.api, headers={"Idempotency-Key": "one"})
        answers = await asyncio.gather(*(keyed.upload() for _ in range(50)))
        assert [answer.status for answer in answers] == [201] * 50
        (body,) = {answer.body for answer in answers}
        assert (await keyed.upload()).body == body
        assert len(await server.api.walk()) == 1
        assert files_in(server.data) == files_of(images=1)


async def test_clients_that_hang_up_and_ask_again_get_one_image(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        keyed = replace(server.api, headers={"Idempotency-Key": "one"})
        for moment in range(20):
            await hung_up(keyed, after=moment / 400)
        answer = await keyed.upload()
        assert answer.status == 201
        assert [image["image_id"] for image in await server.api.walk()] == [answer.json["image_id"]]
        assert await whole(server, answer.json["image_id"]) == picture()


async def hung_up(api: ApiClient, after: float) -> None:
    """Ask for an upload, and cut the connection after so many seconds."""
    try:
        async with asyncio.timeout(after):
            await api.upload()
    except TimeoutError:
        return


async def whole(server: Server, image_id: str) -> bytes:
    """Return an image's bytes."""
    return (await server.api.download(image_id)).body


def files_of(images: int) -> int:
    """Return how many files the storage has for so many images, if it has no others."""
    return 4 * images + 1  # the original, its note and two smaller ones; and the depot's ID


def files_in(directory: Path) -> int:
    """Return how many files the storage of a data directory has."""
    return sum(path.is_file() for path in (directory / "objects").rglob("*"))
