"""`bootstrap up` and `status` at stores that are not AWS: what they do not have is told, and never the end."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from aiohttp import web

from bootstrap import bucket
from bootstrap.commands import NOT_SUPPORTED, down, status, up
from bootstrap.emulator import Emulator
from bootstrap.policy import service_policy
from service.aws.session import opened_clients
from service.settings import Settings, SettingsError
from tests.aws.stand_in import Account, new_settings, sdk_environment
from tests.process.servers import PIXDEPOT, run
from tests.servers.proxy import Proxy, proxied
from tests.servers.rgw import Gateway
from tests.servers.seaweedfs import running_seaweedfs

SETTINGS = {
    "publicAccessBlock": "bucket's public access block",
    "cors": "bucket's CORS",
    "lifecycle": "bucket's lifecycle",
    "encryption": "bucket's encryption",
}
ABSENT = {
    "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
    "cors": "NoSuchCORSConfiguration",
    "lifecycle": "NoSuchLifecycleConfiguration",
    "encryption": "ServerSideEncryptionConfigurationNotFoundError",
}
each_setting = pytest.mark.parametrize("asked", SETTINGS)


async def lacking(settings: Settings) -> dict[str, str]:
    """Return what `up` says that the store does not have, twice the same, and `status`, too; all else is ok."""
    first = await up(settings)
    again = await up(settings)
    assert again.names == []
    found = await status(settings)
    assert [each for each in found if each.state == NOT_SUPPORTED] == first.lacking == again.lacking
    assert {each.state for each in found} <= {"ok", NOT_SUPPORTED}
    return {each.name: each.detail for each in first.lacking}


async def assert_writable(settings: Settings) -> None:
    """Hold the bucket to taking writes, and to keeping none of those that tried whether it does."""
    async with opened_clients(settings) as clients:
        s3, name = clients.s3, settings.bucket
        await s3.put_object(Bucket=name, Key="images/a", Body=b"bytes")
        assert "Contents" not in await s3.list_objects_v2(Bucket=name, Prefix="uploads/")
        await s3.delete_object(Bucket=name, Key="images/a")


# ---------------------------------------------------------------- real ones


def environment(gateway: Gateway, emulator: Emulator) -> AbstractContextManager[None]:
    """Return what leads the SDK to another S3, and to the emulator's tables."""
    return sdk_environment(emulator.endpoint_url, gateway.key, s3=gateway.endpoint_url)


async def test_seaweedfs_without_a_key_goes_on_taking_writes(seaweedfs: Gateway, emulator: Emulator) -> None:
    with environment(seaweedfs, emulator):
        settings = new_settings()
        told = await lacking(settings)
        assert told.keys() == {"bucket's public access block", "bucket's encryption"}
        assert "removed again" in told["bucket's encryption"]
        await assert_writable(settings)
        await down(settings)
        assert {each.state for each in await status(settings)} <= {"missing", NOT_SUPPORTED}


async def test_seaweedfs_with_a_key_encrypts(emulator: Emulator, tmp_path: Path) -> None:
    async with running_seaweedfs(tmp_path, emulator.root, encryption_key="any text") as gateway:
        with environment(gateway, emulator):
            settings = new_settings()
            assert (await lacking(settings)).keys() == {"bucket's public access block"}
            await assert_writable(settings)


async def test_ceph_goes_on_taking_writes(ceph: Gateway, emulator: Emulator) -> None:
    with environment(ceph, emulator):
        settings = new_settings(cors_origins=("https://z.example", "https://a.example"))
        told = await lacking(settings)
        assert told.keys() == {"bucket's public access block", "bucket's encryption"}
        assert "removed again" in told["bucket's public access block"]
        await assert_writable(settings)


async def test_writes_that_an_earlier_set_up_has_broken_work_again(seaweedfs: Gateway, emulator: Emulator) -> None:
    with environment(seaweedfs, emulator):
        settings = new_settings()
        async with opened_clients(settings) as clients:
            await clients.s3.create_bucket(Bucket=settings.bucket)
            encryption = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
            await clients.s3.put_bucket_encryption(
                Bucket=settings.bucket,
                ServerSideEncryptionConfiguration=encryption,  # type: ignore[arg-type]
            )
        assert "bucket's encryption" in await lacking(settings)
        await assert_writable(settings)


# ---------------------------------------------------------------- each setting, each way of not having it


@pytest.fixture
async def proxy(emulator: Emulator) -> AsyncIterator[Proxy]:
    """Return a way to the emulator that may lack something."""
    async with proxied(emulator.endpoint_url) as running:
        with sdk_environment(emulator.endpoint_url, emulator.root, s3=running.url):
            yield running


def refusing(status: int, code: str) -> web.Response:
    return web.Response(status=status, text=f"<Error><Code>{code}</Code><Message>So.</Message></Error>")


def absent(asked: str) -> Callable[[], web.Response]:
    """Return what answers that there is no such setting; the emulator's buckets have some from the beginning."""
    return lambda: refusing(404, ABSENT[asked])


def answering(asked: str, answers: dict[str, Callable[[], web.Response]]) -> Callable[..., web.Response | None]:
    """Return what answers the requests for one setting by their method."""

    def instead(request: web.Request) -> web.Response | None:
        return answers[request.method]() if asked in request.query and request.method in answers else None

    return instead


@each_setting
@pytest.mark.parametrize("code", ["NotImplemented", "MethodNotAllowed"])
async def test_a_setting_that_a_store_does_not_know(proxy: Proxy, asked: str, code: str) -> None:
    proxy.instead = answering(asked, dict.fromkeys(("GET", "PUT", "DELETE"), lambda: refusing(501, code)))
    settings = new_settings()
    told = await lacking(settings)
    assert told.keys() == {SETTINGS[asked]}
    assert code in told[SETTINGS[asked]]


@each_setting
async def test_a_store_that_says_only_when_a_setting_is_made_that_it_has_none(proxy: Proxy, asked: str) -> None:
    proxy.instead = answering(asked, {"GET": absent(asked), "PUT": lambda: refusing(501, "NotImplemented")})
    settings = new_settings()
    assert (await lacking(settings)).keys() == {SETTINGS[asked]}
    proxy.instead = lambda _: None  # another version of it
    assert (await up(settings)).lacking == []
    assert {each.state for each in await status(settings)} == {"ok"}


@each_setting
async def test_a_store_that_takes_it_for_another_request(proxy: Proxy, asked: str) -> None:
    listing = "<ListBucketResult><Name>b</Name></ListBucketResult>"
    proxy.instead = answering(
        asked,
        {"GET": lambda: web.Response(text=listing), "PUT": lambda: refusing(409, "BucketAlreadyOwnedByYou")},
    )
    assert (await lacking(new_settings())).keys() == {SETTINGS[asked]}


@each_setting
async def test_a_store_that_accepts_it_and_does_not_keep_it(
    proxy: Proxy, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket, "_KEPT_WITHIN", 0.3)
    proxy.instead = answering(asked, {"GET": absent(asked), "PUT": web.Response})
    assert "does not keep" in (await lacking(new_settings()))[SETTINGS[asked]]


@each_setting
async def test_a_setting_that_breaks_writes_is_taken_back(proxy: Proxy, asked: str) -> None:
    broken = False

    def instead(request: web.Request) -> web.Response | None:
        nonlocal broken
        if asked in request.query:
            broken = {"PUT": True, "DELETE": False}.get(request.method, broken)
            if request.method == "GET" and not broken:
                return absent(asked)()
        writes = request.method == "PUT" and not request.query and request.path.count("/") > 1
        return refusing(500, "InternalError") if broken and writes else None

    proxy.instead = instead
    settings = new_settings()
    told = await lacking(settings)
    assert told.keys() == {SETTINGS[asked]}
    assert "InternalError" in told[SETTINGS[asked]]
    await assert_writable(settings)


async def test_a_setting_stays_where_writes_fail_without_it_too(emulator: Emulator) -> None:
    settings = new_settings()
    with sdk_environment(emulator.endpoint_url, emulator.root):
        await up(settings)
    everything_but_writes = {"Effect": "Allow", "NotAction": "s3:PutObject", "Resource": "*"}
    key = await emulator.create_user({"Version": "2012-10-17", "Statement": [everything_but_writes]})
    with sdk_environment(emulator.endpoint_url, key):
        made = await up(settings)
        assert (made.names, made.lacking) == ([], [])
        assert {each.state for each in await status(settings)} == {"ok"}


# ---------------------------------------------------------------- what is said


async def test_the_commands_say_what_is_not_supported(emulator: Emulator, proxy: Proxy, tmp_path: Path) -> None:
    proxy.instead = answering("encryption", dict.fromkeys(("GET", "PUT"), lambda: refusing(501, "NotImplemented")))
    settings = new_settings()
    variables = {
        **settings.environment(),
        "AWS_ENDPOINT_URL": emulator.endpoint_url,
        "AWS_ENDPOINT_URL_S3": proxy.url,
        "AWS_ACCESS_KEY_ID": emulator.root.access_key,
        "AWS_SECRET_ACCESS_KEY": emulator.root.secret_key,
        "AWS_DEFAULT_REGION": emulator.region,
    }

    async def bootstrap(*arguments: str) -> tuple[int, str]:
        ended = await run(PIXDEPOT, "bootstrap", *arguments, directory=tmp_path, **variables)
        return ended.code, ended.out

    said = "not supported here: bucket's encryption (GetBucketEncryption: NotImplemented)\nAll resources exist.\n"
    code, out = await bootstrap("up")
    assert (code, out.endswith(said)) == (0, True), out
    code, out = await bootstrap("up", "--json")
    assert json.loads(out)["not_supported"] == {"bucket's encryption": "GetBucketEncryption: NotImplemented"}
    code, out = await bootstrap("status")
    assert code == 0
    assert "not supported here bucket's encryption (GetBucketEncryption: NotImplemented)\n" in out


async def test_a_bucket_of_somebody_else_is_told_with_the_remedy(emulator: Emulator, account: Account) -> None:
    other = new_settings()
    key = await emulator.create_user(service_policy(other))
    with sdk_environment(emulator.endpoint_url, key):
        for command in (status, up):
            with pytest.raises(SettingsError, match=r"AccessDenied.*another account.*PIXDEPOT_BUCKET"):
                await command(account.settings)
