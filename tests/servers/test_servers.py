"""The test servers themselves: what the other tests take for granted about them."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aioboto3
import aiohttp
import pytest
from aiobotocore.config import AioConfig
from yarl import URL

from bootstrap.emulator import AccessKey, Emulator, running_emulator
from bootstrap.processes import Child, ServerFailed, free_port, path_variable, running_child

from . import dynalite
from .proxy import Proxy, proxied
from .rgw import Gateway

PICTURE = b"not really a picture"
JPEG = {"Content-Type": "image/jpeg"}
EVERYTHING = {"Effect": "Allow", "Action": ["s3:*", "dynamodb:*"], "Resource": "*"}
TABLE: dict[str, Any] = {
    "TableName": "numbers",
    "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}],
    "AttributeDefinitions": [
        {"AttributeName": "kind", "AttributeType": "S"},
        {"AttributeName": "n", "AttributeType": "N"},
    ],
    "BillingMode": "PAY_PER_REQUEST",
}


def client(service: str, endpoint_url: str, key: AccessKey) -> AbstractAsyncContextManager[Any]:
    session: Any = aioboto3.Session(key.access_key, key.secret_key, region_name="us-east-1")
    config = AioConfig(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        retries={"total_max_attempts": 1, "mode": "standard"},
        request_checksum_calculation="when_required",
    )
    made: AbstractAsyncContextManager[Any] = session.client(service, endpoint_url=endpoint_url, config=config)
    return made


def policy(*statements: Mapping[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statements}


def altered(url: str) -> str:
    return url[:-1] + ("0" if url[-1] != "0" else "1")


async def status(session: aiohttp.ClientSession, method: str, url: str, **request: Any) -> int:
    async with session.request(method, URL(url, encoded=True), **request) as answer:
        await answer.read()
        return answer.status


@pytest.fixture(scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture(scope="session")
async def key(emulator: Emulator) -> AccessKey:
    return await emulator.create_user(policy(EVERYTHING))


@pytest.fixture
async def proxy(emulator: Emulator) -> AsyncIterator[Proxy]:
    async with proxied(emulator.endpoint_url) as running:
        yield running


class TestEmulator:
    async def test_presigned_put_takes_only_the_type_it_was_signed_for(
        self, emulator: Emulator, key: AccessKey, session: aiohttp.ClientSession
    ) -> None:
        async with client("s3", emulator.endpoint_url, key) as s3:
            await s3.create_bucket(Bucket="presigned")
            put = {"Bucket": "presigned", "Key": "a", "ContentType": "image/jpeg"}
            url = await s3.generate_presigned_url("put_object", Params=put)
            assert await status(session, "PUT", url, data=PICTURE, headers={"Content-Type": "text/html"}) == 403
            assert await status(session, "PUT", url, data=PICTURE, headers=JPEG) == 200
            stored = await s3.get_object(Bucket="presigned", Key="a")
            assert await stored["Body"].read() == PICTURE
            assert stored["ContentType"] == "image/jpeg"

    async def test_user_may_do_what_the_policy_says_and_nothing_else(self, emulator: Emulator) -> None:
        only_tables = policy({"Effect": "Allow", "Action": "dynamodb:ListTables", "Resource": "*"})
        key = await emulator.create_user(only_tables)
        async with client("dynamodb", emulator.endpoint_url, key) as dynamodb:
            await dynamodb.list_tables()
        async with client("s3", emulator.endpoint_url, key) as s3:
            with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
                await s3.create_bucket(Bucket="denied")

    async def test_wrong_secret_is_refused(self, emulator: Emulator, key: AccessKey) -> None:
        async with client("s3", emulator.endpoint_url, AccessKey(key.access_key, "wrong")) as s3:
            with pytest.raises(s3.exceptions.ClientError, match="SignatureDoesNotMatch"):
                await s3.list_buckets()

    async def test_data_survives_a_clean_stop(self, tmp_path: Path) -> None:
        async with running_emulator(tmp_path, port=0) as first:
            key = await first.create_user(policy(EVERYTHING))
            async with client("s3", first.endpoint_url, key) as s3:
                await s3.create_bucket(Bucket="kept")
                await s3.put_object(Bucket="kept", Key="a", Body=PICTURE)
            async with client("dynamodb", first.endpoint_url, key) as dynamodb:
                await dynamodb.create_table(**TABLE)
                await dynamodb.put_item(TableName="numbers", Item=item(1))
        async with running_emulator(tmp_path, port=0) as second:
            async with client("s3", second.endpoint_url, key) as s3:
                assert await (await s3.get_object(Bucket="kept", Key="a"))["Body"].read() == PICTURE
            async with client("dynamodb", second.endpoint_url, key) as dynamodb:
                found = await dynamodb.get_item(TableName="numbers", Key=item(1))
                assert found["Item"] == item(1)

    async def test_taken_port_is_an_error(self, emulator: Emulator, tmp_path: Path) -> None:
        port = URL(emulator.endpoint_url).port
        assert port is not None
        with pytest.raises(ServerFailed, match=f"Port {port} .* is in use"):
            async with running_emulator(tmp_path, port):
                pass

    async def test_environment_is_not_the_developers(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SESSION_TOKEN", "the developer's")
        async with running_emulator(tmp_path, port=0) as emulator:
            environment = Path(f"/proc/{emulator.pid}/environ").read_text().split("\0")
        assert not [each for each in environment if each.startswith("AWS_SESSION_TOKEN")]

    async def test_signal_ends_it_cleanly(self, tmp_path: Path) -> None:
        command = await asyncio.create_subprocess_exec(
            sys.executable, "-c", COMMAND, tmp_path, stdout=subprocess.PIPE
        )
        assert command.stdout is not None
        assert await command.stdout.readline() == b"up\n"
        command.terminate()
        assert await command.stdout.read() == b"down\n"
        assert await command.wait() == 0
        assert (tmp_path / "state").is_dir()

    async def test_end_by_itself_is_noticed(self, tmp_path: Path) -> None:
        async with running_emulator(tmp_path, port=0) as emulator:
            os.kill(emulator.pid, signal.SIGKILL)
            with pytest.raises(ServerFailed, match="ended by itself"):
                await emulator.until(asyncio.Event())


COMMAND = """
import asyncio, sys
from pathlib import Path
from bootstrap.emulator import running_emulator
from bootstrap.processes import stop_signals

async def main():
    async with running_emulator(Path(sys.argv[1]), port=0) as emulator:
        with stop_signals() as stopped:
            print("up", flush=True)
            await emulator.until(stopped)
    print("down")

asyncio.run(main())
"""


class TestChildren:
    async def test_last_words_of_a_child_that_does_not_start(self, tmp_path: Path) -> None:
        program = "print('no luck today'); raise SystemExit(3)"
        with pytest.raises(ServerFailed, match=r"status 3\.\n(.*\n)*no luck today"):
            async with child(tmp_path, program) as started:
                await started.until_answers("http://127.0.0.1:1/")

    async def test_child_that_never_answers(self, tmp_path: Path) -> None:
        with pytest.raises(ServerFailed, match="did not respond"):
            async with child(tmp_path, "import time; time.sleep(60)") as started:
                await started.until_answers("http://127.0.0.1:1/", within=0.2)

    async def test_child_that_will_not_stop_is_killed(self, tmp_path: Path) -> None:
        port = free_port()
        with pytest.raises(ServerFailed, match="did not stop"):
            async with child(tmp_path, STUBBORN, str(port)) as stubborn:
                await stubborn.until_answers(f"http://127.0.0.1:{port}/")
        assert stubborn.process.returncode == -signal.SIGKILL

    @pytest.mark.skipif(shutil.which("setpriv") is None, reason="only Linux's setpriv promises it")
    async def test_child_ends_with_the_process_that_started_it(self) -> None:
        parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=subprocess.PIPE)
        assert parent.stdout is not None
        orphan = os.pidfd_open(int(await parent.stdout.readline()))
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(orphan, ended.set)
        parent.kill()
        await parent.wait()
        await asyncio.wait_for(ended.wait(), 10)
        asyncio.get_running_loop().remove_reader(orphan)
        os.close(orphan)


STUBBORN = """
import http.server, signal, sys

signal.signal(signal.SIGTERM, signal.SIG_IGN)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""

PARENT = """
import asyncio
from pathlib import Path
from bootstrap.processes import path_variable, running_child

async def main():
    tell_and_wait = ("sh", "-c", "echo $$; exec sleep 60")
    async with running_child(tell_and_wait, env=path_variable(), log=Path("/dev/stdout")):
        await asyncio.sleep(60)

asyncio.run(main())
"""


def child(directory: Path, program: str, *arguments: str) -> AbstractAsyncContextManager[Child]:
    command = (sys.executable, "-uc", program, *arguments)
    return running_child(command, env=path_variable(), log=directory / "log", stop_within=0.5)


INSTALLER = """
import sys
from pathlib import Path
from bootstrap.processes import installed_once

def install(directory):
    (directory / "first half").touch()
    print("half-way", flush=True)
    if "stop" in sys.argv:
        sys.stdin.read()
    (directory / "second half").touch()

print(installed_once("thing", "second half", install), flush=True)
"""


class TestInstallation:
    async def test_ten_processes_at_once_install_once(self, tmp_path: Path) -> None:
        processes = [await installer(tmp_path) for _ in range(10)]
        outputs = [(await each.communicate())[0].decode().split("\n") for each in processes]
        assert sum("half-way" in lines for lines in outputs) == 1
        assert {lines[-2] for lines in outputs} == {str(tmp_path / "pixdepot" / "thing")}

    async def test_installation_killed_half_way_is_made_anew(self, tmp_path: Path) -> None:
        killed = await installer(tmp_path, "stop")
        assert killed.stdout is not None
        assert await killed.stdout.readline() == b"half-way\n"
        waiting = await installer(tmp_path)
        killed.kill()
        await killed.communicate()
        lines, _ = await waiting.communicate()
        assert lines.startswith(b"half-way\n")
        made = tmp_path / "pixdepot" / "thing"
        assert sorted(each.name for each in made.iterdir()) == ["first half", "second half"]
        assert sorted(each.name for each in made.parent.iterdir()) == ["thing", "thing.lock"]


async def installer(cache: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", INSTALLER, *arguments),
        env={**os.environ, "XDG_CACHE_HOME": str(cache)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


@pytest.mark.skipif(dynalite.available() is not None, reason=str(dynalite.available()))
async def test_dynalite_counts_read_units(tmp_path: Path) -> None:
    async with (
        dynalite.running_dynalite(tmp_path) as endpoint_url,
        client("dynamodb", endpoint_url, AccessKey("any", "any")) as dynamodb,
    ):
        await dynamodb.create_table(**TABLE)
        await dynamodb.get_waiter("table_exists").wait(TableName="numbers", WaiterConfig={"Delay": 1})
        for n in range(4):
            await dynamodb.put_item(TableName="numbers", Item=item(n, padding={"S": "x" * 4000}))
        found = await dynamodb.query(
            TableName="numbers",
            KeyConditionExpression="kind = :kind",
            ExpressionAttributeValues={":kind": {"S": "natural"}},
            ReturnConsumedCapacity="TOTAL",
        )
    assert found["Count"] == 4
    # Four items of about 4 KB, half a unit for each 4 KB.
    assert found["ConsumedCapacity"]["CapacityUnits"] == 2


def item(n: int, **attributes: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {"kind": {"S": "natural"}, "n": {"N": str(n)}, **attributes}


async def test_ceph_holds_urls_and_forms_to_what_was_signed(ceph: Gateway, session: aiohttp.ClientSession) -> None:
    await assert_enforcing(ceph, session)


async def test_seaweedfs_holds_urls_and_forms_to_what_was_signed(
    seaweedfs: Gateway, session: aiohttp.ClientSession
) -> None:
    await assert_enforcing(seaweedfs, session)


async def assert_enforcing(gateway: Gateway, session: aiohttp.ClientSession) -> None:
    async with client("s3", gateway.endpoint_url, gateway.key) as s3:
        await s3.create_bucket(Bucket="bucket")
        await s3.put_object(Bucket="bucket", Key="a", Body=PICTURE)
        url = await s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "a"})
        assert await status(session, "GET", url) == 200
        assert await status(session, "GET", altered(url)) == 403

        form = await s3.generate_presigned_post("bucket", "b", JPEG, [JPEG, ["content-length-range", 1, 20]])
        assert await status(session, "POST", form["url"], data=filled(form["fields"], PICTURE)) == 204
        assert await status(session, "POST", form["url"], data=filled(form["fields"], PICTURE * 2)) == 400
        other_key = {**form["fields"], "key": "c"}
        assert await status(session, "POST", form["url"], data=filled(other_key, PICTURE)) == 403
    async with client("s3", gateway.endpoint_url, AccessKey(gateway.key.access_key, "wrong")) as s3:
        with pytest.raises(s3.exceptions.ClientError, match="SignatureDoesNotMatch"):
            await s3.list_buckets()


def filled(fields: Mapping[str, str], picture: bytes) -> aiohttp.FormData:
    form = aiohttp.FormData(fields)
    form.add_field("file", picture, filename="a.jpg")
    return form


HEALTH = "/_ministack/health"


class TestProxy:
    async def test_signatures_hold_and_operations_are_counted(self, proxy: Proxy, key: AccessKey) -> None:
        async with client("s3", proxy.url, key) as s3:
            await s3.create_bucket(Bucket="behind")
            await s3.put_object(Bucket="behind", Key="odd +&é/.jpg", Body=PICTURE)
            stored = await s3.get_object(Bucket="behind", Key="odd +&é/.jpg")
            assert await stored["Body"].read() == PICTURE
            assert (await s3.head_object(Bucket="behind", Key="odd +&é/.jpg"))["ContentLength"] == len(PICTURE)
        async with client("dynamodb", proxy.url, key) as dynamodb:
            await dynamodb.list_tables()
        calls = {"CreateBucket": 1, "PutObject": 1, "GetObject": 1, "HeadObject": 1, "ListTables": 1}
        assert proxy.calls == calls

    async def test_delay_is_added_to_each_request(self, proxy: Proxy, session: aiohttp.ClientSession) -> None:
        proxy.delay = 0.1
        loop = asyncio.get_running_loop()
        start = loop.time()
        for _ in range(3):
            assert await status(session, "GET", proxy.url + HEALTH) == 200
        assert loop.time() - start >= 0.3

    async def test_hung_requests_go_on_when_it_resumes(self, proxy: Proxy, session: aiohttp.ClientSession) -> None:
        proxy.hang()
        asked = asyncio.create_task(status(session, "GET", proxy.url + HEALTH))
        assert not (await asyncio.wait({asked}, timeout=0.2))[0]
        await proxy.resume()
        assert await asked == 200

    async def test_request_whose_client_left_never_goes_on(
        self, emulator: Emulator, key: AccessKey, proxy: Proxy, session: aiohttp.ClientSession
    ) -> None:
        async with client("s3", emulator.endpoint_url, key) as direct, client("s3", proxy.url, key) as s3:
            await direct.create_bucket(Bucket="left")
            proxy.hang()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(s3.put_object(Bucket="left", Key="a", Body=PICTURE), 0.2)
            await proxy.resume()
            assert await status(session, "GET", proxy.url + HEALTH) == 200
            assert (await direct.list_objects_v2(Bucket="left"))["KeyCount"] == 0

    async def test_refused_requests_fail_at_once(self, proxy: Proxy, session: aiohttp.ClientSession) -> None:
        proxy.hang()
        under_way = asyncio.create_task(status(session, "GET", proxy.url + HEALTH))
        await asyncio.wait({under_way}, timeout=0.1)
        await proxy.refuse()
        with pytest.raises(aiohttp.ClientConnectionError):
            await under_way
        with pytest.raises(aiohttp.ClientConnectorError):
            await status(session, "GET", proxy.url + HEALTH)
        await proxy.resume()
        assert await status(session, "GET", proxy.url + HEALTH) == 200
