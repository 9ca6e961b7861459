"""What pages let a reader type that is about more than a server."""

import json
import re
import shlex
from pathlib import Path

import platformdirs

from bootstrap.emulator import Emulator
from service.domain.model import Details
from service.runtime import open_service
from service.settings import Settings
from tests.aws.on_lambda import package
from tests.docs.pages import about, runs, typed
from tests.faults.__main__ import main as break_on_purpose
from tests.issuer import running_issuer
from tests.pictures import picture
from tests.process.servers import Server, serving


def cached() -> dict[str, str]:
    """Return what lets a command find what was installed once."""
    package()
    return {"XDG_CACHE_HOME": str(platformdirs.user_cache_path())}


@runs("docs/aws.md", "PIXDEPOT_BACKEND=aws", "pixdepot bootstrap up")
async def test_what_the_page_on_aws_says_sets_the_backend_up(
    script: str, emulator: Emulator, tmp_path: Path
) -> None:
    script = script.replace("my-pictures", "pictures-of-the-aws-page")
    finished = await typed(script, tmp_path, **emulator.sdk_environment)
    assert "FAILED" not in finished.out
    assert "set up bucket pictures-of-the-aws-page" in finished.out


def beside_sqlite(script: str, emulator: Emulator) -> str:
    """Return what the page says, for the emulator's S3."""
    script = script.replace("my-pictures", "pictures-beside-sqlite").replace(
        "https://s3.example", emulator.endpoint_url
    )
    return script.replace("my-key-id", emulator.root.access_key).replace("my-secret-key", emulator.root.secret_key)


@runs("docs/stores.md", "PIXDEPOT_STORAGE=s3", "pixdepot bootstrap up")
async def test_what_the_page_says_of_s3_beside_sqlite_sets_it_up(
    script: str, emulator: Emulator, tmp_path: Path
) -> None:
    finished = await typed(beside_sqlite(script, emulator), tmp_path)
    assert "FAILED" not in finished.out
    assert "set up bucket pictures-beside-sqlite" in finished.out
    assert "table" not in finished.out


@runs("docs/migrate.md", "pixdepot migrate --to s3")
async def test_what_the_page_on_migrating_says_moves_the_objects_alone(
    script: str, emulator: Emulator, tmp_path: Path
) -> None:
    async with open_service(Settings(data_dir=tmp_path / "pixdepot-data")) as runtime:
        await runtime.api.services.images.upload(Details("ada", "A photo", "photo.jpg"), picture())
    (page,) = about("docs/stores.md", "PIXDEPOT_STORAGE=s3", "pixdepot bootstrap up")
    exports = [line for line in page.lines if line.startswith("export") or "bootstrap" in line]
    script = "\n".join([*exports, "unset PIXDEPOT_STORAGE", script])
    finished = await typed(beside_sqlite(script, emulator).replace("beside-sqlite", "that-moved"), tmp_path)
    assert "1 images copied" in finished.out


@runs("docs/cli.md", "completion", language="bash")
async def test_what_the_page_on_the_command_line_says_lets_bash_complete(script: str, tmp_path: Path) -> None:
    finished = await typed(f"{script}\ncomplete -p pixdepot", tmp_path)
    assert "_pixdepot_completion pixdepot" in finished.out


@runs("docs/migrate.md", "--data pixdepot-data")
async def test_what_the_page_on_migrating_says_moves_everything(
    script: str, emulator: Emulator, tmp_path: Path
) -> None:
    async with open_service(Settings(data_dir=tmp_path / "pixdepot-data")) as runtime:
        await runtime.api.services.images.upload(Details("ada", "A photo", "photo.jpg"), picture())
    script = script.replace("my-pictures", "pictures-of-the-page-on-migrating")
    names = {"PIXDEPOT_TABLE": "migrate-page-table", "PIXDEPOT_INDEX_TABLE": "migrate-page-index"}
    finished = await typed(script, tmp_path, **names, **emulator.sdk_environment)
    assert "FAILED" not in finished.out
    copied = [line.split(" images copied")[0] for line in finished.out.splitlines() if "images copied" in line]
    assert copied == ["1", "0", "0"]  # there, there again, and back


@runs("docs/lambda.md", "AWS_ENDPOINT_URL=http://localhost:4566")
async def test_what_the_page_on_lambda_says_of_an_emulator_deploys_to_it(
    script: str, emulator: Emulator, tmp_path: Path
) -> None:
    names = {f"PIXDEPOT_{name}": f"emulator-page-{name[:5].lower()}" for name in ("BUCKET", "TABLE", "INDEX_TABLE")}
    script = script.replace("http://localhost:4566", emulator.endpoint_url)
    finished = await typed(script, tmp_path, **names, **cached())
    assert f"The API is at {emulator.endpoint_url}/restapis/" in finished.out


@runs("docs/lambda.md", "bootstrap status --lambda")
async def test_what_the_page_on_lambda_says_deploys_the_functions(
    script: str, emulator: Emulator, tmp_path: Path
) -> None:
    script = script.replace("my-pictures", "pictures-of-the-lambda-page")
    finished = await typed(script, tmp_path, **emulator.sdk_environment, **cached())
    assert "The API is at " in finished.out
    assert not re.search("^(missing|differs|not ready|failed)", finished.out, re.MULTILINE)


@runs("docs/lambda.md", "_user_request_")
async def test_the_urls_on_the_page_on_lambda_are_those_of_the_emulator(
    script: str, on_lambda: Server, tmp_path: Path
) -> None:
    finished = await typed(script.replace(":4566", f":{on_lambda.port}"), tmp_path)
    assert finished.out.count('"images":') == 2


@runs("docs/lists.md", "pixdepot reindex")
async def test_what_the_page_on_lists_says_takes_a_table_over(
    script: str, emulator: Emulator, tmp_path: Path
) -> None:
    names = {f"PIXDEPOT_{name}": f"lists-page-{name[:5].lower()}" for name in ("BUCKET", "TABLE", "INDEX_TABLE")}
    finished = await typed(script, tmp_path, PIXDEPOT_BACKEND="aws", **names, **emulator.sdk_environment)
    assert "0 images indexed, 0 imported, 0 rejected" in finished.out


@runs("docs/identity.md")
async def test_what_the_page_on_identity_says_lets_those_in_who_have_a_token(script: str, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(picture())
    exports = "\n".join(line for line in script.splitlines() if line.startswith("export"))
    request = script.removeprefix(exports)
    audience = "https://images.example"
    assert f"AUDIENCE={audience}" in exports
    async with running_issuer() as issuer:
        for name, value in {".well-known/jwks.json": "jwks", "https://example.eu.auth0.com": issuer.url}.items():
            assert name in exports
            exports = exports.replace(name, value)
        started = ("bash", "-euc", f'{exports}\nexec pixdepot serve "$@"', "bash")
        async with serving(tmp_path, *started) as server:
            token = issuer.token("ada", aud=audience)
            finished = await typed(request.replace(audience, server.url), tmp_path, TOKEN=token)
    assert json.loads(finished.out)["metadata"]["user_id"] == "ada"


@runs("CONTRIBUTING.md", "tests.faults")
def test_what_is_said_of_breaking_it_on_purpose_can_be_asked_for(script: str) -> None:
    """All of it takes two hours; its short form is what tests/faults runs."""
    for line in script.splitlines():
        python, *module, arguments = line.split(maxsplit=3)
        assert [python, *module] == [".venv/bin/python", "-m", "tests.faults"]
        break_on_purpose.make_context("tests.faults", shlex.split(arguments))
