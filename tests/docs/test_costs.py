"""What docs/costs.md says that operations ask of AWS is what they ask for."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

from benchmarks.counting import Count, counting
from bootstrap.emulator import Emulator
from bootstrap.resources import resources
from service.aws.session import opened_clients
from service.runtime import Runtime, open_service
from service.server import answering, listen
from tests.api.client import ApiClient, over_http
from tests.aws.stand_in import new_settings, sdk_environment
from tests.browser.conftest import Clock
from tests.docs.costs import COUNTED, Work
from tests.pictures import picture
from tests.servers.dynalite import running_dynalite
from tests.servers.proxy import Proxy, proxied

PHOTO = picture(size=(1600, 1200))
DETAILS = {"title": "A morning at lakes", "tags": ["sunset", "nature", "lake"]}

Counts = tuple[int, int, float, float]


@dataclass(frozen=True)
class Metered:
    """A service on S3 and DynamoDB, each behind something that counts."""

    api: ApiClient
    runtime: Runtime
    clock: Clock
    s3: Proxy
    dynamodb: Count

    def taken(self, before: Counts) -> Work:
        """Return what was asked for since then."""
        puts, gets, writes, reads = (now - then for now, then in zip(self.counts(), before, strict=True))
        return Work(int(puts), int(gets), writes, 0, reads)

    def counts(self) -> Counts:
        """Return requests at the price of a PUT and of a GET, write units and read units so far."""
        calls, units = self.s3.calls, self.dynamodb
        puts = sum(calls[each] for each in ("PutObject", "CopyObject", "ListObjectsV2"))
        return puts, calls["GetObject"] + calls["HeadObject"], units.write_units, units.units - units.write_units


@asynccontextmanager
async def metered(emulator: Emulator, directory: Path) -> AsyncIterator[Metered]:
    """Run a service whose requests to S3 and to DynamoDB are counted."""
    settings, clock, listening = new_settings(), Clock(), listen("127.0.0.1", 0)
    async with AsyncExitStack() as stack:
        dynamodb, count = await stack.enter_async_context(
            counting(await stack.enter_async_context(running_dynalite(directory)))
        )
        s3 = await stack.enter_async_context(proxied(emulator.endpoint_url))
        with sdk_environment(emulator.endpoint_url, emulator.root, s3=s3.url, dynamodb=dynamodb):
            clients = await stack.enter_async_context(opened_clients(settings))
            runtime = await stack.enter_async_context(open_service(settings, clock))
        for each in resources(clients, settings):
            if each.name in {
                f"bucket {settings.bucket}",
                f"table {settings.table}",
                f"table {settings.index_table}",
            }:
                await each.up()
        await stack.enter_async_context(answering(runtime.api, listening))
        session = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
        api = ApiClient(f"http://127.0.0.1:{listening.getsockname()[1]}", over_http(session))
        await api.upload(PHOTO, **DETAILS)  # what is asked for once only
        await runtime.sweeper.sweep()
        yield Metered(api, runtime, clock, s3, count)


async def upload_directly(api: ApiClient) -> str:
    begun = await api.begun(PHOTO, **DETAILS)
    assert (await api.transfer(begun["upload"], PHOTO)).status == 200
    assert (await api.complete(begun["image_id"])).status == 200
    return str(begun["image_id"])


async def swept(service: Metered, before: Counts) -> Work:
    """Sweep one upload; return what that asked for, less the one list that every round asks for."""
    assert (await service.runtime.sweeper.sweep()).removed == 1
    with_one = service.taken(before)
    before = service.counts()
    assert (await service.runtime.sweeper.sweep()).removed == 0
    return replace(with_one, puts=with_one.puts - service.taken(before).puts)


async def test_operations_ask_for_what_the_page_says(emulator: Emulator, tmp_path: Path) -> None:
    taken = {}
    async with metered(emulator, tmp_path) as service:
        begin, sweep, base64, view, delete = COUNTED
        before = service.counts()
        image_id = await upload_directly(service.api)
        taken[begin], before = service.taken(before), service.counts()
        service.clock.advance(minutes=26)
        taken[sweep], before = await swept(service, before), service.counts()
        await service.api.uploaded(PHOTO, **DETAILS)
        taken[base64], before = service.taken(before), service.counts()
        await service.api.get(f"/images/{image_id}?metadata_only=true")
        taken[view], before = service.taken(before), service.counts()
        assert (await service.api.delete(f"/images/{image_id}", params={"user_id": "ada"})).status == 200
        service.clock.advance(minutes=26)
        taken[delete] = await swept(service, before)
    assert taken == {name: replace(work, index_writes=0) for name, work in COUNTED.items()}
