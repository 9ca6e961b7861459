"""Build the service from its settings, and close it."""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .api.calls import Services
from .api.dispatch import Api
from .api.http import Route
from .api.identity import Identity
from .backends import DATABASE, opened_backend
from .domain import model
from .domain.errors import DepotMismatch
from .domain.ports import ImageRepository, ObjectStore
from .machine import memory
from .operations.depot import Depot
from .operations.images import ImageService
from .operations.inspection import Inspector
from .operations.limits import RateLimiter
from .operations.uploads import UploadService
from .settings import Settings, SettingsError
from .telemetry.metrics import Metrics
from .telemetry.observed import observed
from .telemetry.tracing import opened_tracer
from .upkeep.migrator import Migrator
from .upkeep.rebuilder import Rebuilder
from .upkeep.reconciler import Reconciler
from .upkeep.recoverer import Recoverer
from .upkeep.reindexer import Reindexer
from .upkeep.sweeper import Sweeper


@dataclass(frozen=True, slots=True)
class Runtime:
    """A running service: its API, its depot and its maintenance."""

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
    """Open everything that the settings name, and close it in reverse order.

    With `paired`, reject a local database and storage that do not belong together. Raises SettingsError if the data
    directory is not usable, if it does not exist and `create` is false, or without a Region or credentials for AWS.
    S3 and DynamoDB need not answer yet. Exception: with local files and DynamoDB, raises Unavailable unless
    DynamoDB answers, because it has the key that signs links.
    """
    if not create:
        _check_there(settings)
    async with AsyncExitStack() as stack:
        depot, routes = await stack.enter_async_context(_opened_depot(settings, clock))
        if paired and not settings.uses_s3 and not settings.uses_dynamodb:
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
    """Open both backends, and what copies images to `target` ("local", "aws" or "s3").

    To "s3" the objects of the local storage are copied, and the database stays. To the others everything is copied
    from where the settings store it, if that is one part local and one on AWS; else from the other of the two.
    A local target is made; for a `dry_run`, in a temporary place. Raises SettingsError where there is no local data
    to copy.
    """
    here, there = _moved(settings, target)
    _check_there(here)
    async with AsyncExitStack() as stack:
        if dry_run and not _is_there(there):
            there = replace(there, data_dir=Path(stack.enter_context(TemporaryDirectory())))
        source_depot, _ = await stack.enter_async_context(_opened_depot(here, clock))
        target_depot, _ = await stack.enter_async_context(_opened_depot(there, clock))
        yield Migrator(source_depot, target_depot, share_records=here.uses_dynamodb == there.uses_dynamodb)


def _moved(settings: Settings, target: str) -> tuple[Settings, Settings]:
    """Return the settings of where images are copied from, and to."""
    if target == "s3":
        return replace(settings, storage="local"), replace(settings, storage="s3")
    is_mixed = settings.uses_s3 != settings.uses_dynamodb
    source = settings if is_mixed else settings.on({"aws": "local", "local": "aws"}[target])
    return source, settings.on(target)


@asynccontextmanager
async def open_recoverer(settings: Settings) -> AsyncIterator[Recoverer]:
    """Open the backend, and what makes records again from its storage; a local database is made where it is lost.

    Raises SettingsError where files are to be read and there are none.
    """
    directory = settings.data_dir.absolute()
    if not settings.uses_s3 and not (directory / "objects" / "images").is_dir():
        raise SettingsError(
            f"{directory} has no images to recover, because it has no objects/images: restore that from a "
            "backup, or set the right directory with --data or PIXDEPOT_DATA_DIR."
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
    """Return whether the data directory has what is local; what AWS has shows when it is asked."""
    if not settings.uses_dynamodb:
        return os.path.isfile(settings.data_dir / DATABASE)  # noqa: PTH113 - never raises
    return settings.uses_s3 or os.path.isdir(settings.data_dir / "objects")  # noqa: PTH112


def _check_there(settings: Settings) -> None:
    """Raise SettingsError where there is no local data: what is opened to be looked after is not made."""
    if not _is_there(settings):
        lacking = "objects" if settings.uses_dynamodb else DATABASE
        raise SettingsError(
            f"{settings.data_dir.absolute()} is not a data directory of Pixdepot, because it has no {lacking}: "
            "set the right directory with --data or PIXDEPOT_DATA_DIR. `pixdepot serve` creates a new one."
        )


@asynccontextmanager
async def _opened_depot(
    settings: Settings, clock: Callable[[], datetime]
) -> AsyncIterator[tuple[Depot, tuple[Route, ...]]]:
    memory.use_one_arena()  # before any thread of the backend begins
    limit = memory.limit(os.environ)
    async with opened_tracer(os.environ) as tracer, opened_backend(settings, clock) as backend:
        metrics = Metrics()
        objects = observed(backend.objects, "objects", ObjectStore, metrics, tracer)
        records = observed(backend.records, "records", ImageRepository, metrics, tracer)
        depot = Depot(objects, records, settings, Inspector(settings, limit), clock, metrics=metrics, tracer=tracer)
        yield depot, backend.routes


def _described() -> Mapping[str, Any]:
    from .api.openapi import document  # only those who ask for it need what makes it

    return document()


@asynccontextmanager
async def opened_identity(settings: Settings) -> AsyncIterator[Identity]:
    """Open the authentication of callers. The token issuer need not answer yet."""
    if settings.auth == "open":
        yield Identity()
        return
    from .api.jwks import opened_keys
    from .api.tokens import TokenVerifier

    async with opened_keys(settings.jwks_url) as keys:
        yield Identity(TokenVerifier(keys, settings.jwt_issuer, settings.jwt_audience).verify)
