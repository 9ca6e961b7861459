"""A hundred uploads at once, both backends 20 ms away, against the same writes as the SDK's guides show them.

Ours is `ImageService.upload` without decoding: the record, two writes at the same time, and the one that publishes.
The rival makes the same four, one after the other, with the SDK's own pool of 10 connections.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from bootstrap.emulator import AccessKey
from service.aws.dynamodb import DynamoRepository
from service.aws.s3 import S3ObjectStore
from service.aws.session import opened_clients
from service.domain.search import terms
from service.operations.depot import Depot
from service.operations.images import ImageService
from tests.aws.stand_in import new_settings, sdk_environment

from .figures import Figure, medians
from .overlap import DETAILS, JPEG, Known
from .rivals import sdk
from .stub import running_stub

DELAY = timedelta(milliseconds=20)  # that each call takes
AT_ONCE = 100
GOAL = 0.5
SIZE = 20_000  # bytes


async def measure(rounds: int = 20, at_once: int = AT_ONCE) -> list[Figure]:
    """Return the one figure."""
    data, said = JPEG + secrets.token_bytes(SIZE - len(JPEG)), {"owner": DETAILS.user_id, "title": DETAILS.title}
    async with _both() as (service, rival):
        rows = list(terms(DETAILS))

        async def ours() -> None:
            await asyncio.gather(*(service.upload(DETAILS, data) for _ in range(at_once)))

        async def theirs() -> None:
            await asyncio.gather(*(rival.upload(said, rows, data) for _ in range(at_once)))

        taken = await medians({"ours": ours, "rival": theirs}, rounds)
    return [Figure(f"{at_once} uploads at once, a pool of 10", taken["ours"], taken["rival"], GOAL)]


@asynccontextmanager
async def _both() -> AsyncIterator[tuple[ImageService, sdk.Uploads]]:
    settings = new_settings()
    names = (settings.bucket, settings.table, settings.index_table)
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(TemporaryDirectory()))
        stub = await stack.enter_async_context(running_stub(place, DELAY))
        with sdk_environment(stub["AWS_ENDPOINT_URL"], AccessKey("any", "any")):
            rival = await stack.enter_async_context(sdk.opened(*names))
            clients = await stack.enter_async_context(opened_clients(settings))
        records = DynamoRepository(clients, settings.table, settings.index_table, settings.read_budget)
        objects = S3ObjectStore(clients, settings.bucket)
        yield ImageService(Depot(objects, records, settings, Known(settings))), rival
