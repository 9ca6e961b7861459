"""Every shell command of the README, word for word."""

import re
import tomllib
from pathlib import Path

from pixdepot.commands.serving import serve
from tests.pictures import picture
from tests.process.servers import COMMANDS, run, serving

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
SET_UPS = [block.strip().split(" && ") for block in BLOCKS if "pip install" in block]
SESSION = "\n".join(block for block in BLOCKS if "pip install" not in block)


def test_two_lines_set_up_with_what_the_project_has() -> None:
    """They are run, word for word, where a network is: `.ci/run` begins with them."""
    assert [commands[-1] for commands in SET_UPS] == [".venv/bin/pixdepot serve", ".venv/bin/pytest"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert (ROOT / "constraints.txt").exists()
    for make, install, _ in SET_UPS:
        assert make == "python3 -m venv .venv"
        asked = re.fullmatch(r"\.venv/bin/pip install -c constraints\.txt -e (?:\.|'\.\[(\w+)\]')", install)
        assert asked, install
        assert asked[1] in {None, *extras}


async def test_all_that_is_typed_at_a_running_server_works(tmp_path: Path) -> None:
    photo = picture(size=(800, 600), noise=True)
    (tmp_path / "photo.jpg").write_bytes(photo)
    (tmp_path / ".venv").symlink_to(COMMANDS.parent)
    (tmp_path / ".curlrc").write_text("fail\n")  # a curl that prints an error must not pass
    assert {option.name: option.default for option in serve.params}["port"] == 8080
    command = f'exec {SET_UPS[0][-1]} "$@"'
    async with serving(tmp_path, "bash", "-euo", "pipefail", "-c", command, "bash") as server:
        typed = SESSION.replace("8080", str(server.port))
        assert typed.count(f":{server.port}/") >= 10
        finished = await run("bash", "-euxo", "pipefail", "-c", typed, directory=tmp_path)
    assert finished.code == 0, finished
    downloads = re.findall(r"--output (\S+)", typed)
    assert downloads
    assert all((tmp_path / each).read_bytes() == photo for each in downloads)
