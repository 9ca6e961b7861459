"""Whether an upload's object and its metadata are written at the same time.

Both backends are 20 ms away. Measured is what `ImageService.upload` takes beyond looking at the picture, and
without the last write, which publishes; its rival is the slower of the two, object or metadata, each measured
alone. To look at it takes 30 ms here, as for a photograph of 4 megapixels; the record is written meanwhile.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from bootstrap.commands import up
from bootstrap.emulator import running_emulator
from service.aws.dynamodb import DynamoRepository
from service.aws.s3 import S3ObjectStore
from service.aws.session import opened_clients
from service.domain.model import Content, Details, Expected, Image
from service.operations.depot import Depot
from service.operations.images import ImageService
from service.operations.inspection import Inspected, Inspector
from service.settings import Settings
from tests.aws.stand_in import new_settings, opened_in, sdk_environment

from .far import far_away
from .figures import Figure, medians

DELAY = timedelta(milliseconds=20)  # that each call takes on the way
LOOK = timedelta(milliseconds=30)  # for so long a picture is looked at
GOAL = 1.15
JPEG = b"\xff\xd8\xff"  # how one begins
DETAILS = Details("ada", "A photo", "photo.jpg", tags=("sea", "sunset"))


class Unpublished(DynamoRepository):
    """Writes all but the last."""

    async def publish(self, image: Image, *, settled: bool) -> Image | None:  # noqa: ARG002 - nothing is written
        """Say that it is published."""
        return image


class Known(Inspector):
    """Knows what the bytes are without looking; it may take some time all the same."""

    def __init__(self, settings: Settings, look: timedelta = timedelta()) -> None:
        super().__init__(settings)
        self._seconds = look.total_seconds()

    async def inspected(
        self,
        data: bytes,
        *_: str | None,
        sha256: str | None = None,  # noqa: ARG002 - nothing is verified
        size: int | None = None,  # noqa: ARG002
        strip_location: bool = False,  # noqa: ARG002
    ) -> Inspected:
        """Return what any picture of this size is."""
        await asyncio.sleep(self._seconds)
        return Inspected(data, Content("image/jpeg", len(data), digest(data), 640, 480), {})


@cache
def digest(data: bytes) -> str:
    """Return the sha256, which the storage checks; it is no part of what is measured."""
    return hashlib.sha256(data).hexdigest()


async def measure(rounds: int = 60, sizes: tuple[int, ...] = (20_000, 500_000)) -> list[Figure]:
    """Return a figure for each size of picture, in bytes."""
    async with depot_far_away() as depot:
        return [await _measure(depot, size, rounds) for size in sizes]


@asynccontextmanager
async def depot_far_away() -> AsyncIterator[Depot]:
    """Open the aws backend on an emulator for each service, so that one's work does not wait for the other's."""
    settings = new_settings()
    with TemporaryDirectory() as place:
        async with (
            running_emulator(Path(place, "database"), port=0) as database,
            running_emulator(Path(place, "storage"), port=0) as storage,
            far_away(database, DELAY, Path(place, "to-database.log")) as to_database,
            far_away(storage, DELAY, Path(place, "to-storage.log")) as to_storage,
        ):
            for each in (database, storage):
                with sdk_environment(each.endpoint_url, each.root):
                    await up(settings)
            there = sdk_environment(to_database, database.root, s3=to_storage)
            async with opened_in(there, opened_clients(settings)) as clients:
                objects = S3ObjectStore(clients, settings.bucket)
                records = Unpublished(clients, settings.table, settings.index_table, settings.read_budget)
                yield Depot(objects, records, settings, Known(Settings(), LOOK))


async def _measure(depot: Depot, size: int, rounds: int) -> Figure:
    data, service = JPEG + secrets.token_bytes(size - len(JPEG)), ImageService(depot)

    async def metadata() -> None:
        upload = depot.new_upload(DETAILS, Expected("PUT", "image/jpeg", size))
        await asyncio.gather(depot.records.begin(upload), depot.records.prepare(upload))

    taken = await medians(
        {
            "both": lambda: service.upload(DETAILS, data),
            "object": lambda: depot.objects.put(depot.sealed_key("alone"), data, "image/jpeg", digest(data)),
            "metadata": metadata,
        },
        rounds,
    )
    slower = max(taken["object"], taken["metadata"])
    beyond = taken["both"] - LOOK.total_seconds() * 1000
    return Figure(f"overlap of an upload's writes, {size:,} bytes", beyond, slower, GOAL)
