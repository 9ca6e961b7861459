"""Building the service from its settings, and taking it down again."""

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from . import memory, model
from .api import Api
from .depot import Depot
from .endpoints import Services
from .errors import DepotMismatch
from .http import Route
from .identity import Identity
from .images import ImageService
from .inspection import Inspector
from .limits import RateLimiter
from .metrics import Metrics
from .migrator import Migrator
from .observed import observed
from .ports import ImageRepository, ObjectStore
from .rebuilder import Rebuilder
from .reconciler import Reconciler
from .recoverer import Recoverer
from .reindexer import Reindexer
from .settings import Settings, SettingsError
from .sweeper import Sweeper
from .tracing import opened_tracer
from .uploads import UploadService

_DATABASE = "pixdepot.db"  # of the local backend, in its data directory


@dataclass(frozen=True, slots=True)
class Backend:
    """The two ports, implemented; and the storage's own routes, where no S3 has them."""

    objects: ObjectStore
    records: ImageRepository
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class Runtime:
    """A service that is ready to work."""

    api: Api
    sweeper: Sweeper
    reconciler: Reconciler
    reindexer: Reindexer
    rebuilder: Rebuilder
    recoverer: Recoverer


@asynccontextmanager
async def open_service(
    settings: Settings, clock: Callable[[], datetime] = model.now, *, create: bool = True, paired: bool = True
) -> AsyncIterator[Runtime]:
    """Open everything the settings name, in one place, and close it in the opposite order.

    A local database and storage that do not belong together are refused, unless they need not be `paired`.
    Raises SettingsError when the data directory cannot be used or, without `create`, when there is none. AWS need
    not answer yet.
    """
    if not create:
        _check_there(settings)
    async with AsyncExitStack() as stack:
        depot, routes = await stack.enter_async_context(_opened_depot(settings, clock))
        if paired and settings.backend == "local":
            await _check_pairing(depot, settings)
        identity = await stack.enter_async_context(opened_identity(settings))
        rates = RateLimiter(settings.rate_limit)
        services = Services(ImageService(depot), UploadService(depot), depot, identity, _described, rates)
        api = Api(services, routes)
        yield Runtime(api, Sweeper(depot), Reconciler(depot), Reindexer(depot), Rebuilder(depot), Recoverer(depot))


@asynccontextmanager
async def open_migrator(
    settings: Settings, target: str, clock: Callable[[], datetime] = model.now, *, dry_run: bool = False
) -> AsyncIterator[Migrator]:
    """Open both backends, and what copies images to `target` ("local" or "aws") from the other.

    A local target is made; for a `dry_run`, in a temporary place. Raises SettingsError where there is no local data
    to copy.
    """
    source = {"aws": "local", "local": "aws"}[target]
    here, there = replace(settings, backend=source), replace(settings, backend=target)
    _check_there(here)
    async with AsyncExitStack() as stack:
        if dry_run and not _is_there(there):
            there = replace(there, data_dir=Path(stack.enter_context(TemporaryDirectory())))
        source_depot, _ = await stack.enter_async_context(_opened_depot(here, clock))
        target_depot, _ = await stack.enter_async_context(_opened_depot(there, clock))
        yield Migrator(source_depot, target_depot)


@asynccontextmanager
async def open_recoverer(settings: Settings) -> AsyncIterator[Recoverer]:
    """Open the backend, and what makes records again from its storage; a local database is made where it is lost.

    Raises SettingsError where the local backend has no storage.
    """
    directory = settings.data_dir.absolute()
    if settings.backend == "local" and not (directory / "objects" / "images").is_dir():
        raise SettingsError(
            f"{directory} has no images to recover, since there is no objects/images in it: restore that from a "
            "backup, or name the right directory with --data or PIXDEPOT_DATA_DIR."
        )
    async with open_service(settings, paired=False) as runtime:
        yield runtime.recoverer


async def _check_pairing(depot: Depot, settings: Settings) -> None:
    """Raise SettingsError where what is in the data directory does not belong together."""
    try:
        await depot.pairing.check()
    except DepotMismatch as error:
        raise SettingsError(f"{settings.data_dir.absolute()}: {error.detail}") from error


def _is_there(settings: Settings) -> bool:
    """Return whether the local backend has data; what the aws backend has shows when it is asked."""
    return settings.backend != "local" or os.path.isfile(settings.data_dir / _DATABASE)  # noqa: PTH113 - never raises


def _check_there(settings: Settings) -> None:
    """Raise SettingsError where the local backend has no data: what is opened to be looked after is not made."""
    if not _is_there(settings):
        raise SettingsError(
            f"{settings.data_dir.absolute()} is no data directory of Pixdepot, since it has no {_DATABASE}: "
            "name the right one with --data or PIXDEPOT_DATA_DIR. `pixdepot serve` makes a new one."
        )


@asynccontextmanager
async def _opened_depot(
    settings: Settings, clock: Callable[[], datetime]
) -> AsyncIterator[tuple[Depot, tuple[Route, ...]]]:
    memory.use_one_arena()  # before any thread of the backend begins
    limit = memory.limit(os.environ)
    open_backend = {"local": local_backend, "aws": aws_backend}[settings.backend]
    async with opened_tracer(os.environ) as tracer, open_backend(settings, clock) as backend:
        metrics = Metrics()
        objects = observed(backend.objects, "objects", ObjectStore, metrics, tracer)
        records = observed(backend.records, "records", ImageRepository, metrics, tracer)
        depot = Depot(objects, records, settings, Inspector(settings, limit), clock, metrics=metrics, tracer=tracer)
        yield depot, backend.routes


def _described() -> Mapping[str, Any]:
    from .openapi import document  # only those who ask for it need what makes it

    return document()


@asynccontextmanager
async def opened_identity(settings: Settings) -> AsyncIterator[Identity]:
    """Open what finds out who is calling. The issuer need not answer yet."""
    if settings.auth == "open":
        yield Identity()
        return
    from .jwks import opened_keys
    from .tokens import TokenVerifier

    async with opened_keys(settings.jwks_url) as keys:
        yield Identity(TokenVerifier(keys, settings.jwt_issuer, settings.jwt_audience).verify)


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
            "Set PIXDEPOT_DATA_DIR (or --data) to a directory that this user may write to."
        ) from error


@asynccontextmanager
async def local_backend(settings: Settings, clock: Callable[[], datetime]) -> AsyncIterator[Backend]:
    """Open the backend of one machine in its data directory, made on first use.

    Raises SettingsError where the directory, or its file system, cannot do what uploads need.
    """
    from .local.disk import Disk
    from .local.files import LocalObjectStore
    from .local.links import LinkSigner
    from .local.sqlite import SqliteRepository
    from .local.storage import StorageRoutes

    directory = settings.data_dir.absolute()
    disk, database = Disk(directory, settings.disk_reserve), directory / _DATABASE
    with _usable(directory):
        disk.prepare()
    async with SqliteRepository.opened(database, settings.read_budget, disk.release_ballast) as records:
        signer = LinkSigner(await records.secret(), clock)
        objects = LocalObjectStore(disk, signer)
        yield Backend(objects, records, StorageRoutes(objects, signer, settings.max_image_bytes).routes)


@asynccontextmanager
async def aws_backend(settings: Settings, clock: Callable[[], datetime]) -> AsyncIterator[Backend]:  # noqa: ARG001
    """Open the backend in S3 and DynamoDB. `bootstrap up` makes what it needs there. Raises SettingsError."""
    from .aws.dynamodb import DynamoRepository
    from .aws.s3 import S3ObjectStore
    from .aws.session import opened_clients

    async with opened_clients(settings) as clients:
        try:
            objects = S3ObjectStore(clients, settings.bucket)
        except ValueError as error:
            raise SettingsError(str(error)) from error
        tables = (settings.table, settings.index_table)
        counts = bool(settings.user_quota_bytes)
        records = DynamoRepository(clients, *tables, settings.read_budget, counts_usage=counts)
        yield Backend(objects, records)
