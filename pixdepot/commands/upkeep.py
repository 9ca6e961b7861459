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
    """Remove leftovers of abandoned, failed and deleted uploads.

    A running server does this every PIXDEPOT_SWEEP_INTERVAL seconds.
    """

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
    help="Only report differences, or repair them. [default: --dry-run on a terminal, --apply in scripts]",
)
@click.option("--force", is_flag=True, help="Quarantine orphans even if they are more than 10% of all objects.")
@click.option(
    "--restore",
    is_flag=True,
    help="Restore all objects from quarantine and recover their records, instead of repairing.",
)
@data_option
@printing
def reconcile(dry_run: bool | None, force: bool, restore: bool, data: Path | None, tell: Tell) -> None:
    """Repair differences between storage, database and index.

    Objects that belong to no image (orphans) are moved to quarantine and deleted after PIXDEPOT_QUARANTINE_DAYS
    days.
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
        told.append(f"storage usage of {found.lists.miscounted} users {'was wrong' if dry else 'corrected'}")
    if found.noted:
        told.append(f"{found.noted} outdated copies of records {'found' if dry else 'updated'}")
    if found.purged:
        told.append(f"{found.purged} expired objects deleted from quarantine")
    if dry_run is None and dry:
        told.append("Nothing was changed. Use --apply to repair the differences.")
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
@click.option("--dry-run", is_flag=True, help="Report what would be done, without changing anything.")
@click.option(
    "--force", is_flag=True, help="Pair the database with the storage even if they belong to different depots."
)
@data_option
@printing
def recover(dry_run: bool, force: bool, data: Path | None, tell: Tell) -> None:
    """Rebuild a lost database, or missing records, from storage.

    It is safe to run while the service handles requests. If the command is interrupted, run it again to continue.
    Titles, descriptions, tags and visibility are restored as of the time the image was published, or of the last
    `pixdepot reconcile`.
    """
    from service.runtime import open_recoverer
    from service.telemetry import logs
    from service.upkeep.recoverer import Recovered

    logs.set_up(log_stream())

    async def work() -> Recovered:
        done = Recovered()
        with bars() as progress:
            bar = progress.add_task("Checking images", total=None)
            async with open_recoverer(settings(data)) as recoverer:
                async for done in recoverer.recover(dry_run=dry_run, force=force):
                    progress.update(bar, description=f"{done.looked_at:,} images checked")
        return done

    done = run(work())
    tell({**asdict(done), "dry_run": dry_run}, _told_of_recovery(done, "to be " if dry_run else ""))
    if done.failed or done.unknown:
        sys.exit(1)


def _told_of_recovery(done: "Recovered", would: str = "") -> str:
    known = f"{done.there} already in the database, {done.deleted} deleted"
    return (
        f"{done.recovered} images {would}recovered, {known}, {done.unknown} without an owner, {done.failed} damaged"
    )


@click.command()
@data_option
@printing
def reindex(data: Path | None, tell: Tell) -> None:
    """Build the list index and import images of an old version.

    Use it for a DynamoDB table that has no list index, such as one that the original service wrote. It is safe to
    run while the service handles requests. If the command is interrupted, run it again to continue.
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
    tell(done, f"{done.indexed} images indexed, {done.adopted} imported, {done.refused} rejected")
    if done.refused:
        sys.exit(1)


@click.command()
@click.option(
    "--rebuild", is_flag=True, help="Rebuild the outdated variants. Without this option they are only counted."
)
@data_option
@printing
def variants(rebuild: bool, data: Path | None, tell: Tell) -> None:
    """Find images whose variants do not match the settings.

    A variant is outdated if it has another format or size than the settings specify, or is missing. It is safe to
    run while the service handles requests. If the command is interrupted, run it again to continue. Links to old
    variants work until they expire.
    """
    from service.upkeep.rebuilder import Rebuilt

    async def work() -> Rebuilt:
        done = Rebuilt()
        with bars() as progress:
            bar = progress.add_task("Checking images", total=None)
            async with _opened_service(data) as runtime:
                async for done in runtime.rebuilder.rebuild(dry_run=not rebuild):
                    progress.update(bar, description=f"{done.looked_at:,} images checked")
        return done

    done = run(work())
    made = f"{done.outdated - done.failed} rebuilt, {done.failed} failed"
    tell(done, f"{done.looked_at} images checked, {made if rebuild else f'{done.outdated} outdated'}")
    if done.failed:
        sys.exit(1)


@click.command()
@click.option(
    "--to",
    "target",
    type=click.Choice(["aws", "local", "s3"]),
    required=True,
    help="Target backend: aws (S3 and DynamoDB), local (files and SQLite), or s3 (objects only; the database does "
    "not change).",
)
@data_option
@click.option("--dry-run", is_flag=True, help="Report what would be done, without changing anything.")
@printing
def migrate(target: str, data: Path | None, dry_run: bool, tell: Tell) -> None:
    """Copy all images to another backend and verify them.

    The settings name both backends. The source is the storage and database that the settings select or, if these
    are the target, the other backend. Images that the target already has are compared, not copied again. If the
    command is interrupted, run it again to continue. Nothing is deleted. Pending uploads and deleted images are
    not copied.
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
            bar = progress.add_task("Checking images", total=None)
            async with open_migrator(chosen, target, dry_run=dry_run) as migrator:
                async for done in migrator.migrate(dry_run=dry_run):
                    told = f"{done.looked_at:,} of {done.total:,} images, {decimal(done.copied_bytes)} copied"
                    progress.update(bar, description=told, completed=done.looked_at, total=done.total)
        return done

    done = run(work())
    would = "to be " if dry_run else ""
    told = [
        f"{done.copied} images {would}copied ({decimal(done.copied_bytes)}), {done.updated} {would}updated",
        f"{done.there} already copied, {done.deleted} deleted meanwhile, {done.failed} failed",
    ]
    tell({**asdict(done), "dry_run": dry_run}, ", ".join(told))
    if done.failed:
        sys.exit(1)
