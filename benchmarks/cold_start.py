"""How long a cold start takes: from a fresh process to the answer of the first list, of a dozen images with links.

Ours is the function as it is deployed, from its zip. Its rival is what one would write without us: Powertools and
boto3 as they are installed, a client for each service, a query, and links that boto3 signs. Equal Pythons run both.
"""

import asyncio
import os
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import boto3

from bootstrap.commands import up
from bootstrap.emulator import running_emulator
from bootstrap.packaging import Target, build
from bootstrap.processes import path_variable
from service.aws.session import opened_clients
from service.domain.model import Image
from tests.aws.stand_in import new_settings, sdk_environment

from . import rivals
from .figures import Figure, medians
from .library import fill_dynamodb, library, with_variants

GOAL = 1.25

# Lambda never lets a process end by itself, so neither does. In the place of MODULE stands the function's.
SCRIPT = """
import json, os
from MODULE import handler

class Context:
    function_name, memory_limit_in_mb, aws_request_id, invoked_function_arn = "api", 1769, "id", "arn"

event = {
    "version": "2.0", "rawPath": "/images", "rawQueryString": "user_id=ada", "headers": {},
    "queryStringParameters": {"user_id": "ada"}, "isBase64Encoded": False,
    "requestContext": {"http": {"method": "GET", "path": "/images"}, "requestId": "id", "stage": "$default"},
}
answer = handler(event, Context())
os._exit(answer["statusCode"] != 200 or json.loads(answer["body"])["count"] != COUNT)
"""
OURS, RIVAL = "lambda_adapter.api", "powertools_boto3"
COUNT = 12


async def measure(rounds: int = 25) -> list[Figure]:
    """Return the one figure."""
    with TemporaryDirectory() as place:
        package = await asyncio.to_thread(build, Target.this_machine())
        zipfile.ZipFile(BytesIO(package.zipped)).extractall(Path(place, "function"))
        async with running_emulator(Path(place, "aws"), port=0) as emulator:
            settings = new_settings(allow_open_auth=True)
            with sdk_environment(emulator.endpoint_url, emulator.root):
                await up(settings)
                async with opened_clients(settings) as clients:
                    tables = settings.table, settings.index_table
                    await fill_dynamodb(clients.dynamodb, *tables, _images(), asked=set())
            shared = {**path_variable(), **emulator.sdk_environment, **settings.environment()}
            rival = os.pathsep.join((str(Path(rivals.__file__).parent), str(Path(boto3.__file__).parents[1])))
            taken = await medians(
                {
                    "ours": lambda: _run(OURS, {**shared, "PYTHONPATH": str(Path(place, "function"))}),
                    "rival": lambda: _run(RIVAL, {**shared, "PYTHONPATH": rival}),
                },
                rounds,
            )
    return [Figure("cold start and first list, against boto3 and Powertools", taken["ours"], taken["rival"], GOAL)]


def _images() -> Iterator[Image]:
    for each in with_variants(library(COUNT)):
        yield replace(each, details=replace(each.details, user_id="ada"))


async def _run(module: str, environment: dict[str, str]) -> None:
    script = SCRIPT.replace("MODULE", module).replace("COUNT", str(COUNT))
    python = sys._base_executable  # type: ignore[attr-defined] # noqa: SLF001 - the environment's adds its packages
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(python, "-S", "-c", script, env=environment, stdout=quiet)
    assert await process.wait() == 0
