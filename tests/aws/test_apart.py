"""Storage and database chosen apart: S3 beside SQLite, with an endpoint, a Region and keys of its own."""

import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import aioboto3
import pytest

from bootstrap.emulator import Emulator
from service.domain.errors import DepotMismatch
from service.domain.model import Details, now
from service.operations.pairing import MARK
from service.runtime import Runtime, open_service
from service.settings import Settings, SettingsError
from tests.api.conftest import served
from tests.aws.stand_in import Account, new_account, new_bucket
from tests.faults.sites import everything
from tests.pictures import picture, sha256_of
from tests.process.servers import PIXDEPOT, Finished, run, serving

STEPS = 11  # of the doctor
NOBODY = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "eu-west-9"}


@pytest.fixture
async def mixed(emulator: Emulator, tmp_path: Path) -> AsyncIterator[Settings]:
    """Return settings for S3 beside SQLite, with a bucket and nothing in it."""
    async with new_bucket(emulator.endpoint_url, emulator.root, tmp_path / "data") as made:
        yield made


async def command(settings: Settings, *words: str, directory: Path, **others: str) -> Finished:
    return await run(PIXDEPOT, *words, directory=directory, **settings.environment(), **others)


async def upload(runtime: Runtime, count: int = 3) -> None:
    for seed in range(count):
        await runtime.api.services.images.upload(Details("ada", "A photo", "photo.jpg"), picture(seed=seed))


async def content(settings: Settings) -> dict[str, list[str]]:
    """Return the digests of every image's objects."""
    async with open_service(settings) as runtime:
        depot = runtime.api.services.depot
        return {
            each.image_id: [sha256_of(await depot.whole(key)) for key in each.object_keys]
            async for each in everything(depot)
        }


# ---------------------------------------------------------------- what is set up


async def test_up_makes_only_the_bucket_beside_sqlite_and_down_removes_only_that(
    emulator: Emulator, tmp_path: Path
) -> None:
    name = f"pixdepot-{secrets.token_hex(6)}"
    variables = {
        "PIXDEPOT_STORAGE": "s3", "PIXDEPOT_BUCKET": name, "PIXDEPOT_S3_ENDPOINT_URL": emulator.endpoint_url,
        "PIXDEPOT_S3_ACCESS_KEY_ID": "test", "PIXDEPOT_S3_SECRET_ACCESS_KEY": "test",
        "PIXDEPOT_TABLE": f"{name}-images", "PIXDEPOT_INDEX_TABLE": f"{name}-index",
    }  # fmt: skip
    made = await run(PIXDEPOT, "bootstrap", "up", "--json", directory=tmp_path, **variables)
    assert made.code == 0, made
    assert all("bucket" in each for each in json.loads(made.out)["made"])
    status = await run(PIXDEPOT, "bootstrap", "status", "--json", directory=tmp_path, **variables)
    assert {json.loads(line)["state"] for line in status.out.splitlines()} == {"ok"}
    assert name not in await tables(emulator)
    down = await run(PIXDEPOT, "bootstrap", "down", "--yes", "--json", directory=tmp_path, **variables)
    assert json.loads(down.out) == {"removed": [name]}


async def test_up_makes_only_the_tables_beside_files(emulator: Emulator, tmp_path: Path) -> None:
    name = f"pixdepot-{secrets.token_hex(6)}"
    variables = {
        "PIXDEPOT_DATABASE": "dynamodb", "PIXDEPOT_TABLE": name, "PIXDEPOT_INDEX_TABLE": f"{name}-index",
    }  # fmt: skip
    made = await run(
        PIXDEPOT, "bootstrap", "up", "--json", directory=tmp_path, **variables, **emulator.sdk_environment
    )
    assert made.code == 0, made
    assert all(each.startswith("table ") for each in json.loads(made.out)["made"])
    assert name in await tables(emulator)


async def tables(emulator: Emulator) -> list[str]:
    session = aioboto3.Session(emulator.root.access_key, emulator.root.secret_key, region_name=emulator.region)
    async with session.client("dynamodb", endpoint_url=emulator.endpoint_url) as dynamodb:
        return (await dynamodb.list_tables())["TableNames"]


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"PIXDEPOT_STORAGE": "s3"}, "Functions on Lambda cannot store files"),
        ({"PIXDEPOT_BACKEND": "aws", "PIXDEPOT_DATABASE": "sqlite"}, "Functions on Lambda cannot store files"),
        ({"PIXDEPOT_BACKEND": "aws", "PIXDEPOT_S3_ENDPOINT_URL": "https://s3.example"}, "the same account"),
    ],
)
async def test_functions_that_could_not_reach_their_data_are_refused(
    tmp_path: Path, variables: dict[str, str], told: str
) -> None:
    refused = await run(PIXDEPOT, "bootstrap", "down", "--lambda", "--yes", directory=tmp_path, **variables)
    assert (refused.code, refused.error.count("\n")) == (1, 1)
    assert told in refused.error


# ---------------------------------------------------------------- endpoint, Region and keys of its own


async def test_links_are_signed_with_the_key_and_region_of_s3_alone(mixed: Settings) -> None:
    settings = replace(mixed, s3_region="garage")
    environment = pytest.MonkeyPatch()
    for name, value in NOBODY.items():
        environment.setenv(name, value)
    try:
        async with open_service(settings) as runtime:
            downloads = await runtime.api.services.depot.objects.presign_downloads(now(), now())
    finally:
        environment.undo()
    url = urlsplit(downloads.url("images/a", "image/png", "inline"))
    scope = dict(parse_qsl(url.query))["X-Amz-Credential"].split("/")
    assert (scope[0], scope[2:]) == (settings.s3_access_key_id, ["garage", "s3", "aws4_request"])
    assert f"{url.scheme}://{url.netloc}" == settings.s3_endpoint_url


async def test_the_sdk_s_own_endpoint_and_keys_do_as_well(
    emulator: Emulator, mixed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"[profile pictures]\nregion = eu-central-1\naws_access_key_id = {emulator.root.access_key}\n"
        f"aws_secret_access_key = {emulator.root.secret_key}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "pictures")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", emulator.endpoint_url)
    settings = replace(
        mixed, s3_endpoint_url="", s3_access_key_id="", s3_secret_access_key="", s3_region="us-east-1"
    )
    async with served(settings) as api:
        await api.uploaded(picture(), user_id="ada")
        assert (await api.get("/health/ready")).status == 200


# ---------------------------------------------------------------- what looks after it


async def test_the_doctor_examines_s3_before_the_first_start(mixed: Settings, tmp_path: Path) -> None:
    ended = await command(mixed, "doctor", directory=tmp_path)
    assert (ended.code, ended.out.count("ok  ")) == (0, STEPS), ended
    wrong = replace(mixed, bucket="elsewhere")
    ended = await command(wrong, "doctor", directory=tmp_path)
    assert ended.code == 1
    assert "PIXDEPOT_BUCKET" in ended.out


async def test_a_server_says_where_it_keeps_both_and_every_command_finds_it(
    mixed: Settings, tmp_path: Path
) -> None:
    async with serving(tmp_path, **mixed.environment()) as server:
        assert f"keeps its data in the bucket {mixed.bucket} and {mixed.data_dir}\n" in server.greeting
        image_id = (await server.api.uploaded(picture(), user_id="ada"))["image_id"]
        assert (await server.api.get(f"/images/{image_id}")).status == 200
    assert {each.name for each in mixed.data_dir.iterdir()} == {"pixdepot.db", "ballast"}
    for words in ("sweep", "reconcile --apply", "reindex", "variants", "recover", "doctor"):
        done = await command(mixed, *words.split(), directory=tmp_path)
        assert done.code == 0, (words, done)


async def test_a_lost_database_is_recovered_from_the_bucket(mixed: Settings, tmp_path: Path) -> None:
    async with open_service(mixed) as runtime:
        await upload(runtime)
    before = await content(mixed)
    for each in mixed.data_dir.iterdir():
        each.unlink()
    done = await command(mixed, "recover", "--json", directory=tmp_path)
    assert json.loads(done.out)["recovered"] == 3, done
    assert await content(mixed) == before


async def test_a_bucket_and_a_database_of_two_depots_are_refused_by_upkeep(
    mixed: Settings, emulator: Emulator, tmp_path: Path
) -> None:
    async with open_service(mixed) as runtime:
        await upload(runtime)
        await runtime.sweeper.sweep()
    async with new_bucket(emulator.endpoint_url, emulator.root, mixed.data_dir) as other:
        async with open_service(other) as runtime:
            with pytest.raises(DepotMismatch):
                await runtime.sweeper.sweep()
        told = await command(other, "sweep", directory=tmp_path)
    assert (told.code, "Traceback" in told.error) == (1, False)
    assert "check PIXDEPOT_STORAGE" in told.error


# ---------------------------------------------------------------- moving


async def test_objects_move_to_s3_and_back_and_the_database_stays(mixed: Settings, tmp_path: Path) -> None:
    local = replace(mixed, storage="local")
    async with open_service(local) as runtime:
        await upload(runtime)
    before = await content(local)

    tried = await command(local, "migrate", "--to", "s3", "--dry-run", "--json", directory=tmp_path)
    assert json.loads(tried.out)["copied"] == 3, tried
    for copied in (3, 0):
        moved = await command(local, "migrate", "--to", "s3", "--json", directory=tmp_path)
        assert (moved.code, json.loads(moved.out)["copied"]) == (0, copied), moved
    for each in (mixed.data_dir / "objects" / "images").iterdir():
        each.rename(tmp_path / each.name)
    assert await content(mixed) == before
    async with open_service(mixed) as runtime:
        await upload(runtime, 1)
        await runtime.sweeper.sweep()
        assert (await runtime.reconciler.reconcile()).missing == 0

    back = await command(mixed, "migrate", "--to", "local", "--json", directory=tmp_path)
    assert json.loads(back.out)["copied"] == 4, back
    assert await content(local) == await content(mixed)
    assert before.items() <= (await content(local)).items()


async def test_objects_do_not_move_into_another_depot_s_bucket(
    mixed: Settings, emulator: Emulator, tmp_path: Path
) -> None:
    async with open_service(mixed) as runtime:
        await upload(runtime)
        await runtime.sweeper.sweep()
    other = replace(mixed, data_dir=tmp_path / "other", storage="local")
    async with open_service(other) as runtime:
        await upload(runtime, 1)
    refused = await command(other, "migrate", "--to", "s3", directory=tmp_path)
    assert refused.code == 1
    assert "The database belongs to the depot" in refused.error
    async with open_service(mixed) as runtime:
        objects = runtime.api.services.depot.objects
        assert len({each.key.split("/")[1] async for each in objects.list("images/")} - {MARK}) == 3


# ---------------------------------------------------------------- files beside DynamoDB


async def test_files_beside_dynamodb_are_looked_after_as_well(emulator: Emulator, tmp_path: Path) -> None:
    async with new_account(emulator, storage="local", data_dir=tmp_path / "data") as account:
        variables = {**sdk(account), **account.settings.environment()}
        missing = await run(PIXDEPOT, "sweep", directory=tmp_path, **variables)
        assert "because it has no objects" in missing.error
        async with serving(tmp_path, **variables) as server:
            assert f"the table {account.settings.table}" in server.greeting
            await server.api.uploaded(picture(), user_id="ada")
        assert not (tmp_path / "data" / "pixdepot.db").exists()
        for words in ("sweep", "doctor"):
            done = await run(PIXDEPOT, *words.split(), directory=tmp_path, **variables)
            assert done.code == 0, (words, done)
        dead = {**variables, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
        refused = await run(PIXDEPOT, "serve", "--port", "0", directory=tmp_path, **dead)
        assert refused.code == 1
        assert "No response from http://127.0.0.1:9" in refused.error.splitlines()[-1]


def sdk(account: Account) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": account.emulator.endpoint_url,
        "AWS_ACCESS_KEY_ID": account.key.access_key,
        "AWS_SECRET_ACCESS_KEY": account.key.secret_key,
        "AWS_DEFAULT_REGION": account.emulator.region,
    }


async def test_s3_on_aws_needs_a_region(mixed: Settings) -> None:
    settings = replace(mixed, s3_endpoint_url="", s3_region="")
    with pytest.raises(SettingsError, match=r"No AWS Region is set: set AWS_REGION, .*PIXDEPOT_S3_REGION"):
        await open_service(settings).__aenter__()
