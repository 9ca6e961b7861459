"""Uploads by `pixdepot.Client` over a network that cuts, loses, delays and refuses: each is there, once.

Every skin on every backend, behind proxies: one before the service, and one before the storage where that is
another server. Now and then bytes are held back until their link has expired.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from bootstrap.emulator import Emulator
from bootstrap.processes import LOOPBACK, free_port
from pixdepot import Client, NewImage, Uploaded
from service.runtime import Runtime, open_service
from service.settings import Settings
from tests.api.conftest import served
from tests.aws.on_lambda import deployed
from tests.aws.stand_in import new_account, new_settings, opened_in, sdk_environment
from tests.client.conftest import lambda_on_local
from tests.faults.sites import left_over, tomorrow
from tests.faults.tally import Tally
from tests.pictures import picture, sha256_of
from tests.servers.proxy import Fault, Proxy, proxied

_USER = "ada"
_LIKELY = 0.2  # how likely a request is spoiled
_RETRIES = 12
_QUICK = [fault for fault in Fault if fault.is_quick]
_SLOW = [fault for fault in Fault if not fault.is_quick]


@dataclass
class Weather:
    """What becomes of requests on their way.

    `ttl` is how long a link works, in seconds; `lateness` how likely bytes come when theirs has expired. Some are
    sure to.
    """

    chance: random.Random
    ttl: int
    lateness: float
    requests: int = 0
    spoilt: Counter[Fault] = field(default_factory=Counter)
    late: int = 0

    async def accident(self, request: web.Request) -> Fault | None:
        """Return what becomes of a request; some wait before."""
        self.requests += 1
        if self.chance.random() < _LIKELY:
            fault = self.chance.choice(_QUICK if self.chance.random() < 0.95 else _SLOW)
            self.spoilt[fault] += 1
            return fault
        if request.method == "PUT" and (not self.late or self.chance.random() < self.lateness):
            self.late += 1
            await asyncio.sleep(self.ttl + 1)
        return None


@dataclass(frozen=True)
class Service:
    """A service as clients reach it through the weather, the same in the sun, and its backend a day later.

    It is sent so many pictures `at_once`, and the client waits `patience` seconds for an answer: on the emulator
    each function is a process that has to start.
    """

    url: str
    direct_url: str
    proxies: tuple[Proxy, ...]
    later: Runtime
    at_once: int = 12
    patience: float = 4.0


Start = Callable[[Path, Emulator, int], AbstractAsyncContextManager[Service]]


@asynccontextmanager
async def server_on_local(place: Path, _: Emulator, ttl: int) -> AsyncIterator[Service]:
    """Run the server on SQLite and files."""
    settings = Settings(data_dir=place, upload_ttl=ttl)
    async with (
        served(settings) as api,
        proxied(api.base_url) as proxy,
        open_service(settings, tomorrow) as later,
    ):
        yield Service(proxy.url, api.base_url, (proxy,), later)


@asynccontextmanager
async def server_on_aws(_: Path, emulator: Emulator, ttl: int) -> AsyncIterator[Service]:
    """Run the server on S3 and DynamoDB, of which clients reach S3 through a proxy."""
    async with (
        proxied(emulator.endpoint_url) as storage,
        new_account(emulator, upload_ttl=ttl, s3_public_endpoint_url=storage.url) as account,
        opened_in(account.environment(), served(account.settings)) as api,
        proxied(api.base_url) as proxy,
        seen_tomorrow(emulator, account.settings) as later,
    ):
        yield Service(proxy.url, api.base_url, (proxy, storage), later)


@asynccontextmanager
async def function_on_local(place: Path, _: Emulator, ttl: int) -> AsyncIterator[Service]:
    """Run the Lambda skin on SQLite and files."""
    settings, port = Settings(data_dir=place, upload_ttl=ttl), free_port()
    with redirect_stdout(StringIO()):  # where the function prints its metrics
        async with (
            lambda_on_local(place, upload_ttl=ttl, public_url=f"http://{LOOPBACK}:{port}") as url,
            proxied(url, port) as proxy,
            open_service(settings, tomorrow) as later,
        ):
            yield Service(proxy.url, url, (proxy,), later)


@asynccontextmanager
async def function_on_aws(_: Path, emulator: Emulator, ttl: int) -> AsyncIterator[Service]:
    """Deploy the functions behind API Gateway, all emulated: an upload is completed when its bytes arrive, too."""
    async with proxied(emulator.endpoint_url) as storage, proxied(emulator.endpoint_url) as proxy:
        settings = new_settings(upload_ttl=ttl, s3_public_endpoint_url=storage.url)
        async with deployed(emulator, settings) as api, seen_tomorrow(emulator, settings) as later:
            url = proxy.url + urlsplit(api.base_url).path
            yield Service(url, api.base_url, (proxy, storage), later, at_once=2, patience=15.0)


def seen_tomorrow(emulator: Emulator, settings: Settings) -> AbstractAsyncContextManager[Runtime]:
    """Open a backend as it is tomorrow, as its operator: reconcile needs more than the service may."""
    return opened_in(sdk_environment(emulator.endpoint_url, emulator.root), open_service(settings, tomorrow))


SERVICES: dict[str, Start] = {
    "server on local": server_on_local,
    "server on aws": server_on_aws,
    "lambda on local": function_on_local,
    "lambda on aws": function_on_aws,
}


def pictures(seed: int, count: int) -> Iterator[NewImage]:
    """Yield pictures that all differ, of some bytes to some hundred thousand."""
    chance = random.Random(seed)
    for number in range(count):
        size = (chance.randrange(20, 500), chance.randrange(20, 400))
        data = picture(size=size, noise=True, seed=chance.randrange(10**9))
        yield NewImage(data, title=f"Number {number}", filename=f"{number}.jpg", sha256=sha256_of(data))


async def upload_all(service: Service, weather: Weather, seed: int, count: int, tally: Tally) -> None:
    """Upload so many pictures in this weather, and look in the sun at what became of them."""
    for proxy in service.proxies:
        proxy.accident = weather.accident
    with tally.timed():
        async with Client(service.url, user_id=_USER, timeout=service.patience, max_retries=_RETRIES) as client:
            uploads = client.upload_many(pictures(seed, count), concurrency=service.at_once)
            results = [each async for each in uploads]
        tally.count += len(results)
        async with Client(service.direct_url) as client:
            tally.violations += await wrong_with(client, results)
        tally.violations += await left_in_the_end(service.later)
    spoilt = weather.spoilt.total()
    tally.figures = (
        f"{spoilt} of {weather.requests} requests spoilt, {weather.late} came when their link had expired"
    )


async def left_in_the_end(later: Runtime) -> list[str]:
    """Return what is left over; looked at again where a function that nobody waits for may still be at work."""
    wrong = await left_over(later)
    for _ in range(5):
        if not wrong or not all(each.startswith("3:") for each in wrong):
            break
        await asyncio.sleep(2)
        wrong = await left_over(later)
    return wrong


async def wrong_with(client: Client, results: list[Uploaded]) -> list[str]:
    """Return what is wrong where each upload should have made one image, with its bytes."""
    wrong = [f"an untrue answer: {each.error!r}" for each in results if each.error]
    shown = {each.image_id: each async for each in client.images(user_id=_USER)}
    titles = Counter(each.title for each in shown.values())
    wrong += [f"5: {title} is there {times} times" for title, times in titles.items() if times > 1]
    for each in results:
        assert isinstance(each.source, NewImage)
        if each.image is None:
            continue
        image = shown.get(each.image.image_id)
        if image is None:
            wrong.append(f"2: {each.source.title} was acknowledged, and is not there")
        elif (image.title, image.sha256) != (each.source.title, each.source.sha256):
            wrong.append(f"7: {each.source.title} is something else")
    return wrong


async def measure(place: Path, emulator: Emulator, seed: int, count: int) -> list[Tally]:
    """Upload so many pictures to each service."""
    tallies = []
    for name, start in SERVICES.items():
        tally, weather = Tally(f"uploads by the client, {name}"), Weather(random.Random(seed), 5, 0.05)
        async with start(place / name, emulator, weather.ttl) as service:
            await upload_all(service, weather, seed, count, tally)
        tallies.append(tally)
    return tallies
