"""One execution environment, again and again: Lambda keeps it for hours, and never closes it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from bootstrap.processes import path_variable
from tests.aws.stand_in import Account
from tests.lambda_adapter.warm import WARM

ROOT = Path(__file__).parents[2]


def test_a_thousand_warm_invocations_leave_nothing_behind(account: Account) -> None:
    with account.environment():
        aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    environment = {**path_variable(), **aws, **account.settings.environment(), "PIXDEPOT_ALLOW_OPEN_AUTH": "1"}
    finished = subprocess.run(
        [sys.executable, "-m", "tests.lambda_adapter.warm"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    found = json.loads(finished.stdout.splitlines()[-1])
    assert found["statuses"] == [200, 201, 400, 404]
    assert found["memory"] < 50 * WARM  # bytes
    assert found["sockets"] <= 0
    assert "event loop is closed" not in finished.stderr.lower()
