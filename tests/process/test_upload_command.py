"""`pixdepot upload`: what is meant is there once, whatever stands in its way."""

import asyncio
import os
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.issuer import running_issuer
from tests.pictures import picture, sha256_of
from tests.process.servers import PIXDEPOT, Server, run, serving, start
from tests.process.typist import Typist, documents

# Runs a command that the modes of files bind, as they do not bind root.
_CAPABILITIES = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all")
UNPRIVILEGED = _CAPABILITIES if os.geteuid() == 0 else ()


def write(directory: Path, *names: str) -> dict[str, bytes]:
    """Write pictures, each another one, and return them."""
    pictures = {name: picture(seed=number, size=(90, 60)) for number, name in enumerate(names)}
    for name, data in pictures.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return pictures


async def images(server: Server, user: str) -> list[dict[str, Any]]:
    return await server.api.walk(user_id=user)


def outcomes(printed: list[dict[str, Any]]) -> dict[str, str]:
    return {each["path"]: each["outcome"] for each in printed}


async def test_a_directory_is_uploaded_with_all_that_is_below_it(server: Server, pixdepot: Typist) -> None:
    pictures = write(pixdepot.directory, "in/a.jpg", "in/b c.jpg", "in/deeper/still/d.jpg")
    write(pixdepot.directory, "in/.hidden.jpg", "in/.git/e.jpg")
    (pixdepot.directory / "in/notes.txt").write_text("no picture")
    printed = await pixdepot.told("upload in --user ME --tags 'sea, lake' --description Holidays")
    assert outcomes(printed) == dict.fromkeys(pictures, "uploaded")
    found = {each["image_id"]: each for each in await images(server, pixdepot.user)}
    assert found.keys() == {each["image_id"] for each in printed}
    assert {each["sha256"] for each in found.values()} == set(map(sha256_of, pictures.values()))
    assert {each["title"] for each in found.values()} == {"a", "b c", "d"}
    assert {each["filename"] for each in found.values()} == {"a.jpg", "b c.jpg", "d.jpg"}
    assert all((each["tags"], each["description"]) == (["sea", "lake"], "Holidays") for each in found.values())


async def test_a_second_run_sends_only_what_is_not_there(server: Server, pixdepot: Typist) -> None:
    write(pixdepot.directory, "in/a.jpg", "in/b.jpg")
    first = await pixdepot("upload in --user ME")
    assert (first.code, first.error) == (0, "2 uploaded, 0 already stored, 0 failed\n")
    write(pixdepot.directory, "in/a.jpg", "in/b.jpg", "in/c.jpg")
    second = await pixdepot("upload in --user ME --json")
    assert (second.code, second.error) == (0, "1 uploaded, 2 already stored, 0 failed\n")
    assert outcomes(documents(second)) == {"in/a.jpg": "there", "in/b.jpg": "there", "in/c.jpg": "uploaded"}
    ids = {each["image_id"] for each in await images(server, pixdepot.user)}
    assert ids == {each["image_id"] for each in documents(second)}
    assert (await pixdepot("upload in/a.jpg --again --user ME")).code == 0
    assert len(await images(server, pixdepot.user)) == 4


async def test_killed_in_between_the_next_run_goes_on_and_each_is_there_once(
    server: Server, pixdepot: Typist
) -> None:
    pictures = write(pixdepot.directory, *(f"in/{number}.jpg" for number in range(20)))
    command = (PIXDEPOT, "upload", "in", "--user", pixdepot.user, "--at-once", "2")
    killed = await start(pixdepot.directory, *command, PIXDEPOT_URL=server.url)
    assert killed.stdout
    for _ in range(3):
        assert (await killed.stdout.readline()).startswith(b"uploaded")
    killed.kill()
    assert await killed.wait() != 0
    again = await pixdepot("upload in --user ME")
    assert again.code == 0
    assert "0 failed" in again.error
    counts = Counter(each["sha256"] for each in await images(server, pixdepot.user))
    assert counts.keys() == set(map(sha256_of, pictures.values()))
    # What was just being published when it was killed may not have been in the list yet; nothing else is twice.
    assert sum(counts.values()) <= len(pictures) + 2


async def test_patterns_and_files_are_taken_as_they_are(server: Server, pixdepot: Typist) -> None:
    write(pixdepot.directory, "in/a.jpg", "in/deeper/b.jpg", "in/deeper/c.png", "in/[odd].jpg", "d.jpg")
    printed = await pixdepot.told("upload 'in/**/*.jpg' d.jpg d.jpg 'in/[odd].jpg' --user ME --title Same")
    assert outcomes(printed) == dict.fromkeys(("in/a.jpg", "in/deeper/b.jpg", "in/[odd].jpg", "d.jpg"), "uploaded")
    assert {each["title"] for each in await images(server, pixdepot.user)} == {"Same"}


async def test_equal_files_become_one_image(server: Server, pixdepot: Typist) -> None:
    write(pixdepot.directory, "in/a.jpg")
    for name in ("b.jpg", "c.jpg"):
        (pixdepot.directory / "in" / name).write_bytes((pixdepot.directory / "in/a.jpg").read_bytes())
    printed = await pixdepot.told("upload in --user ME")
    assert Counter(each["outcome"] for each in printed) == {"uploaded": 1, "there": 2}
    (image,) = await images(server, pixdepot.user)
    assert {each["image_id"] for each in printed} == {image["image_id"]}


async def test_the_same_picture_of_somebody_else_is_not_one_s_own(server: Server, pixdepot: Typist) -> None:
    pictures = write(pixdepot.directory, "a.jpg")
    await server.api.uploaded(pictures["a.jpg"], user_id="somebody else")
    assert outcomes(await pixdepot.told("upload a.jpg --user ME")) == {"a.jpg": "uploaded"}


async def test_one_that_fails_stops_nothing_and_is_told_of(server: Server, pixdepot: Typist) -> None:
    whole = write(pixdepot.directory, "in/a.jpg", "in/b.jpg")
    (pixdepot.directory / "in/cut.jpg").write_bytes(picture(noise=True)[:-500])
    (pixdepot.directory / "notes.txt").write_text("no picture")
    finished = await pixdepot("upload in/cut.jpg missing.jpg notes.txt 'nothing/*.jpg' in --user ME --json")
    assert (finished.code, finished.error) == (1, "2 uploaded, 0 already stored, 4 failed\n")
    failed = {each["path"]: each["error"] for each in documents(finished) if each["outcome"] == "failed"}
    assert failed["missing.jpg"] == failed["nothing/*.jpg"] == "No such file or directory"
    assert "422 invalid_image" in failed["in/cut.jpg"]
    assert "not a JPEG" in failed["notes.txt"]
    assert len(await images(server, pixdepot.user)) == len(whole)


# ---------------------------------------------------------------- what is no file, or cannot be read


async def test_what_is_no_file_is_passed_over_in_a_directory_and_told_of(pixdepot: Typist) -> None:
    write(pixdepot.directory, "in/a.jpg", "in/deeper/b.jpg")
    os.mkfifo(pixdepot.directory / "in/pipe.jpg")
    (pixdepot.directory / "in/null.jpg").symlink_to("/dev/null")
    (pixdepot.directory / "in/empty.jpg").touch()
    (pixdepot.directory / "in/deeper/back").symlink_to("..")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(pixdepot.directory / "in/socket.jpg"))
        for line in ("upload in --user ME", "upload 'in/*.jpg' in/deeper --user ME"):
            finished = await pixdepot(f"{line} --json")
            told = set(finished.error.splitlines())
            assert told >= {
                "skipped  in/pipe.jpg: it is a named pipe",
                "skipped  in/null.jpg: it is a device",
                "skipped  in/socket.jpg: it is a socket",
                "skipped  in/deeper/back: it is a link to a directory",
            }
            sent = {path for path, outcome in outcomes(documents(finished)).items() if outcome != "failed"}
            assert sent == {"in/a.jpg", "in/deeper/b.jpg"}


@pytest.mark.parametrize("path", ["pipe.jpg", "/dev/zero", "/dev/stdin", "/proc/kmsg", "socket.jpg"])
async def test_what_is_no_file_is_an_error_where_it_is_named(pixdepot: Typist, path: str) -> None:
    os.mkfifo(pixdepot.directory / "pipe.jpg")
    write(pixdepot.directory, "a.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(pixdepot.directory / "socket.jpg"))
        finished = await pixdepot(f"upload {path} a.jpg --user ME --json")
    assert finished.code == 1
    assert outcomes(documents(finished)) == {path: "failed", "a.jpg": "uploaded"}


async def test_links_that_lead_back_are_gone_through_once(pixdepot: Typist) -> None:
    write(pixdepot.directory, "in/a.jpg", "in/deeper/b.jpg")
    for name in ("one", "two"):  # by both of them there are 2**40 ways to each picture
        (pixdepot.directory / "in" / name).symlink_to(".")
        (pixdepot.directory / "in/deeper" / name).symlink_to("..")
    (pixdepot.directory / "in/itself.jpg").symlink_to("itself.jpg")
    for line in ("'in/**/*.jpg'", "'**/**/*.jpg'", "in", "'in/**'"):
        finished = await pixdepot(f"upload {line} --user ME --json")
        printed = documents(finished)
        assert len(printed) == 3
        errors = {each["path"]: each["error"] for each in printed if each["error"]}
        assert errors == {"in/itself.jpg": "Too many levels of symbolic links"}


async def test_what_may_not_be_read_or_cannot_be_is_told(pixdepot: Typist) -> None:
    write(pixdepot.directory, "in/a.jpg", "in/locked/b.jpg", "in/secret.jpg")
    for name in ("in/locked", "in/secret.jpg"):
        (pixdepot.directory / name).chmod(0)
    long = "x" * 300
    line = f"{PIXDEPOT} upload in in/locked/b.jpg {long} --user {pixdepot.user} --json"
    finished = await run(*UNPRIVILEGED, *line.split(), directory=pixdepot.directory, PIXDEPOT_URL=pixdepot.url)
    (pixdepot.directory / "in/locked").chmod(0o700)
    assert finished.code == 1, finished
    assert {each["path"]: each["error"] for each in documents(finished)} == {
        "in/a.jpg": None,
        "in/locked": "Permission denied",
        "in/locked/b.jpg": "Permission denied",
        "in/secret.jpg": "Permission denied",
        long: "File name too long",
    }


# ---------------------------------------------------------------- names


async def test_names_that_are_not_utf_8_are_read_as_windows_1252(server: Server, pixdepot: Typist) -> None:
    (pixdepot.directory / "in").mkdir()
    for number, name in enumerate((b"caf\xe9.jpg", b"\x80 5.jpg", "日本.jpg".encode())):
        path = os.fsencode(pixdepot.directory / "in") + b"/" + name
        Path(os.fsdecode(path)).write_bytes(picture(seed=number, size=(90, 60)))
    finished = await pixdepot("upload in --user ME --json")
    assert finished.code == 0, finished
    assert {each["path"]: each["filename"] for each in documents(finished)} == {
        "in/caf\ufffd.jpg": "café.jpg",
        "in/\ufffd 5.jpg": "€ 5.jpg",
        "in/日本.jpg": None,
    }
    found = await images(server, pixdepot.user)
    assert {each["title"] for each in found} == {"café", "€ 5", "日本"}
    told = await pixdepot("upload in --again --user ME")
    assert any(line.endswith("  as café.jpg") for line in told.out.splitlines())


@pytest.mark.parametrize(
    ("name", "filename"),
    [
        ("a\nb.jpg", "a_b.jpg"),
        ("a\\b.jpg", "a_b.jpg"),
        ("\x1b[31m.jpg", "_[31m.jpg"),
        ("\u202egpj.exe.jpg", "_gpj.exe.jpg"),
        ("aux.jpg", "_aux.jpg"),
        ("x" * 251 + ".jpg", None),
        (" .jpg", ".jpg"),
    ],
)
async def test_names_that_some_systems_refuse_are_sent_as_others(
    server: Server, pixdepot: Typist, name: str, filename: str | None
) -> None:
    write(pixdepot.directory, f"in/{name}")
    (printed,) = await pixdepot.told("upload in --user ME")
    assert printed["filename"] == filename
    assert [each["filename"] for each in await images(server, pixdepot.user)] == [filename or name]


async def test_people_are_told_in_lines(pixdepot: Typist) -> None:
    write(pixdepot.directory, "a.jpg")
    finished = await pixdepot("upload a.jpg missing.jpg --user ME --at-once 1")
    uploaded, failed = (line.split(maxsplit=2) for line in finished.out.splitlines())
    assert uploaded[:2] == ["uploaded", "a.jpg"]
    assert failed == ["failed", "missing.jpg", "No such file or directory"]


async def test_who_holds_a_token_uploads_as_whom_it_names(tmp_path: Path) -> None:
    async with running_issuer() as issuer:
        settings = {f"PIXDEPOT_{name.upper()}": value for name, value in issuer.settings.items()}
        async with serving(tmp_path, **settings) as server:
            ada, grace = (
                Typist(tmp_path, server.url, user, {"PIXDEPOT_TOKEN": issuer.token(user)})
                for user in ("ada", "grace")
            )
            write(tmp_path, "a.jpg")
            for pixdepot, outcome in ((ada, "uploaded"), (grace, "uploaded"), (ada, "there")):
                printed = await pixdepot.told("upload a.jpg --visibility public")
                assert outcomes(printed) == {"a.jpg": outcome}
            assert [each["user_id"] for each in await ada.told("ls --user ada")] == ["ada"]
            refused = await ada("ls", PIXDEPOT_TOKEN="x.y.z")
            assert refused.code == 1
            assert "401 unauthorized" in refused.error


async def test_who_says_nothing_uploads_as_whoever_is_logged_in(server: Server, pixdepot: Typist) -> None:
    write(pixdepot.directory, "a.jpg")
    (printed,) = documents(await pixdepot("upload a.jpg --json", LOGNAME=pixdepot.user))
    assert [each["image_id"] for each in await images(server, pixdepot.user)] == [printed["image_id"]]


async def test_on_a_terminal_bars_are_drawn_and_elsewhere_none(pixdepot: Typist) -> None:
    write(pixdepot.directory, "in/a.jpg", "in/b.jpg")
    code, shown = await pixdepot.on_terminal("upload in --user ME")
    assert code == 0
    for told in ("All", "a.jpg", "━", "2 uploaded, 0 already stored, 0 failed", "\x1b["):
        assert told in shown
    code, shown = await pixdepot.on_terminal("upload in --user ME --json")
    assert shown.count('"outcome": "there"') == 2
    finished = await pixdepot("upload in --user ME --again")
    assert "━" not in finished.out + finished.error
    assert "\x1b" not in finished.out + finished.error


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        ("upload", 2, "Missing argument 'PATH...'"),
        ("upload a.jpg --at-once 0", 2, "'--at-once'"),
        ("upload a.jpg --url nowhere", 2, "http or https URL"),
        ("upload a.jpg --token not.a-token", 2, "set it with --user"),
        ("upload a.jpg --url http://127.0.0.1:9", 1, "127.0.0.1 cannot be reached"),
    ],
)
async def test_what_cannot_be_meant_or_reached_is_told(pixdepot: Typist, line: str, code: int, told: str) -> None:
    write(pixdepot.directory, "a.jpg")
    finished = await pixdepot(line)
    assert finished.code == code
    assert told in finished.error
    assert finished.out == ""


async def test_ctrl_c_ends_it_at_once(server: Server, pixdepot: Typist) -> None:
    # More than it sends while this process, on a busy machine, comes to read a line and send a signal.
    write(pixdepot.directory, *(f"in/{number}.jpg" for number in range(1000)))
    command = (PIXDEPOT, "upload", "in", "--user", pixdepot.user, "--at-once", "1")
    interrupted = await start(pixdepot.directory, *command, PIXDEPOT_URL=server.url)
    assert interrupted.stdout
    await interrupted.stdout.readline()
    interrupted.send_signal(2)
    assert await asyncio.wait_for(interrupted.wait(), 10) == 1
    assert "Traceback" not in (pixdepot.directory / "stderr.log").read_text()
