"""A database that another program has locked: uploads are refused, and leave nothing behind."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from service.domain.errors import Unavailable
from service.domain.model import Details
from service.runtime import open_service
from service.settings import Settings
from tests.faults.sites import tomorrow
from tests.pictures import picture

DETAILS = Details("ada", "A photo", "photo.jpg")


async def test_uploads_into_a_locked_database_write_no_object(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    async with open_service(settings) as runtime, open_service(settings, tomorrow) as later:
        images, objects = runtime.api.services.images, runtime.api.services.depot.objects
        with closing(sqlite3.connect(tmp_path / "pixdepot.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            asked = [
                images.upload(DETAILS, picture(seed=n), idempotency_key=key) for n, key in enumerate([None, "a"])
            ]
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(each) for each in outcomes] == [Unavailable, Unavailable]
            assert [each.key async for each in objects.list("")] == []
            other.execute("ROLLBACK")
        assert (await later.sweeper.sweep()).failed == 0
        assert [each.key async for each in objects.list("")] == []
        assert await images.upload(DETAILS, picture())
