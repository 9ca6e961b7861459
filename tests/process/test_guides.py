"""The shell commands of the guides in docs/, word for word, where they end by themselves."""

import re
from pathlib import Path

import platformdirs

from bootstrap.emulator import Emulator
from tests.aws.on_lambda import package
from tests.process.servers import Finished, Server, run

DOCS = Path(__file__).parents[2] / "docs"
UNTIL_STOPPED = ("pixdepot serve", "pixdepot emulator", "docker compose up")  # other tests run these


def typed(guide: str, *about: str) -> str:
    """Return the commands of a guide's blocks that are about all of this."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (DOCS / guide).read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks if all(each in block for each in about) for line in block.splitlines()]
    kept = [line for line in lines if not line.startswith(UNTIL_STOPPED)]
    assert kept, f"{guide} says nothing of {about}"
    return "\n".join(kept)


async def run_typed(script: str, directory: Path, **settings: str) -> Finished:
    finished = await run("bash", "-euxo", "pipefail", "-c", script, directory=directory, **settings)
    assert finished.code == 0, finished
    return finished


def cached() -> dict[str, str]:
    """Return what lets a command find what was installed once."""
    package()
    return {"XDG_CACHE_HOME": str(platformdirs.user_cache_path())}


async def test_what_the_page_on_aws_says_sets_the_backend_up(emulator: Emulator, tmp_path: Path) -> None:
    script = typed("aws.md", "pixdepot bootstrap up").replace("my-pictures", "pictures-of-the-aws-page")
    finished = await run_typed(script, tmp_path, **emulator.sdk_environment)
    assert "FAILED" not in finished.out
    assert "made bucket pictures-of-the-aws-page" in finished.out


async def test_what_the_page_on_lambda_says_deploys_the_functions(emulator: Emulator, tmp_path: Path) -> None:
    script = typed("lambda.md", "bootstrap up --lambda").replace("my-pictures", "pictures-of-the-lambda-page")
    finished = await run_typed(script, tmp_path, **emulator.sdk_environment, **cached())
    assert "The API is at " in finished.out
    assert not re.search("^(missing|differs)", finished.out, re.MULTILINE)


async def test_the_urls_on_the_page_on_lambda_are_those_of_the_emulator(on_lambda: Server, tmp_path: Path) -> None:
    script = typed("lambda.md", "_user_request_").replace(":4566", f":{on_lambda.port}")
    finished = await run_typed(script, tmp_path)
    assert finished.out.count('"images": ') == 2


async def test_the_page_on_lambda_makes_what_sam_takes(tmp_path: Path) -> None:
    await run_typed(typed("lambda.md", "bootstrap package"), tmp_path, **cached())
    assert (tmp_path / "template.yaml").read_text().startswith("# The whole deployment on AWS")
    assert (tmp_path / "pixdepot.zip").stat().st_size > 1_000_000
