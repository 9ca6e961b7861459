"""The README's commands, word for word."""

import re
import tomllib
from pathlib import Path

from pixdepot.commands.serving import serve
from tests.docs.pages import ROOT, about, runs, typed
from tests.pictures import picture
from tests.process.servers import COMMANDS, serving

SET_UPS = [each.text.strip().split(" && ") for each in about("README.md", "pip install")]


@runs("README.md", "pip install")
def test_two_lines_set_up_with_what_the_project_has(script: str) -> None:
    """They are run, word for word, where a network is: test_newcomer.py types one, and `.ci/run` the other."""
    assert [commands[-1] for commands in SET_UPS] == [".venv/bin/pixdepot serve", ".venv/bin/pytest"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert (ROOT / "constraints.txt").exists()
    for make, install, _ in SET_UPS:
        assert make == "python3 -m venv .venv"
        asked = re.fullmatch(r"\.venv/bin/pip install -c constraints\.txt -e (?:\.|'\.\[(\w+)\]')", install)
        assert asked, install
        assert asked[1] in {None, *extras}


@runs("CONTRIBUTING.md", "pip install")
def test_contributors_set_up_as_the_readme_says(script: str) -> None:
    assert script.strip().split(" && ") == SET_UPS[1]


@runs("docs/quickstart.md", "pip install")
def test_the_quick_start_begins_as_the_readme_does(script: str) -> None:
    assert script.strip().split(" && ") == SET_UPS[0]


@runs("docs/quickstart.md", "listens on", language="text")
async def test_the_quick_start_shows_what_the_server_says(script: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        said = server.greeting.replace(str(server.data), "/home/you/pixdepot/pixdepot-data")
        assert said.replace(str(server.port), "8080").strip() == script


@runs("README.md", "async function upload", language="js")
def test_the_readme_has_the_ten_lines_that_the_page_on_browsers_has(script: str) -> None:
    """They are run by test_browser.py."""
    (same,) = about("docs/browser.md", "async function upload", language="js")
    assert script == same.text.rstrip("\n")


@runs("README.md", "localhost:8080")
async def test_all_that_is_typed_at_a_running_server_works(script: str, tmp_path: Path) -> None:
    photo = picture(size=(800, 600), noise=True)
    (tmp_path / "photo.jpg").write_bytes(photo)
    (tmp_path / ".venv").symlink_to(COMMANDS.parent)
    (tmp_path / ".curlrc").write_text("fail\n")  # a curl that prints an error must not pass
    assert {option.name: option.default for option in serve.params}["port"] == 8080
    command = f'exec {SET_UPS[0][-1]} "$@"'
    async with serving(tmp_path, "bash", "-euo", "pipefail", "-c", command, "bash") as server:
        script = script.replace("8080", str(server.port))
        assert script.count(f":{server.port}/") >= 10
        await typed(script, tmp_path)
    downloads = re.findall(r"--output (\S+)", script)
    assert downloads
    assert all((tmp_path / each).read_bytes() == photo for each in downloads)
