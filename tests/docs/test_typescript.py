"""The page on TypeScript: what it lets a reader type makes a client that compiles strictly, and uploads."""

import asyncio
import re
from pathlib import Path

import pytest

from tests import npm
from tests.api.client import DESCRIPTION
from tests.api.conftest import server_on_local
from tests.docs.pages import about, runs, typed
from tests.pictures import picture
from tests.process.servers import run

PAGE = "docs/typescript.md"
QUIET = {"NPM_CONFIG_UPDATE_NOTIFIER": "false", "NPM_CONFIG_OFFLINE": "true"}
# What somebody might write, and what the compiler says to it.
SLIPS = {
    "file_size: picture.length": ('file_size: "large"', "Type 'string' is not assignable to type 'number'"),
    '"/uploads/{image_id}/complete"': ('"/uploads/{image_id}/finish"', "is not assignable to parameter of type"),
    "metadata.width": ("metadata.widht", "Property 'widht' does not exist"),
    "image.url": ("image.url.href", "Property 'href' does not exist on type 'string'"),
}


def install() -> Path:
    """Return the folder of what the page installs; the first call on a machine does so (some seconds)."""
    (command,) = [line for block in about(PAGE, "npm install") for line in block.lines if "npm install" in line]
    packages = command.split()[2:]
    return npm.installed("-".join(packages[1].split("@")), "typescript/bin/tsc", *packages) / "node_modules"


@pytest.fixture
async def workshop(tmp_path: Path) -> Path:
    """Return a folder where the packages are installed, with the page's program in it."""
    (tmp_path / "node_modules").symlink_to(await asyncio.to_thread(install))
    (program,) = about(PAGE, "createClient", language="ts")
    (tmp_path / "upload.mts").write_text(program.text)
    (tmp_path / "photo.jpg").write_bytes(picture(size=(300, 200), noise=True))
    return tmp_path


@runs(PAGE, "npx")
async def test_a_client_is_made_and_uploads(script: str, workshop: Path) -> None:
    commands = "\n".join(line for line in script.splitlines() if not line.startswith("npm install"))
    async with server_on_local(workshop / "data") as api:
        finished = await typed(commands.replace("http://127.0.0.1:8080", api.base_url), workshop, **QUIET)
        (image,) = (await api.get("/images?user_id=ada&tags=typed")).json["images"]
        data = (await api.get(f"/images/{image['image_id']}?download=true")).body
    assert finished.out.splitlines()[-2:] == ["From TypeScript, 300 x 200", image["url"]]
    assert data == (workshop / "photo.jpg").read_bytes()


@runs(PAGE, "createClient", language="ts")
async def test_what_the_api_does_not_have_does_not_compile(script: str, workshop: Path) -> None:
    for right, (wrong, _) in SLIPS.items():
        assert right in script
        script = script.replace(right, wrong)
    (workshop / "upload.mts").write_text(script)
    commands = [line for block in about(PAGE, "npx") for line in block.lines if line.startswith("npx")]
    generate, compiles = (re.sub(r"http\S+", str(DESCRIPTION), line) for line in commands)
    await typed(generate, workshop, **QUIET)
    refused = await run(*compiles.split(), directory=workshop, within=240, **QUIET)
    assert refused.code != 0
    assert [said for _, said in SLIPS.values() if said not in refused.out] == []
