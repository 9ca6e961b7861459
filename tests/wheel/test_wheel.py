"""The wheel has what it should and nothing else; installed with aiohttp alone, it gives a user a typed client."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.api.conftest import server_on_local
from tests.pictures import picture
from tests.process.servers import PATIENCE, run
from tests.wheel import pyright

ROOT = Path(__file__).parents[2]
SAMPLE = Path(__file__).with_name("sample.py")
PACKAGES = ("service", "lambda_adapter", "bootstrap", "pixdepot")


async def done(*command: str | Path, directory: Path) -> str:
    """Run a command that must succeed, away from the project; return what it printed."""
    finished = await run(*map(str, command), directory=directory, within=4 * PATIENCE)
    assert finished.code == 0, finished
    return finished.out


@pytest.fixture(scope="module")
async def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as any front end does, by what pyproject.toml says of it."""
    directory = tmp_path_factory.mktemp("wheel")
    await done(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", directory, ROOT, directory=directory
    )
    (made,) = directory.glob("*.whl")
    return made


@pytest.fixture(scope="module")
async def python(wheel: Path) -> Path:
    """Return the Python of an environment that has the wheel and aiohttp, and nothing else."""
    place = wheel.parent
    await done(sys.executable, "-m", "venv", "--without-pip", place / "venv", directory=place)
    made = place / "venv/bin/python"
    install = (sys.executable, "-m", "pip", "--python", made, "install", "--quiet")
    await done(*install, "-c", ROOT / "constraints.txt", "aiohttp", directory=place)
    await done(*install, "--no-deps", wheel, directory=place)
    return made


def test_it_has_every_file_of_its_packages_and_no_other(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    names = zipfile.ZipFile(wheel).namelist()
    ours = [name for name in names if ".dist-info/" not in name]
    assert sorted(ours) == sorted(tracked)
    assert {"pixdepot/py.typed", "pixdepot/client.py", "service/web/gallery/index.html"} <= set(ours)
    assert not [name for name in names if "test" in name or "benchmark" in name]
    assert wheel.stat().st_size < 2**20


async def test_a_user_s_script_runs_where_only_aiohttp_is_installed(python: Path, tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    for number, name in enumerate(("lake.jpg", "hill.jpg")):
        (tmp_path / name).write_bytes(picture(size=(400, 300), noise=True, seed=number))
    async with server_on_local(tmp_path / "data") as api:
        told = await done(python, SAMPLE, api.base_url, tmp_path, directory=tmp_path)
    assert "2 uploaded, 2 there" in told
    assert "2 deleted" in told
    assert "failed: the generator broke off" in told
    for name in ("lake.jpg", "hill.jpg"):
        assert (tmp_path / "copies" / name).read_bytes() == (tmp_path / name).read_bytes()
    packages = {each.name for each in python.parents[1].glob("lib/*/site-packages/*")}
    assert {"pixdepot", "aiohttp", "service"} <= packages
    assert packages.isdisjoint({"aioboto3", "marshmallow", "PIL", "click"})


async def test_mypy_and_pyright_find_what_is_wrong_in_a_user_s_script_and_nothing_else(
    python: Path, tmp_path: Path
) -> None:
    right, wrong = tmp_path / "sample.py", tmp_path / "wrong.py"
    right.write_text(SAMPLE.read_text())
    wrong.write_text(WRONG)
    lines = [number for number, line in enumerate(WRONG.splitlines(), 1) if line.endswith("# wrong")]
    assert len(lines) == 6
    for checker in (
        (sys.executable, "-m", "mypy", "--strict", "--config-file=", "--python-executable", str(python)),
        ("node", str(pyright.install()), "--pythonpath", str(python)),
    ):
        found = await run(*checker, "sample.py", "wrong.py", directory=tmp_path, within=4 * PATIENCE)
        errors = re.findall(r"(\w+\.py):(\d+).*? error: ", found.out)
        assert {(file, int(line)) for file, line in errors} == {("wrong.py", line) for line in lines}, found


WRONG = """# pyright: strict
import pixdepot

async def wrong(client: pixdepot.Client, image: pixdepot.Image) -> None:
    await client.upload(7)  # wrong
    await client.upload("a.jpg", visibility="hidden")  # wrong
    image.title = "other"  # wrong
    print(image.url)  # wrong
    async for each in client.images(page_size="all"):  # wrong
        print(each.created_at + 1)  # wrong
    async for result in client.upload_many(["a.jpg"]):
        assert result.image and result.image.title
"""
