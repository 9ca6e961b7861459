"""Running the service: on this machine, on an emulator of AWS; whether it works, and how it is spoken to."""

import json
import logging
import sys
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.settings import described

from .terminal import Tell, data_option, log_stream, printing, run, say, settings, steps

if TYPE_CHECKING:
    from bootstrap.doctor import Step
    from bootstrap.enforcement import Enforced


def _settings_help() -> str:
    rows = [f"  {name}{f'  [{default}]' if default else ''}\n      {doc}" for name, default, doc in described()]
    return "\b\nSettings are environment variables:\n" + "\n".join(rows)


class _WrongCall(click.ClickException):
    """An invalid option value, reported in one line."""

    exit_code = 2


def _port(_context: click.Context, option: click.Parameter, port: int) -> int:
    """Return a port that exists. Raises _WrongCall."""
    if not 0 <= port <= 65535:
        raise _WrongCall(f"{option.opts[0]} must be a port from 0 to 65535, not {port}.")
    return port


@click.command(epilog=_settings_help())
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8080, show_default=True, callback=_port, help="Port to listen on; 0 selects a free port."
)
@click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), help="Data directory. [default: PIXDEPOT_DATA_DIR]"
)
def serve(host: str, port: int, data: Path | None) -> None:
    """Run the server until SIGTERM or Ctrl-C.

    The server completes requests in progress before it exits.
    """
    from service import server
    from service.telemetry import logs

    logs.set_up(sys.stderr)
    chosen = settings()
    if data:
        chosen = replace(chosen, data_dir=data)

    here = str(chosen.data_dir.absolute())
    storage = f"the bucket {chosen.bucket}" if chosen.uses_s3 else here
    database = f"the table {chosen.table}" if chosen.uses_dynamodb else here
    places = " and ".join(dict.fromkeys([storage, database]))

    def started(url: str) -> None:
        click.echo(f"Pixdepot listens on {url} and keeps its data in {places}")
        click.echo(f"Try: curl {url}/images")

    run(server.serve(chosen, host, port, started))


@click.command()
@click.option("--port", default=4566, show_default=True, callback=_port, help="Port to listen on, at 127.0.0.1.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default="pixdepot-emulator",
    show_default=True,
    help="Directory of the emulator's data, which remains after the emulator stops.",
)
def emulator(port: int, data: Path) -> None:
    """Run an AWS emulator with the API on Lambda.

    It emulates S3, DynamoDB, Lambda and API Gateway on this machine, and needs neither Docker nor an AWS account.
    """
    from bootstrap.commands import emulate
    from bootstrap.processes import ServerFailed

    logging.basicConfig(format="%(message)s", stream=log_stream())
    logging.getLogger("bootstrap").setLevel(logging.INFO)
    starting = ExitStack()

    def started(url: str, commands: str) -> None:
        starting.close()
        say(f"The API is at {url}\nTry: curl {url}/images")
        say(f"To use the same data in another shell, for example with pixdepot serve --port 8081, run:\n{commands}")

    with starting:
        run(emulate(settings(), data, port, started, starting.enter_context(steps())), ServerFailed)


@click.command()
@data_option
@printing
def doctor(data: Path | None, tell: Tell) -> None:
    """Test the configured storage and database with an image.

    For each step that fails, the command prints the cause and the remedy. It also prints which restrictions of
    signed links the storage enforces.
    """
    import aiohttp

    from bootstrap.doctor import Examination
    from service.runtime import open_service
    from service.server import answering, listen

    async def examine() -> bool:
        chosen, listening = settings(data), listen("127.0.0.1", 0)
        here = f"http://127.0.0.1:{listening.getsockname()[1]}"
        timeout = aiohttp.ClientTimeout(total=15)
        async with (
            open_service(chosen, create=chosen.uses_s3) as runtime,
            answering(runtime.api, listening),
            aiohttp.ClientSession(timeout=timeout) as http,
        ):
            depot = runtime.api.services.depot
            examination = Examination(depot.objects, depot.records, chosen, http, here)
            well = True
            async for step in examination.steps():
                tell({**asdict(step), "ok": step.ok}, _told(step))
                well = well and step.ok
            async for row in examination.enforced():
                told = {"cause": "", "remedy": ""} if row.ok else {"cause": "not enforced", "remedy": row.follows}
                tell({**asdict(row), **told}, _enforced(row))
                well = well and row.ok
        return well

    if not run(examine()):
        sys.exit(1)


def _told(step: "Step") -> str:
    failed = f"FAILED {step.name}\n       {step.cause}\n       {step.remedy}"
    return f"ok     {step.name}" if step.ok else failed


def _enforced(row: "Enforced") -> str:
    said = "yes" if row.enforced else "no" if row.ok else "FAILED"
    return f"{said:6} enforces: {row.name}" + (f"\n       {row.follows}" if row.follows else "")


@click.command()
def openapi() -> None:
    """Print the OpenAPI 3.1 description of the API."""
    from service.api.openapi import document

    click.echo(json.dumps(document(), indent=2))
