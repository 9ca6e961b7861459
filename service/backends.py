"""Open the configured storage and database: one of two storages and one of two databases, in any combination."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from .api.http import Route
from .domain.ports import ImageRepository, ObjectStore
from .settings import Settings, SettingsError

DATABASE = "pixdepot.db"  # SQLite's file in the data directory


@dataclass(frozen=True, slots=True)
class Backend:
    """The implementations of the two ports, and the routes of the local storage if it is used."""

    objects: ObjectStore
    records: ImageRepository
    routes: tuple[Route, ...] = ()


@asynccontextmanager
async def opened_backend(settings: Settings, clock: Callable[[], datetime]) -> AsyncIterator[Backend]:
    """Open the database, then the storage. Create local ones on first use; `bootstrap up` creates those on AWS.

    Raises SettingsError if the data directory or its file system is not suitable, if the SDK finds no Region or
    credentials, or if the service cannot sign links for the bucket's name.
    """
    shared = _Shared(settings, clock)
    open_database = _dynamodb if settings.uses_dynamodb else _sqlite
    open_storage = _s3 if settings.uses_s3 else _files
    async with open_database(shared) as records, open_storage(shared, records) as backend:
        yield backend


class _Shared:
    """What a storage and a database share, each made by the one that needs it first."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        self.settings, self.clock = settings, clock
        self.directory = settings.data_dir.absolute()

    @cached_property
    def disk(self) -> Any:
        """The disk of the data directory, prepared for what it is to keep."""
        from .local.disk import Disk

        disk = Disk(self.directory, self.settings.disk_reserve)
        with _usable(self.directory):
            (disk.prepare_for_database if self.settings.uses_s3 else disk.prepare)()
        return disk

    @cached_property
    def session(self) -> Any:
        """The AWS SDK's session."""
        from .aws.session import new_session

        return new_session()


@asynccontextmanager
async def _sqlite(shared: _Shared) -> AsyncIterator[ImageRepository]:
    from .local.sqlite import SqliteRepository

    make_room, budget = shared.disk.release_ballast, shared.settings.read_budget
    async with SqliteRepository.opened(shared.directory / DATABASE, budget, make_room) as records:
        yield records


@asynccontextmanager
async def _dynamodb(shared: _Shared) -> AsyncIterator[ImageRepository]:
    from .aws.dynamodb import DynamoRepository
    from .aws.session import opened_dynamodb

    settings = shared.settings
    async with opened_dynamodb(shared.session) as clients:
        tables, counts = (settings.table, settings.index_table), bool(settings.user_quota_bytes)
        yield DynamoRepository(clients, *tables, settings.read_budget, counts_usage=counts)


@asynccontextmanager
async def _files(shared: _Shared, records: ImageRepository) -> AsyncIterator[Backend]:
    from .local.files import LocalObjectStore
    from .local.links import LinkSigner
    from .local.storage import StorageRoutes

    disk = shared.disk  # before the database is asked, so that a directory that cannot be one is told first
    signer = LinkSigner(await records.secret(), shared.clock)
    objects = LocalObjectStore(disk, signer)
    yield Backend(objects, records, StorageRoutes(objects, signer, shared.settings.max_image_bytes).routes)


@asynccontextmanager
async def _s3(shared: _Shared, records: ImageRepository) -> AsyncIterator[Backend]:
    from .aws.s3 import S3ObjectStore
    from .aws.session import opened_s3

    async with opened_s3(shared.session, shared.settings) as clients:
        try:
            objects = S3ObjectStore(clients, shared.settings.bucket)
        except ValueError as error:
            raise SettingsError(str(error)) from error
        yield Backend(objects, records)


@contextmanager
def _usable(directory: Path) -> Iterator[None]:
    """Raise SettingsError where the block finds that a data directory cannot be one."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        if isinstance(error, FileExistsError):
            why = "it is not a directory"
        raise SettingsError(
            f"{getattr(error, 'filename', None) or directory} cannot be used for data: {why}. "
            "Set PIXDEPOT_DATA_DIR (or --data) to a directory that this user can write to."
        ) from error
