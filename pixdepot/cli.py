"""The `pixdepot` command."""

import asyncio
import json
import logging
import os
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from bootstrap.commands import bootstrap
from service.errors import PixdepotError
from service.settings import Settings, SettingsError, described


def _settings() -> Settings:
    try:
        return Settings.from_env(os.environ)
    except SettingsError as error:
        raise click.ClickException(str(error)) from error


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end; what the person at the terminal can mend is told in a line."""
    try:
        asyncio.run(work)
    except (SettingsError, PixdepotError, OSError) as error:
        raise click.ClickException(str(error)) from error


def _settings_help() -> str:
    rows = [f"  {name}{f'  [{default}]' if default else ''}\n      {doc}" for name, default, doc in described()]
    return "\b\nSettings come from the environment:\n" + "\n".join(rows)


@click.group()
@click.version_option(package_name="pixdepot")
def main() -> None:
    """Upload, keep and find pictures."""


main.add_command(bootstrap)


@main.command(epilog=_settings_help())
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8080, show_default=True, help="The port to listen on; 0 takes a free one.")
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="The data directory (PIXDEPOT_DATA_DIR)."
)
def serve(host: str, port: int, data: Path | None) -> None:
    """Run the server until SIGTERM or Ctrl-C; what is in flight is finished."""
    from service import logs, server

    logs.set_up(sys.stderr)
    settings = _settings()
    if data:
        settings = replace(settings, data_dir=data)

    place = settings.data_dir.absolute() if settings.backend == "local" else f"the bucket {settings.bucket}"

    def started(url: str) -> None:
        click.echo(f"Pixdepot listens on {url} and keeps its data in {place}")
        click.echo(f"Try: curl {url}/images")

    _run(server.serve(settings, host, port, started))


@main.command()
def sweep() -> None:
    """Remove what abandoned, failed and deleted uploads have left behind, now."""
    from service import logs
    from service.runtime import open_service

    logs.set_up(sys.stderr)

    async def run() -> None:
        async with open_service(_settings()) as runtime:
            swept = await runtime.sweeper.sweep()
        click.echo(f"{swept.removed} removed, {swept.failed} failed")
        if swept.failed:
            raise SystemExit(1)

    _run(run())


@main.command()
@click.option("--dry-run", is_flag=True, help="Change nothing.")
def reconcile(dry_run: bool) -> None:
    """Compare storage, database and index, all ways; remove what belongs to nothing, add what lists lack."""
    from service import logs
    from service.runtime import open_service

    logs.set_up(sys.stderr)

    async def run() -> None:
        async with open_service(_settings()) as runtime:
            found = await runtime.reconciler.reconcile(dry_run=dry_run)
        click.echo(f"{found.orphans} orphans {'found' if dry_run else 'removed'}, {found.missing} objects missing")
        done = ("missing", "stale") if dry_run else ("added", "removed")
        click.echo(f"{found.lists.missing} index rows {done[0]}, {found.lists.stale} {done[1]}")
        if found.lists.miscounted:
            click.echo(f"the usage of {found.lists.miscounted} users was miscounted")
        if found.missing:
            raise SystemExit(1)

    _run(run())


@main.command()
def reindex() -> None:
    """Build the index of a table that has none, and take over images of the service before this one.

    Safe beside live traffic; one that is cut off goes on where it was.
    """
    from rich.progress import Progress

    from service import logs
    from service.model import Reindexed
    from service.runtime import open_service

    logs.set_up(sys.stderr)

    async def run() -> None:
        done = Reindexed(0)
        with Progress(disable=not sys.stdout.isatty(), transient=True) as progress:
            bar = progress.add_task("Reindexing")
            async with open_service(_settings()) as runtime:
                async for done in runtime.reindexer.reindex():
                    progress.update(bar, completed=done.looked_at, total=max(done.total, done.looked_at))
        click.echo(f"{done.indexed} images indexed, {done.adopted} taken over, {done.refused} refused")
        if done.refused:
            raise SystemExit(1)

    _run(run())


@main.command()
@click.option("--rebuild", is_flag=True, help="Make them anew; without it they are counted only.")
def variants(rebuild: bool) -> None:
    """Find images whose variants are not what the settings ask for: of another format or size, or none at all.

    Safe beside live traffic; one that is cut off goes on where it was. Links to old ones work until they expire.
    """
    from rich.progress import Progress

    from service import logs
    from service.rebuilder import Rebuilt
    from service.runtime import open_service

    logs.set_up(sys.stderr)

    async def run() -> None:
        done = Rebuilt()
        with Progress(disable=not sys.stdout.isatty(), transient=True) as progress:
            bar = progress.add_task("Looking at images", total=None)
            async with open_service(_settings()) as runtime:
                async for done in runtime.rebuilder.rebuild(dry_run=not rebuild):
                    progress.update(bar, description=f"{done.looked_at:,} images looked at")
        made = f"{done.outdated - done.failed} made anew, {done.failed} failed"
        click.echo(f"{done.looked_at} images looked at, {made if rebuild else f'{done.outdated} outdated'}")
        if done.failed:
            raise SystemExit(1)

    _run(run())


@main.command()
def doctor() -> None:
    """Send a picture the whole way through the configured backend; name the cause of what fails."""
    import aiohttp

    from bootstrap.doctor import Examination
    from service.runtime import open_service
    from service.server import answering, listen

    async def run() -> None:
        settings, listening = _settings(), listen("127.0.0.1", 0)
        here = f"http://127.0.0.1:{listening.getsockname()[1]}"
        timeout = aiohttp.ClientTimeout(total=15)
        async with (
            open_service(settings) as runtime,
            answering(runtime.api, listening),
            aiohttp.ClientSession(timeout=timeout) as http,
        ):
            depot = runtime.api.services.depot
            examination = Examination(depot.objects, depot.records, settings, http, here)
            well = True
            async for step in examination.steps():
                click.echo(f"{'ok    ' if step.ok else 'FAILED'} {step.name}")
                if not step.ok:
                    click.echo(f"       {step.cause}\n       {step.remedy}")
                well = well and step.ok
        if not well:
            raise SystemExit(1)

    _run(run())


@main.command()
@click.option("--port", default=4566, show_default=True, help="The port to listen on, at 127.0.0.1.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default="pixdepot-emulator",
    show_default=True,
    help="Where everything is kept, across a stop with Ctrl-C.",
)
def emulator(port: int, data: Path) -> None:
    """Run AWS on this machine, with the API on Lambda behind API Gateway. Needs no Docker and no account."""
    from bootstrap.commands import emulate
    from bootstrap.processes import ServerFailed

    logging.basicConfig(format="%(message)s")
    logging.getLogger("bootstrap").setLevel(logging.INFO)

    def started(url: str, variables: str) -> None:
        click.echo(f"The API is at {url}")
        click.echo(f"Try: curl {url}/images")
        click.echo(f"For another process on the same data: export PIXDEPOT_BACKEND=aws {variables}")

    try:
        _run(emulate(_settings(), data, port, started))
    except ServerFailed as error:
        raise click.ClickException(str(error)) from error


@main.command()
def openapi() -> None:
    """Print the API's description (OpenAPI 3.1)."""
    from service.openapi import document

    click.echo(json.dumps(document(), indent=2))
