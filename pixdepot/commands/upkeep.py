"""Keeping a library in order: what is left behind, what disagrees, what is outdated, and moving it."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .terminal import Tell, bars, data_option, log_stream, printing, run, settings

if TYPE_CHECKING:
    from service.runtime import Runtime
    from service.upkeep.reconciler import Reconciled
    from service.upkeep.recoverer import Recovered
    from service.upkeep.sweeper import Swept


@asynccontextmanager
async def _opened_service(data: Path | None) -> AsyncIterator["Runtime"]:
    """Open the service that the settings name, which is there already; what it logs goes to standard error."""
    from service.runtime import open_service
    from service.telemetry import logs

    logs.set_up(log_stream())
    async with open_service(settings(data), create=False) as runtime:
        yield runtime


@click.command()
@data_option
@printing
def sweep(data: Path | None, tell: Tell) -> None:
    """Remove what abandoned, failed and deleted uploads have left behind, now."""

    async def work() -> "Swept":
        async with _opened_service(data) as runtime:
            return await runtime.sweeper.sweep()

    swept = run(work())
    tell(swept, f"{swept.removed} removed, {swept.failed} failed")
    if swept.failed:
        sys.exit(1)


@click.command()
@click.option(
    "--dry-run/--apply",
    default=None,
    help="Change nothing, or repair what is found. [default: --dry-run on a terminal, --apply in scripts]",
)
@click.option("--force", is_flag=True, help="Move orphans to quarantine even if more than 10% of all objects are.")
@click.option(
    "--restore", is_flag=True, help="Move all objects out of quarantine instead, and recover their records."
)
@data_option
@printing
def reconcile(dry_run: bool | None, force: bool, restore: bool, data: Path | None, tell: Tell) -> None:
    """Find and repair differences between storage, database and index.

    Objects that belong to no image go to quarantine, where they stay for PIXDEPOT_QUARANTINE_DAYS.
    """
    if restore:
        if dry_run:
            raise click.UsageError("--restore cannot be combined with --dry-run.")
        _restore(data, tell)
        return
    dry = sys.stdout.isatty() if dry_run is None else dry_run

    async def work() -> "Reconciled":
        async with _opened_service(data) as runtime:
            return await runtime.reconciler.reconcile(dry_run=dry, force=force)

    found = run(work())
    done = ("missing", "stale") if dry else ("added", "removed")
    told = [
        f"{found.orphans} orphans {'found' if dry else 'quarantined'}, {found.missing} objects missing",
        f"{found.lists.missing} index rows {done[0]}, {found.lists.stale} {done[1]}",
    ]
    if found.lists.miscounted:
        told.append(f"the usage of {found.lists.miscounted} users was miscounted")
    if found.noted:
        told.append(f"{found.noted} originals with an outdated copy of their record{'' if dry else ', renewed'}")
    if found.purged:
        told.append(f"{found.purged} objects deleted that were in quarantine for long enough")
    if dry_run is None and dry:
        told.append("Nothing was changed: use --apply to repair it.")
    tell({**asdict(found), "dry_run": dry}, "\n".join(told))
    if found.missing:
        sys.exit(1)


def _restore(data: Path | None, tell: Tell) -> None:
    async def work() -> tuple[int, "Recovered"]:
        async with _opened_service(data) as runtime:
            return await runtime.recoverer.restore()

    restored, done = run(work())
    tell({"restored": restored, **asdict(done)}, f"{restored} objects restored, {_told_of_recovery(done)}")
    if done.failed or done.unknown:
        sys.exit(1)


@click.command()
@click.option("--dry-run", is_flag=True, help="Look at everything, and change nothing.")
@click.option("--force", is_flag=True, help="Join the database and the storage even if they belong to two depots.")
@data_option
@printing
def recover(dry_run: bool, force: bool, data: Path | None, tell: Tell) -> None:
    """Rebuild a lost database, or the records it lacks, from the storage.

    Safe beside live traffic; one that is cut off goes on where it was. Titles, descriptions, tags and visibility
    are as they were when the image was published, or at the last `pixdepot reconcile`.
    """
    from service.runtime import open_recoverer
    from service.telemetry import logs
    from service.upkeep.recoverer import Recovered

    logs.set_up(log_stream())

    async def work() -> Recovered:
        done = Recovered()
        with bars() as progress:
            bar = progress.add_task("Looking at images", total=None)
            async with open_recoverer(settings(data)) as recoverer:
                async for done in recoverer.recover(dry_run=dry_run, force=force):
                    progress.update(bar, description=f"{done.looked_at:,} images looked at")
        return done

    done = run(work())
    tell({**asdict(done), "dry_run": dry_run}, _told_of_recovery(done, "to be " if dry_run else ""))
    if done.failed or done.unknown:
        sys.exit(1)


def _told_of_recovery(done: "Recovered", would: str = "") -> str:
    failed = f"{done.unknown} without an owner, {done.failed} damaged"
    return f"{done.recovered} images {would}recovered, {done.there} there already, {done.deleted} deleted, {failed}"


@click.command()
@data_option
@printing
def reindex(data: Path | None, tell: Tell) -> None:
    """Build the index of a table that has none, and take over images of the service before this one.

    Safe beside live traffic; one that is cut off goes on where it was.
    """
    from service.domain.model import Reindexed

    async def work() -> Reindexed:
        done = Reindexed(0)
        with bars() as progress:
            bar = progress.add_task("Reindexing")
            async with _opened_service(data) as runtime:
                async for done in runtime.reindexer.reindex():
                    progress.update(bar, completed=done.looked_at, total=max(done.total, done.looked_at))
        return done

    done = run(work())
    tell(done, f"{done.indexed} images indexed, {done.adopted} taken over, {done.refused} refused")
    if done.refused:
        sys.exit(1)


@click.command()
@click.option("--rebuild", is_flag=True, help="Make them anew; without it they are counted only.")
@data_option
@printing
def variants(rebuild: bool, data: Path | None, tell: Tell) -> None:
    """Find images whose variants are not what the settings ask for: of another format or size, or none at all.

    Safe beside live traffic; one that is cut off goes on where it was. Links to old ones work until they expire.
    """
    from service.upkeep.rebuilder import Rebuilt

    async def work() -> Rebuilt:
        done = Rebuilt()
        with bars() as progress:
            bar = progress.add_task("Looking at images", total=None)
            async with _opened_service(data) as runtime:
                async for done in runtime.rebuilder.rebuild(dry_run=not rebuild):
                    progress.update(bar, description=f"{done.looked_at:,} images looked at")
        return done

    done = run(work())
    made = f"{done.outdated - done.failed} made anew, {done.failed} failed"
    tell(done, f"{done.looked_at} images looked at, {made if rebuild else f'{done.outdated} outdated'}")
    if done.failed:
        sys.exit(1)


@click.command()
@click.option(
    "--to",
    "target",
    type=click.Choice(["aws", "local", "s3"]),
    required=True,
    help="Where images are copied to: aws (S3 and DynamoDB), local (files and SQLite), or s3 (the objects alone; "
    "the database stays where it is).",
)
@data_option
@click.option("--dry-run", is_flag=True, help="Look at everything, and change nothing.")
@printing
def migrate(target: str, data: Path | None, dry_run: bool, tell: Tell) -> None:
    """Copy all images from one backend to another: as they are, with all that is known of them, verified.

    The settings name both. Images come from where the settings store them, or, where that is the target, from the
    other backend. What is there is compared, not copied again: one that is cut off goes on where it was.
    Nothing is removed. Uploads that wait for their bytes are not copied, nor is what was deleted.
    """
    from rich.filesize import decimal

    from service.runtime import open_migrator
    from service.telemetry import logs
    from service.upkeep.migrator import Migrated

    logs.set_up(log_stream())
    chosen = settings(data)

    async def work() -> Migrated:
        done = Migrated(0)
        with bars() as progress:
            bar = progress.add_task("Looking", total=None)
            async with open_migrator(chosen, target, dry_run=dry_run) as migrator:
                async for done in migrator.migrate(dry_run=dry_run):
                    told = f"{done.looked_at:,} of {done.total:,} images, {decimal(done.copied_bytes)} copied"
                    progress.update(bar, description=told, completed=done.looked_at, total=done.total)
        return done

    done = run(work())
    would = "to be " if dry_run else ""
    told = [
        f"{done.copied} images {would}copied ({decimal(done.copied_bytes)}), {done.updated} {would}updated",
        f"{done.there} there already, {done.deleted} deleted meanwhile, {done.failed} failed",
    ]
    tell({**asdict(done), "dry_run": dry_run}, ", ".join(told))
    if done.failed:
        sys.exit(1)
