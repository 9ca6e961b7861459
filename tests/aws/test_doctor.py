"""`pixdepot doctor`: says that all is well where it is, and what is wrong where it is not."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import aioboto3
import pytest

from bootstrap.emulator import Emulator
from bootstrap.processes import free_port
from service.settings import Settings
from tests.aws.examined import examined, failed
from tests.aws.stand_in import Account, new_account
from tests.process.servers import PIXDEPOT, run, serving
from tests.servers.proxy import proxied

STEPS = 11


async def test_on_one_machine_all_is_well(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        pass
    ended = await run(PIXDEPOT, "doctor", "--data", str(server.data), directory=tmp_path)
    assert (ended.code, ended.out.count("ok  ")) == (0, STEPS), ended


def variables(account: Account) -> dict[str, str]:
    """Return the environment of a command that works with this account."""
    settings = account.settings
    return {
        "AWS_ENDPOINT_URL": account.emulator.endpoint_url,
        "AWS_ACCESS_KEY_ID": account.key.access_key,
        "AWS_SECRET_ACCESS_KEY": account.key.secret_key,
        "AWS_DEFAULT_REGION": account.emulator.region,
        "PIXDEPOT_BACKEND": settings.backend,
        "PIXDEPOT_BUCKET": settings.bucket,
        "PIXDEPOT_TABLE": settings.table,
        "PIXDEPOT_INDEX_TABLE": settings.index_table,
    }


async def test_on_aws_all_is_well(account: Account, tmp_path: Path) -> None:
    ended = await run(PIXDEPOT, "doctor", directory=tmp_path, **variables(account))
    assert (ended.code, ended.out.count("ok  ")) == (0, STEPS), ended
    assert "yes    enforces: POST form\n" in ended.out


async def test_what_is_wrong_is_told_with_its_remedy_and_the_command_fails(
    account: Account, tmp_path: Path
) -> None:
    wrong = {**variables(account), "PIXDEPOT_BUCKET": "elsewhere"}
    ended = await run(PIXDEPOT, "doctor", directory=tmp_path, **wrong)
    assert ended.code == 1
    assert "FAILED check the storage\n       ListObjectsV2 was refused: AccessDenied" in ended.out
    assert "A permission is missing: " in ended.out
    assert ended.out.count("ok  ") + ended.out.count("FAILED") <= STEPS


async def test_nothing_is_left_of_an_examination(account: Account) -> None:
    before = await everything(account)
    assert failed(await examined(account.settings, account.environment())) == {}
    assert await everything(account) == before


async def everything(account: Account) -> list[Any]:
    """Return all that is stored."""
    emulator, settings = account.emulator, account.settings
    session = aioboto3.Session(emulator.root.access_key, emulator.root.secret_key, region_name=emulator.region)
    async with (
        session.client("dynamodb", endpoint_url=emulator.endpoint_url) as dynamodb,
        session.client("s3", endpoint_url=emulator.endpoint_url) as s3,
    ):
        objects = (await s3.list_objects_v2(Bucket=settings.bucket)).get("Contents", [])
        rows = [(await dynamodb.scan(TableName=each))["Items"] for each in (settings.table, settings.index_table)]
        return [[each["Key"] for each in objects], *rows]


# ---------------------------------------------------------------- what may be wrong


@pytest.fixture
async def own(emulator: Emulator) -> AsyncIterator[Account]:
    """Return an account that a test may spoil."""
    async with new_account(emulator) as made:
        yield made


async def test_a_public_endpoint_where_nothing_answers(account: Account) -> None:
    settings = replace(account.settings, s3_public_endpoint_url=f"http://127.0.0.1:{free_port()}")
    said = failed(await examined(settings, account.environment()))
    assert said.keys() == {"compare clocks", "CORS preflight", "upload through a link"}
    assert all("PIXDEPOT_S3_PUBLIC_ENDPOINT_URL" in each for each in said.values())


async def test_links_that_reach_storage_by_another_host_than_they_were_signed_for(account: Account) -> None:
    async with proxied(account.emulator.endpoint_url) as proxy:
        proxy.request_headers = {"Host": "storage.internal"}
        settings = replace(account.settings, s3_public_endpoint_url=proxy.url)
        said = failed(await examined(settings, account.environment()))
    assert said.keys() == {"upload through a link"}
    assert "403 SignatureDoesNotMatch" in said["upload through a link"]
    assert "PIXDEPOT_S3_PUBLIC_ENDPOINT_URL" in said["upload through a link"]


async def test_an_endpoint_where_nothing_answers(account: Account) -> None:
    nowhere = account.environment(f"http://127.0.0.1:{free_port()}")
    said = failed(await examined(account.settings, nowhere))
    assert said.keys() >= {"check the database", "check the storage"}
    assert all("AWS_ENDPOINT_URL" in each for each in said.values())


@pytest.mark.parametrize("hours", [-2, 2])
async def test_a_clock_that_is_wrong(account: Account, hours: int) -> None:
    async with proxied(account.emulator.endpoint_url) as proxy:
        there = datetime.now(UTC) - timedelta(hours=hours)
        proxy.answer_headers = {"Date": format_datetime(there, usegmt=True)}
        said = failed(await examined(account.settings, account.environment(s3=proxy.url)))
    assert said.keys() == {"compare clocks"}
    assert f"{60 * hours:+} minutes" in said["compare clocks"]
    assert "NTP" in said["compare clocks"]


async def test_a_secret_key_that_is_wrong(account: Account) -> None:
    wrong = replace(account, key=replace(account.key, secret_key="wrong"))
    said = failed(await examined(account.settings, wrong.environment()))
    assert "secret key" in said["check the storage"]
    assert "AWS_SECRET_ACCESS_KEY" in said["check the database"]


Spoil = Callable[[Any, Any, Settings], Awaitable[Any]]
SPOILED: dict[str, tuple[Spoil, str, str, str]] = {
    "no CORS": (
        lambda s3, dynamodb, it: s3.delete_bucket_cors(Bucket=it.bucket),
        "CORS preflight", "http://localhost:8080", "PIXDEPOT_CORS_ORIGINS",
    ),
    "no bucket": (
        lambda s3, dynamodb, it: s3.delete_bucket(Bucket=it.bucket),
        "check the storage", "NoSuchBucket", "pixdepot bootstrap up",
    ),
    "no table": (
        lambda s3, dynamodb, it: dynamodb.delete_table(TableName=it.table),
        "check the database", "ResourceNotFoundException", "pixdepot bootstrap up",
    ),
    "no table for lists": (
        lambda s3, dynamodb, it: dynamodb.delete_table(TableName=it.index_table),
        "check the database", "ResourceNotFoundException", "pixdepot bootstrap up",
    ),
    "no index": (
        lambda s3, dynamodb, it: dynamodb.update_table(
            TableName=it.table, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "deadline-index"}}]
        ),
        "write a record", "Query was refused", "pixdepot bootstrap up",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
async def test_what_is_missing(own: Account, name: str) -> None:
    spoil, step, cause, remedy = SPOILED[name]
    session = aioboto3.Session(own.emulator.root.access_key, own.emulator.root.secret_key, region_name="us-east-1")
    where = {"endpoint_url": own.emulator.endpoint_url}
    async with session.client("s3", **where) as s3, session.client("dynamodb", **where) as dynamodb:
        await spoil(s3, dynamodb, own.settings)
    said = failed(await examined(own.settings, own.environment()))
    assert cause in said[step]
    assert remedy in said[step]
