"""`pixdepot emulator`: the original's stack in one command, kept across a clean stop."""

import re
import signal
import socket
from pathlib import Path

from tests.pictures import picture, sha256_of
from tests.process.servers import PIXDEPOT, Server, emulating, run

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
    assert re.search(rf"^Error: Port {taken} of 127.0.0.1 is taken", finished.error, re.MULTILINE)
