"""docs/stores.md: its commands on a store that lacks settings, and its table as the tests find it."""

from pathlib import Path

from bootstrap.emulator import Emulator
from tests.aws.test_enforcement import EVERYTHING, NOT
from tests.docs.pages import ROOT, runs, typed
from tests.servers.rgw import Gateway

PAGE = "docs/stores.md"


@runs(PAGE, "pixdepot bootstrap status")
async def test_the_commands_work_on_seaweedfs(
    script: str, emulator: Emulator, seaweedfs: Gateway, tmp_path: Path
) -> None:
    names = {"BUCKET": "stores-page", "TABLE": "stores-page-images", "INDEX_TABLE": "stores-page-index"}
    variables = {
        **{f"PIXDEPOT_{name}": value for name, value in names.items()},
        **emulator.sdk_environment,
        "PIXDEPOT_BACKEND": "aws",
        "AWS_ENDPOINT_URL_S3": seaweedfs.endpoint_url,
        "AWS_ACCESS_KEY_ID": seaweedfs.key.access_key,
        "AWS_SECRET_ACCESS_KEY": seaweedfs.key.secret_key,
    }
    told = (await typed(script, tmp_path, **variables)).out
    assert "not supported here bucket's encryption (writes fail with it" in told
    assert "no     enforces: form with an unsigned field" in told
    assert "FAILED" not in told


def test_the_table_is_what_the_tests_find() -> None:
    lines = [line.strip("| \n").split(" | ") for line in (ROOT / PAGE).read_text().splitlines()]
    (head,) = [line for line in lines if line[0] == "checked"]
    rows = {line[0]: line[1:] for line in lines if line[0] in EVERYTHING}
    assert list(rows) == EVERYTHING
    found = {
        store.lower(): {name for name, cells in rows.items() if cells[at] == "no"}
        for at, store in enumerate(head[1:])
    }
    assert found == NOT
