"""The commands, as they are typed."""

import json
import os
import re
import shlex
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from service.server import check_exposure
from service.settings import Settings, SettingsError, described
from tests.api.client import DESCRIPTION
from tests.process.servers import PIXDEPOT, Server, run, serving
from tests.process.typist import Typist


async def test_serve_says_where_it_listens_and_what_to_try(server: Server, tmp_path: Path) -> None:
    listens, tried = server.greeting.splitlines()
    assert server.url in listens
    assert str(server.data) in listens
    curl = re.search(r"curl .+", tried)
    assert curl
    answer = await run(*shlex.split(curl[0]), "--silent", directory=tmp_path)
    assert json.loads(answer.out).keys() == {"images", "count", "next_cursor"}


async def test_python_m_service_is_the_same_command(tmp_path: Path) -> None:
    async with serving(tmp_path, sys.executable, "-m", "service") as server:
        assert (await server.api.get("/health")).status == 200
        server.process.terminate()
        assert await server.ended() == 0
    helps = [
        await run(*command, "--help", directory=tmp_path)
        for command in ((sys.executable, "-m", "service"), (PIXDEPOT, "serve"))
    ]
    by_module, by_name = (each.out.partition("\n")[2] for each in helps)
    assert "--port" in by_module
    assert by_module == by_name


async def test_the_help_of_serve_tells_every_setting(tmp_path: Path) -> None:
    shown = (await run(PIXDEPOT, "serve", "--help", directory=tmp_path)).out
    for name, default, doc in described():
        assert re.search(rf"^ *{name}(  \[{re.escape(default)}\])?$", shown, re.MULTILINE), name
        assert doc in shown


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("PIXDEPOT_MAX_PIXELS", "abc", "PIXDEPOT_MAX_PIXELS must be a whole number"),
        ("PIXDEPOT_TYPO", "1", "PIXDEPOT_TYPO is not a setting"),
        ("PIXDEPOT_MAX_PIXEL", "1", "Did you mean PIXDEPOT_MAX_PIXELS?"),
        ("PIXDEPOT_PUBLIC_URL", "https://", "PIXDEPOT_PUBLIC_URL must be an http:// or https:// URL with a host"),
        ("PIXDEPOT_PUBLIC_URL", "https://host/?a=b", "PIXDEPOT_PUBLIC_URL must be a URL without a query"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "sweep"])
async def test_a_setting_that_cannot_be_meant_is_told_in_a_line(
    tmp_path: Path, command: str, setting: str, value: str, told: str
) -> None:
    refused = await run(PIXDEPOT, command, directory=tmp_path, **{setting: value})
    assert refused.code not in {0, None}
    assert refused.error.count("\n") == 1
    assert told in refused.error


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("/dev/null", "it is not a directory"),
        ("/dev/null/data", "Not a directory"),
        ("/proc/data", "No such file or directory"),
        ("d" * 300, "File name too long"),
    ],
)
async def test_a_directory_that_cannot_be_used_is_told_in_a_line(tmp_path: Path, value: str, why: str) -> None:
    refused = await run(PIXDEPOT, "serve", directory=tmp_path, PIXDEPOT_DATA_DIR=value)
    assert refused.code not in {0, None}
    assert refused.error.count("\n") == 1
    assert f"{value} cannot be used for data: {why}. Set PIXDEPOT_DATA_DIR" in refused.error
    missing = await run(PIXDEPOT, "sweep", directory=tmp_path, PIXDEPOT_DATA_DIR=value)
    assert missing.code not in {0, None}
    assert missing.error.count("\n") == 1
    assert f"{value} is not a data directory of Pixdepot" in missing.error


@pytest.mark.parametrize("port", ["99999", "65536", "-1"])
@pytest.mark.parametrize("command", ["serve", "emulator"])
async def test_a_port_that_does_not_exist_is_told_in_a_line(tmp_path: Path, command: str, port: str) -> None:
    refused = await run(PIXDEPOT, command, "--port", port, directory=tmp_path)
    assert refused.code == 2
    assert refused.error == f"Error: --port must be a port from 0 to 65535, not {port}.\n"


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("host.invalid", "The host host.invalid does not resolve. Set --host to an address of this machine"),
        ("\u00e9" * 99, "does not resolve. Set --host"),
        ("192.0.2.1", "Cannot listen on 192.0.2.1:0: Cannot assign requested address. Set --host"),
    ],
)
async def test_a_host_that_is_not_this_machine_is_told_in_a_line(tmp_path: Path, host: str, told: str) -> None:
    allowed = {"PIXDEPOT_ALLOW_OPEN_AUTH": "1"}
    refused = await run(PIXDEPOT, "serve", "--host", host, "--port", "0", directory=tmp_path, **allowed)
    assert refused.code == 1
    assert refused.error.count("\n") == 1
    assert told in refused.error


@pytest.mark.parametrize("taken", ["pixdepot.db/", "objects", "tmp"])
async def test_a_data_directory_in_which_something_else_lies_is_told_in_a_line(tmp_path: Path, taken: str) -> None:
    place = tmp_path / "data" / taken
    place.parent.mkdir()
    if taken.endswith("/"):
        place.mkdir()
    else:
        place.touch()
    refused = await run(PIXDEPOT, "serve", "--port", "0", "--data", "data", directory=tmp_path)
    assert refused.code == 1
    assert refused.error.count("\n") == 1
    assert str(place) in refused.error
    assert "Set PIXDEPOT_DATA_DIR (or --data) to a directory that this user can write to." in refused.error


async def test_a_server_starts_beside_a_service_of_its_name(tmp_path: Path) -> None:
    links = {
        "PIXDEPOT_PORT": "tcp://10.96.0.17:8080",
        "PIXDEPOT_SERVICE_HOST": "10.96.0.17",
        "PIXDEPOT_SERVICE_PORT": "8080",
        "PIXDEPOT_PORT_8080_TCP_ADDR": "10.96.0.17",
    }
    async with serving(tmp_path, **links) as server:
        assert (await server.api.get("/health")).status == 200


async def test_a_port_that_is_taken_is_told_in_a_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = await run(PIXDEPOT, "serve", "--port", port, directory=tmp_path)
    assert refused.code != 0
    assert refused.error.count("\n") == 1
    assert f"Cannot listen on 127.0.0.1:{port}: Address already in use." in refused.error
    assert "--port" in refused.error


async def test_a_data_directory_of_a_newer_version_is_told_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "pixdepot-data").mkdir()
    with closing(sqlite3.connect(tmp_path / "pixdepot-data" / "pixdepot.db")) as newer:
        newer.execute("PRAGMA user_version = 99")
    refused = await run(PIXDEPOT, "serve", "--port", "0", directory=tmp_path)
    assert refused.code != 0
    assert refused.error.count("\n") == 1
    assert "newer" in refused.error


@pytest.mark.parametrize("command", ["serve --port 0", "sweep"])
@pytest.mark.parametrize("keep", [0, 100, 4096], ids=["none", "some of its head", "its first page"])
async def test_a_database_that_is_damaged_is_told_in_a_line(tmp_path: Path, keep: int, command: str) -> None:
    async with serving(tmp_path):
        pass
    database = tmp_path / "data" / "pixdepot.db"
    whole = database.read_bytes()
    database.write_bytes(whole[:keep] + b"no database" * (len(whole) // 11))
    refused = await run(PIXDEPOT, *command.split(), directory=tmp_path, PIXDEPOT_DATA_DIR="data")
    assert refused.code == 1
    assert refused.error.count("\n") == 1
    assert "pixdepot.db cannot be opened" in refused.error


@pytest.mark.parametrize("where", ["", "--data elsewhere"])
@pytest.mark.parametrize(
    "command", ["sweep", "reconcile", "reconcile --dry-run", "reindex", "variants", "doctor", "migrate --to aws"]
)
async def test_what_keeps_data_in_order_makes_none_in_another_place(
    tmp_path: Path, command: str, where: str
) -> None:
    refused = await run(PIXDEPOT, *command.split(), *where.split(), directory=tmp_path)
    assert (refused.code, refused.out) == (1, "")
    assert refused.error.count("\n") == 1
    assert str(tmp_path / ("elsewhere" if where else "pixdepot-data")) in refused.error
    assert "--data or PIXDEPOT_DATA_DIR" in refused.error
    assert list(tmp_path.iterdir()) == []


async def test_everyone_as_anyone_is_not_served_to_the_network(tmp_path: Path) -> None:
    refused = await run(PIXDEPOT, "serve", "--host", "0.0.0.0", "--port", "0", directory=tmp_path)
    assert refused.code != 0
    assert refused.out == ""
    assert refused.error.count("\n") == 1
    assert "PIXDEPOT_ALLOW_OPEN_AUTH=1" in refused.error


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.1.2.3", "::ffff:10.1.2.3", "example.org", "localhost.example.org"]
)
def test_open_auth_beyond_loopback_takes_an_explicit_word(host: str) -> None:
    with pytest.raises(SettingsError, match="PIXDEPOT_ALLOW_OPEN_AUTH"):
        check_exposure(Settings(), host)
    check_exposure(Settings(allow_open_auth=True), host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_open_auth_on_loopback_takes_no_word(host: str) -> None:
    check_exposure(Settings(), host)


def test_where_tokens_are_wanted_any_address_may_be_served() -> None:
    with_tokens = {"jwt_issuer": "https://i.example", "jwt_audience": "a", "jwks_url": "https://i.example/jwks"}
    check_exposure(Settings(auth="jwt", **with_tokens), "0.0.0.0")  # type: ignore[arg-type]


async def test_openapi_prints_the_committed_description(tmp_path: Path) -> None:
    printed = await run(PIXDEPOT, "openapi", directory=tmp_path)
    assert printed.code == 0
    assert printed.out == DESCRIPTION.read_text()


async def test_sweep_removes_what_is_due_beside_a_running_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        kept, deleted = await server.api.uploaded(title="kept"), await server.api.uploaded(title="deleted")
        await server.api.delete(f"/images/{deleted['image_id']}", {"user_id": "ada"})
        with closing(sqlite3.connect(server.data / "pixdepot.db")) as records, records:  # as if its time had come
            records.execute("UPDATE images SET deadline = 0 WHERE deadline IS NOT NULL")
        swept = [await run(PIXDEPOT, "sweep", directory=tmp_path, PIXDEPOT_DATA_DIR="data") for _ in range(2)]
        assert [each.out for each in swept] == ["1 removed, 0 failed\n", "0 removed, 0 failed\n"]
        assert [each.code for each in swept] == [0, 0]
        assert [each["title"] for each in (await server.api.get("/images")).json["images"]] == [kept["title"]]


@pytest.mark.parametrize(
    "command",
    ["serve --port 0", "sweep", "reconcile", "reconcile --force", "reindex", "variants --rebuild", "doctor"],
)
async def test_a_lost_database_is_no_new_depot(tmp_path: Path, command: str) -> None:
    async with serving(tmp_path) as server:
        await server.api.uploaded()
        objects = sorted((server.data / "objects").rglob("*"))
    database = tmp_path / "data" / "pixdepot.db"
    database.rename(tmp_path / "lost.db")
    with closing(sqlite3.connect(database)):  # an empty one, as whoever looks for it may make
        database.touch()
    refused = await run(PIXDEPOT, *command.split(), directory=tmp_path, PIXDEPOT_DATA_DIR="data")
    assert (refused.code, refused.out) == (1, "")
    (told,) = refused.error.splitlines()
    assert "the database has no record of them" in told
    assert "PIXDEPOT_DATA_DIR" in told
    assert "`pixdepot recover`" in told
    assert sorted((tmp_path / "data" / "objects").rglob("*")) == objects


async def test_two_depots_are_told_apart_by_their_ids(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        async with serving(tmp_path / name):
            pass
    (tmp_path / "one" / "data" / "pixdepot.db").replace(tmp_path / "two" / "data" / "pixdepot.db")
    refused = await run(PIXDEPOT, "sweep", directory=tmp_path / "two", PIXDEPOT_DATA_DIR="data")
    assert refused.code == 1
    for name in ("one", "two"):
        mark = json.loads((tmp_path / name / "data" / "objects" / "images" / ".depot").read_text())
        assert mark["depot_id"] in refused.error


async def test_recover_needs_a_storage(tmp_path: Path) -> None:
    refused = await run(PIXDEPOT, "recover", directory=tmp_path)
    assert refused.code == 1
    assert "has no images to recover" in refused.error
    assert list(tmp_path.iterdir()) == []


async def test_on_a_terminal_reconcile_changes_nothing_unless_it_is_told_to(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        orphan = server.data / "objects" / "images" / "nobodys" / "nonce" / "original"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"bytes")
    os.utime(orphan, (0, 0))
    typist = Typist(tmp_path, "", "", {})
    code, shown = await typist.on_terminal("reconcile --data data")
    assert code == 0
    assert "1 orphans found" in shown
    assert "Use --apply" in shown
    assert orphan.exists()
    code, shown = await typist.on_terminal("reconcile --data data --apply")
    assert "1 orphans quarantined" in shown
    assert not orphan.exists()
