"""checkov, which judges templates by rules of security, in an environment of its own."""

import asyncio
import json
from pathlib import Path

from bootstrap.processes import installed_python, path_variable

CHECKOV = "checkov==3.3.30"


def install() -> Path:
    """Return the Python that has it; the first call on a machine installs it (a minute)."""
    return installed_python(CHECKOV)


async def findings(template: Path, home: Path) -> set[tuple[str, str]]:
    """Return the rules that a CloudFormation template breaks, each with the resource that breaks it."""
    options = ("--framework", "cloudformation", "--quiet", "--compact", "--skip-download", "--output", "json")
    process = await asyncio.create_subprocess_exec(
        *(str(install()), "-m", "checkov.main", "--file", str(template), *options),
        env={**path_variable(), "HOME": str(home), "LOG_LEVEL": "ERROR", "BC_SKIP_MAPPING": "TRUE"},
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, error = await process.communicate()
    assert process.returncode in {0, 1}, error.decode()  # 1: there are findings
    report = json.loads(out)
    assert report["summary"]["passed"] > 0, report["summary"]
    assert report["summary"]["parsing_errors"] == 0
    return {(each["check_id"], each["resource"]) for each in report["results"]["failed_checks"]}
