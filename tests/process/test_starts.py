"""Starts and commands that cannot reach AWS, or may not: a line that names the setting and the remedy."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from bootstrap.emulator import Emulator
from bootstrap.policy import service_policy
from service.domain.model import GRACE, Details, Expected, Upload, now
from service.runtime import open_service
from tests.aws.stand_in import Account, new_account, opened_in
from tests.process.servers import PIXDEPOT, Finished, run, serving

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
OFFLINE = {"AWS_EC2_METADATA_DISABLED": "true"}
COMMANDS = ["serve --port 0", "sweep", "reconcile --dry-run", "recover --dry-run", "reindex", "variants", "doctor"]
COMMANDS += ["bootstrap status", "bootstrap up", "migrate --to local --data elsewhere"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"AWS_REGION": "eu-central-1"}, "No AWS credentials were found: set AWS_ACCESS_KEY_ID"),
        (KEYS, "No AWS Region is set: set AWS_REGION"),
    ],
    ids=["no credentials", "no Region"],
)
async def test_what_the_sdk_lacks_is_told_in_a_line_and_nothing_starts(
    tmp_path: Path, command: str, variables: dict[str, str], told: str
) -> None:
    chosen = {"PIXDEPOT_BACKEND": "aws", **OFFLINE, **variables}
    refused = await run(PIXDEPOT, *command.split(), directory=tmp_path, **chosen)
    assert (refused.code, refused.out, refused.error.count("\n")) == (1, "", 1), refused
    assert refused.error.startswith(f"Error: {told}")


async def test_aws_region_alone_is_a_region(account: Account, tmp_path: Path) -> None:
    variables = {**found(account), "AWS_DEFAULT_REGION": "", "AWS_REGION": account.emulator.region}
    done = await run(PIXDEPOT, "sweep", directory=tmp_path, **variables)
    assert done.code == 0, done


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, ["The storage is unavailable", "http://127.0.0.1:9"]),
        ({"PIXDEPOT_S3_ENDPOINT_URL": "http://127.0.0.1:9"}, ["The storage is", "PIXDEPOT_S3_ENDPOINT_URL"]),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9"}, ["The database is unavailable", "AWS_ENDPOINT_URL"]),
        ({"PIXDEPOT_BUCKET": "elsewhere"}, ["The storage is unavailable", "AccessDenied"]),
        ({"PIXDEPOT_TABLE": "elsewhere"}, ["The database is unavailable", "AccessDenied"]),
    ],
)
async def test_a_server_tells_what_does_not_work_before_it_listens_and_starts(
    account: Account, tmp_path: Path, variables: dict[str, str], told: list[str]
) -> None:
    async with serving(tmp_path, **{**found(account), **variables}) as server:
        (line,) = [json.loads(line) for line in server.log.splitlines() if "is unavailable" in line]
        assert all(words in line["message"] for words in told), line
        assert "exception" not in line
        assert (await server.api.get("/health")).status == 200
        assert (await server.api.get("/health/ready")).status == 503


async def test_a_server_that_finds_everything_says_nothing_of_it(account: Account, tmp_path: Path) -> None:
    async with serving(tmp_path, **found(account)) as server:
        assert server.log == ""


def found(account: Account) -> dict[str, str]:
    """Return what a command needs to find an account."""
    return {
        "AWS_ENDPOINT_URL": account.emulator.endpoint_url,
        "AWS_ACCESS_KEY_ID": account.key.access_key,
        "AWS_SECRET_ACCESS_KEY": account.key.secret_key,
        "AWS_DEFAULT_REGION": account.emulator.region,
        **account.settings.environment(),
    }


# ---------------------------------------------------------------- what is not allowed


def without(policy: dict[str, Any], *actions: str) -> dict[str, Any]:
    """Return a policy without these actions."""
    statements = []
    for each in policy["Statement"]:
        kept = [each["Action"]] if isinstance(each["Action"], str) else each["Action"]
        statements.append({**each, "Action": [action for action in kept if action not in actions]})
    return {**policy, "Statement": [each for each in statements if each["Action"]]}


async def restricted(emulator: Emulator, account: Account, *actions: str) -> dict[str, str]:
    """Return the environment of a user who may do all that the service needs but these actions."""
    key = await emulator.create_user(without(service_policy(account.settings), *actions))
    keys = {"AWS_ACCESS_KEY_ID": key.access_key, "AWS_SECRET_ACCESS_KEY": key.secret_key}
    return {**found(account), **keys}


async def test_a_sweep_that_may_not_delete_tells_the_permission_once(emulator: Emulator, tmp_path: Path) -> None:
    async with new_account(emulator) as account:
        async with opened_in(account.environment(), open_service(account.settings)) as runtime:
            for _ in range(3):  # each due already
                promised = Expected("PUT", "image/png", 1)
                upload = Upload(str(uuid4()), Details("ada", "A photo", "a.png"), promised, now(), now() - GRACE)
                await runtime.api.services.depot.records.begin(upload)
        denied = await restricted(emulator, account, "s3:DeleteObject")
        swept = await run(PIXDEPOT, "sweep", directory=tmp_path, **denied)
    assert (swept.code, swept.out) == (1, "0 removed, 3 failed\n")
    assert swept.error.count("sweep could not remove 3 uploads: ") == 1
    told(swept, "DeleteObject was refused: AccessDenied", "the policy in docs/aws.md")


@pytest.mark.parametrize("action", ["s3:GetObject", "dynamodb:GetItem"])
@pytest.mark.parametrize("command", ["sweep", "reconcile --dry-run", "recover", "variants"])
async def test_a_command_that_may_not_tells_the_permission(
    emulator: Emulator, account: Account, tmp_path: Path, command: str, action: str
) -> None:
    ended = await run(PIXDEPOT, *command.split(), directory=tmp_path, **await restricted(emulator, account, action))
    assert ended.code == 1
    told(
        ended, f"was refused: AccessDenied{'Exception' * action.startswith('dynamodb')} for {action}", "docs/aws.md"
    )


@pytest.mark.parametrize("command", ["up", "status", "down --yes"])
async def test_bootstrap_that_may_not_tells_the_permission(
    emulator: Emulator, account: Account, tmp_path: Path, command: str
) -> None:
    denied = await restricted(emulator, account, "s3:ListBucket")
    ended = await run(PIXDEPOT, "bootstrap", *command.split(), directory=tmp_path, **denied)
    assert ended.code == 1
    assert ended.error.count("\n") == 1
    told(ended, "was refused: ")


def told(ended: Finished, *words: str) -> None:
    """Assert that a command said all of this, and has shown nobody a traceback."""
    assert "Traceback" not in ended.error, ended.error
    assert all(each in ended.error for each in words), ended.error
