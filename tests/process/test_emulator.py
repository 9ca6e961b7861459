"""`pixdepot emulator`: the original's stack in one command, kept across a clean stop."""

import asyncio
import re
import signal
import socket
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import platformdirs

from bootstrap.processes import free_port
from tests.pictures import picture, sha256_of
from tests.process.servers import PIXDEPOT, Server, emulating, run, serving
from tests.process.typist import Typist, left_on_screen

PHOTO = picture(size=(400, 300), noise=True)


async def stopped_by_ctrl_c(emulator: Server) -> None:
    emulator.process.send_signal(signal.SIGINT)
    assert await emulator.ended() == 0


async def test_it_says_where_the_api_is_and_gives_a_curl_line_that_works(on_lambda: Server, tmp_path: Path) -> None:
    assert re.fullmatch(r"http://localhost:\d+/restapis/pixdepot/dev/_user_request_", on_lambda.url)
    line = re.search(r"^Try: (curl .+)$", on_lambda.greeting, re.MULTILINE)
    assert line
    finished = await run("bash", "-c", f"{line[1]} -sS -f", directory=tmp_path)
    assert finished.code == 0
    assert '"images":' in finished.out


async def test_nothing_but_this_machine_reaches_it(on_lambda: Server) -> None:
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    addresses = {line.split()[1] for line in table if line.split()[3] == "0A"}  # those that listen
    assert {each.partition(":")[0] for each in addresses if each.endswith(f":{on_lambda.port:04X}")} == {
        f"{int.from_bytes(socket.inet_aton('127.0.0.1'), 'little'):08X}"
    }


async def test_what_it_keeps_is_there_after_ctrl_c_and_a_new_start(tmp_path: Path) -> None:
    async with emulating(tmp_path) as emulator:
        metadata = await emulator.api.uploaded(PHOTO, user_id="ada")
        await stopped_by_ctrl_c(emulator)
    async with emulating(tmp_path) as emulator:
        listed = await emulator.api.page(user_id="ada")
        assert [each["image_id"] for each in listed["images"]] == [metadata["image_id"]]
        downloaded = await emulator.api.download(metadata["image_id"])
        assert sha256_of(downloaded.body) == metadata["sha256"] == sha256_of(PHOTO)
        await stopped_by_ctrl_c(emulator)


async def test_a_port_that_is_taken_is_told_in_a_line(on_lambda: Server, tmp_path: Path) -> None:
    taken = str(on_lambda.port)
    finished = await run(PIXDEPOT, "emulator", "--port", taken, "--data", "data", directory=tmp_path)
    assert finished.code == 1
    assert re.search(rf"^Error: Port {taken} of 127.0.0.1 is in use", finished.error, re.MULTILINE)


# ---------------------------------------------------------------- from another shell


async def test_what_it_prints_works_when_it_is_pasted_and_so_does_the_gallery_on_any_port(
    on_lambda: Server, tmp_path: Path
) -> None:
    """In a shell that has been used for something else."""
    pasted = "\n".join(on_lambda.greeting.splitlines()[3:])
    used = {"AWS_PROFILE": "nobody", "AWS_SESSION_TOKEN": "old", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}
    status = await run("bash", "-euc", f"{pasted}\npixdepot bootstrap status", directory=tmp_path, **used)
    assert (status.code, status.out.count("ok ")) == (0, status.out.count("\n"))
    serve = ("bash", "-euc", f'{pasted}\nexec pixdepot serve "$@"', "bash")
    async with serving(tmp_path, *serve, **used) as server:
        begun = await server.api.begun(PHOTO, user_id="paster")
        link = begun["upload"]
        for name in ("localhost", "127.0.0.1"):
            page = f"http://{name}:{urlsplit(server.url).port}"
            asked = {
                "Origin": page,
                "Access-Control-Request-Method": "PUT",
                "Access-Control-Request-Headers": ",".join(sorted(each.lower() for each in link["headers"])),
            }
            allowed = await server.api.fetch(link["url"], "OPTIONS", headers=asked)
            assert (allowed.status, allowed.headers["Access-Control-Allow-Origin"]) == (200, page)
            answer = await on_lambda.api.get("/images", headers={"Origin": page})
            assert answer.headers["Access-Control-Allow-Origin"] == page
        assert (await server.api.transfer(link, PHOTO)).status == 200
        assert (await server.api.complete(begun["image_id"])).status == 200
    assert (await on_lambda.api.page(user_id="paster"))["count"] == 1


# ---------------------------------------------------------------- what it takes


def environments(data: Path) -> list[Path]:
    """Return the directories that functions are unpacked to."""
    return [*(data / "tmp").glob("ministack-lambda-*")]


async def test_it_keeps_four_environments_at_most_and_a_restart_takes_20_seconds_at_most(tmp_path: Path) -> None:
    async with emulating(tmp_path) as emulator:
        answers = await asyncio.gather(*(emulator.api.page(user_id=f"user-{n}") for n in range(40)))
        assert len(answers) == 40
        used = environments(emulator.data)
        assert 1 <= len(used) <= 4
        await stopped_by_ctrl_c(emulator)
    begun = monotonic()
    async with emulating(tmp_path) as emulator:
        assert monotonic() - begun < 20
        assert not set(used) & set(environments(emulator.data))
        async with asyncio.timeout(20):
            while (emulator.data / "tmp-left").exists():  # noqa: ASYNC110 - it goes in the background
                await asyncio.sleep(0.1)
        await stopped_by_ctrl_c(emulator)


async def test_on_a_terminal_a_start_shows_how_far_it_is(on_lambda: Server, tmp_path: Path) -> None:
    cache = {"XDG_CACHE_HOME": str(platformdirs.user_cache_path())}
    typist = Typist(tmp_path, "", "", cache)
    code, shown = await typist.on_terminal(f"emulator --port {free_port()}", stop_at="export PIXDEPOT_BACKEND")
    assert code == 0
    assert "━" in shown
    assert "package the functions" in shown
    assert "bucket pixdepot" in shown
    lines = left_on_screen(shown.encode(), columns=100)
    assert lines[0].startswith("The API is at http://localhost:")
    assert not [each for each in lines if "━" in each]
