"""How long a cold start takes: from a fresh process to the answer of the first list.

Ours is the function as it is deployed, from its zip. Its rival is what one would write without us: boto3 as it is
installed, a client for S3 and one for DynamoDB, and one query for a user's images. The same Python runs both, and
finds nothing else.
"""

import asyncio
import sys
import zipfile
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import boto3

from bootstrap.commands import up
from bootstrap.emulator import running_emulator
from bootstrap.packaging import Target, build
from bootstrap.processes import path_variable
from tests.aws.stand_in import new_settings, sdk_environment

from .figures import Figure, medians

GOAL = 1.5

# Lambda never lets a process end by itself, so neither does.
OURS = """
import os
from lambda_adapter.api import handler

class Context:
    function_name, memory_limit_in_mb, aws_request_id, invoked_function_arn = "api", 1769, "id", "arn"

event = {
    "version": "2.0", "rawPath": "/images", "rawQueryString": "user_id=ada", "headers": {},
    "isBase64Encoded": False,
    "requestContext": {"http": {"method": "GET", "path": "/images"}, "requestId": "id", "stage": "$default"},
}
os._exit(handler(event, Context())["statusCode"] - 200)
"""
RIVAL = """
import os, boto3

s3, dynamodb = boto3.client("s3"), boto3.client("dynamodb")
found = dynamodb.query(
    TableName=os.environ["PIXDEPOT_TABLE"], IndexName="user-id-index", Limit=50,
    KeyConditionExpression="user_id = :user", ExpressionAttributeValues={":user": {"S": "ada"}},
)
os._exit(found["ResponseMetadata"]["HTTPStatusCode"] - 200)
"""


async def measure(rounds: int = 25) -> list[Figure]:
    """Return the one figure."""
    with TemporaryDirectory() as place:
        package = await asyncio.to_thread(build, Target.this_machine())
        zipfile.ZipFile(BytesIO(package.zipped)).extractall(Path(place, "function"))
        async with running_emulator(Path(place, "aws"), port=0) as emulator:
            settings = new_settings(allow_open_auth=True)
            with sdk_environment(emulator.endpoint_url, emulator.root):
                await up(settings)
            shared = {**path_variable(), **emulator.sdk_environment, **settings.environment()}
            installed = str(Path(boto3.__file__).parents[1])
            taken = await medians(
                {
                    "ours": lambda: _run(OURS, {**shared, "PYTHONPATH": str(Path(place, "function"))}),
                    "rival": lambda: _run(RIVAL, {**shared, "PYTHONPATH": installed}),
                },
                rounds,
            )
    return [Figure("cold start and first list, boto3 and first query", taken["ours"], taken["rival"], GOAL)]


async def _run(script: str, environment: dict[str, str]) -> None:
    python = sys._base_executable  # type: ignore[attr-defined] # noqa: SLF001 - the environment's adds its packages
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(python, "-S", "-c", script, env=environment, stdout=quiet)
    assert await process.wait() == 0
