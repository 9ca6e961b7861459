"""`bootstrap up`, `status` and `down`: again, at once, killed half-way, and after somebody changed things."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aioboto3
import pytest

from bootstrap.commands import down, status, up
from bootstrap.emulator import Emulator
from bootstrap.processes import free_port
from service.aws.session import Clients, opened_clients
from service.settings import Settings
from tests.aws.stand_in import new_settings, sdk_environment
from tests.process.servers import environment, run
from tests.servers.proxy import proxied

BOOTSTRAP = (sys.executable, "-m", "bootstrap")


@pytest.fixture
def settings() -> Settings:
    """Return settings with names that nobody else has."""
    return new_settings(cors_origins=("https://app.example",))


@pytest.fixture
def as_root(emulator: Emulator) -> Iterator[None]:
    """Let the SDK find the emulator, as who may do everything."""
    with sdk_environment(emulator.endpoint_url, emulator.root):
        yield


pytestmark = pytest.mark.usefixtures("as_root")


async def states(settings: Settings) -> dict[str, str]:
    """Return what `status` says, by name."""
    return {each.name: each.state for each in await status(settings)}


async def assert_all(settings: Settings, state: str) -> None:
    assert set((await states(settings)).values()) == {state}


async def test_a_second_up_makes_nothing(settings: Settings) -> None:
    await assert_all(settings, "missing")
    made = await up(settings)
    await assert_all(settings, "ok")
    assert made.names[0] == f"bucket {settings.bucket}"
    assert (await up(settings)).names == []
    await assert_all(settings, "ok")


async def test_ten_at_once_make_everything_once(settings: Settings) -> None:
    made = await asyncio.gather(*[up(settings) for _ in range(10)])
    assert any(each.names for each in made)
    await assert_all(settings, "ok")
    assert (await up(settings)).names == []


async def test_down_removes_everything_and_may_be_repeated(settings: Settings) -> None:
    await up(settings)
    async with opened_clients(settings) as clients:
        for n in range(3):
            await clients.s3.put_object(Bucket=settings.bucket, Key=f"images/{n}", Body=b"bytes")
    for _ in range(2):
        await down(settings)
        await assert_all(settings, "missing")
    await up(settings)
    await assert_all(settings, "ok")


# ---------------------------------------------------------------- as a command


def variables(emulator: Emulator, settings: Settings, endpoint_url: str | None = None) -> dict[str, str]:
    """Return the environment that the commands find these settings in."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url or emulator.endpoint_url,
        "AWS_ACCESS_KEY_ID": emulator.root.access_key,
        "AWS_SECRET_ACCESS_KEY": emulator.root.secret_key,
        "AWS_DEFAULT_REGION": emulator.region,
        "PIXDEPOT_BACKEND": "aws",
        "PIXDEPOT_BUCKET": settings.bucket,
        "PIXDEPOT_TABLE": settings.table,
        "PIXDEPOT_INDEX_TABLE": settings.index_table,
        "PIXDEPOT_CORS_ORIGINS": ",".join(settings.cors_origins),
    }


async def test_the_commands_say_what_they_found_and_did(
    emulator: Emulator, settings: Settings, tmp_path: Path
) -> None:
    async def bootstrap(*arguments: str) -> tuple[int, str]:
        ended = await run(*BOOTSTRAP, *arguments, directory=tmp_path, **variables(emulator, settings))
        return ended.code, ended.out

    code, out = await bootstrap("status")
    assert (code, out.count("missing")) == (1, out.count("\n"))
    code, out = await bootstrap("up")
    assert (code, f"set up bucket {settings.bucket}\n" in out) == (0, True)
    code, out = await bootstrap("status")
    assert (code, out.count("ok ")) == (0, out.count("\n"))
    assert (await bootstrap("down"))[0] == 1  # nobody said yes
    await assert_all(settings, "ok")
    assert (await bootstrap("down", "--yes"))[0] == 0
    await assert_all(settings, "missing")


async def test_what_cannot_be_reached_is_told_in_a_line(
    emulator: Emulator, settings: Settings, tmp_path: Path
) -> None:
    nowhere = variables(emulator, settings, f"http://127.0.0.1:{free_port()}")
    for command in ("status", "up"):
        ended = await run(*BOOTSTRAP, command, directory=tmp_path, **nowhere)
        assert (ended.code, ended.out, ended.error.count("\n")) == (1, "", 1)
        assert nowhere["AWS_ENDPOINT_URL"] in ended.error


async def until_all(settings: Settings, state: str) -> None:
    """Return when `status` says so of everything."""
    async with asyncio.timeout(30):
        while set((await states(settings)).values()) != {state}:  # noqa: ASYNC110 - another process makes it so
            await asyncio.sleep(0.1)


async def test_up_repeats_itself_for_an_emulator_that_forgets(
    emulator: Emulator, settings: Settings, tmp_path: Path
) -> None:
    async with proxied(emulator.endpoint_url) as proxy:
        await proxy.refuse()
        process = await asyncio.create_subprocess_exec(
            *(*BOOTSTRAP, "up", "--every", "0.2"), cwd=tmp_path, stdout=PIPE, stderr=PIPE,
            env=environment(tmp_path, **variables(emulator, settings, proxy.url)),
        )  # fmt: skip
        assert process.stdout
        assert process.stderr
        refused = (await asyncio.wait_for(process.stderr.readline(), 30)).decode()
        assert proxy.url in refused
        assert "Retrying every 0.2 seconds" in refused
        await proxy.resume()
        await until_all(settings, "ok")
        async with opened_clients(settings) as clients:  # what is left of a restart
            await clients.s3.delete_bucket(Bucket=settings.bucket)
            for table in (settings.table, settings.index_table):
                await clients.dynamodb.delete_table(TableName=table)
        await until_all(settings, "ok")
        process.terminate()
        out, errors = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, errors) == (0, b"")
    assert out.decode().count(f"set up bucket {settings.bucket}\n") == 2


@pytest.mark.parametrize("calls", [2, 6, 12, 18, 24])
async def test_what_was_killed_half_way_is_finished_by_the_next(
    emulator: Emulator, settings: Settings, tmp_path: Path, calls: int
) -> None:
    async with proxied(emulator.endpoint_url) as proxy:
        proxy.delay = 0.02
        process = await asyncio.create_subprocess_exec(
            *(*BOOTSTRAP, "up"), cwd=tmp_path, env=environment(tmp_path, **variables(emulator, settings, proxy.url))
        )
        await proxy.until_called(calls)
        process.kill()
        assert await process.wait() < 0
    assert "missing" in (await states(settings)).values()
    assert (await up(settings)).names
    await assert_all(settings, "ok")


# ---------------------------------------------------------------- changed by hand

Change = Callable[[Clients, Settings], Awaitable[Any]]
OTHER_CORS = {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["https://other.example"]}]}
OTHER_LIFECYCLE = {
    "Rules": [{"ID": "other", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}]
}
OPEN = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), False)
OTHER_KEY = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]}
NO_TTL = {"AttributeName": "expires", "Enabled": False}

CHANGES: dict[str, tuple[Change, str, str]] = {
    "no CORS": (lambda aws, it: aws.s3.delete_bucket_cors(Bucket=it.bucket), "bucket's CORS", "missing"),
    "other CORS": (
        lambda aws, it: aws.s3.put_bucket_cors(Bucket=it.bucket, CORSConfiguration=OTHER_CORS),
        "bucket's CORS", "differs",
    ),
    "public access": (
        lambda aws, it: aws.s3.put_public_access_block(Bucket=it.bucket, PublicAccessBlockConfiguration=OPEN),
        "bucket's public access block", "differs",
    ),
    "no lifecycle": (
        lambda aws, it: aws.s3.delete_bucket_lifecycle(Bucket=it.bucket), "bucket's lifecycle", "missing",
    ),
    "other lifecycle": (
        lambda aws, it: aws.s3.put_bucket_lifecycle_configuration(
            Bucket=it.bucket, LifecycleConfiguration=OTHER_LIFECYCLE
        ),
        "bucket's lifecycle", "differs",
    ),
    "other encryption": (
        lambda aws, it: aws.s3.put_bucket_encryption(Bucket=it.bucket, ServerSideEncryptionConfiguration=OTHER_KEY),
        "bucket's encryption", "differs",
    ),
    "no time to live": (
        lambda aws, it: aws.dynamodb.update_time_to_live(TableName=it.table, TimeToLiveSpecification=NO_TTL),
        "table {table}'s time to live", "missing",
    ),
    "no recovery": (
        lambda aws, it: aws.dynamodb.update_continuous_backups(
            TableName=it.index_table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
        ),
        "table {index_table}'s point-in-time recovery", "differs",
    ),
    "no index": (
        lambda aws, it: aws.dynamodb.update_table(
            TableName=it.table, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "user-id-index"}}]
        ),
        "table {table}'s index user-id-index", "missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
async def test_what_was_changed_by_hand_is_named_and_mended(settings: Settings, change: str) -> None:
    await up(settings)
    make, name, state = CHANGES[change]
    name = name.format(table=settings.table, index_table=settings.index_table)
    async with opened_clients(settings) as clients:
        await make(clients, settings)
    found = await states(settings)
    assert {each: said for each, said in found.items() if said != "ok"} == {name: state}
    assert (await up(settings)).names == [name]
    await assert_all(settings, "ok")


async def test_a_table_of_the_original_is_extended_and_keeps_its_items(
    emulator: Emulator, settings: Settings
) -> None:
    columns = {"image_id": "S", "user_id": "S", "created_at": "S"}
    keys = [{"AttributeName": "user_id", "KeyType": "HASH"}, {"AttributeName": "created_at", "KeyType": "RANGE"}]
    index = {"IndexName": "user-id-index", "KeySchema": keys, "Projection": {"ProjectionType": "ALL"}}
    session: Any = aioboto3.Session()
    async with session.client("dynamodb") as dynamodb:
        await dynamodb.create_table(
            TableName=settings.table,
            KeySchema=[{"AttributeName": "image_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": n, "AttributeType": t} for n, t in columns.items()],
            GlobalSecondaryIndexes=[index],
            BillingMode="PAY_PER_REQUEST",
        )
        old = {name: {"S": "2025-09-15"} for name in columns}
        await dynamodb.put_item(TableName=settings.table, Item=old)
        made = (await up(settings)).names
        assert f"table {settings.table}" not in made
        assert f"table {settings.table}'s index user-id-index" not in made
        assert f"table {settings.table}'s index deadline-index" in made
        await assert_all(settings, "ok")
        found = await dynamodb.get_item(TableName=settings.table, Key={"image_id": old["image_id"]})
        assert found["Item"] == old


async def test_somebody_else_s_table_of_this_name_is_no_table_of_ours(settings: Settings) -> None:
    async with opened_clients(settings) as clients:
        await clients.dynamodb.create_table(
            TableName=settings.table,
            KeySchema=[{"AttributeName": "other", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "other", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    assert (await states(settings))[f"table {settings.table}"] == "differs"
