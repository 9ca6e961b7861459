"""The parts of docs/ that are generated; test_generated.py fails while they are stale."""

import json
import re
from pathlib import Path

from bootstrap.policy import service_policy
from service.settings import Settings, described
from tests.docs.costs import tables

DOCS = Path(__file__).parents[2] / "docs"
CONFIGURATION, AWS, COSTS = DOCS / "configuration.md", DOCS / "aws.md", DOCS / "costs.md"

_INTRODUCTION = """# Configuration

Settings are environment variables, read once at start. An empty value counts as not set; a name that begins
with `PIXDEPOT_` and is not listed here is refused, so that a slip of the pen is not lost. `pixdepot serve
--help` prints the same list.

| variable | default | what it does |
| --- | --- | --- |
"""


def configuration() -> str:
    """Return docs/configuration.md as it should be."""
    rows = (f"| `{name}` | {f'`{default}`' if default else ''} | {doc} |" for name, default, doc in described())
    return _INTRODUCTION + "\n".join(rows) + "\n"


def aws() -> str:
    """Return docs/aws.md as it should be: with the policy that the tests run under."""
    policy = json.dumps(service_policy(Settings()), indent=2)
    return re.sub(r"(?s)(?<=```json\n).*?(?=\n```)", lambda _: policy, AWS.read_text())


def costs() -> str:
    """Return docs/costs.md as it should be: with what the prices make of what operations ask for."""
    page = COSTS.read_text()
    for heading, table in tables().items():
        page = re.sub(rf"(?s)(?<=\n## {heading}\n)(.*?)\n\|.*?\|(?=\n(?:\n|$))", rf"\1\n{table}", page, count=1)
    return page


def write() -> None:
    """Write it all."""
    CONFIGURATION.write_text(configuration())
    AWS.write_text(aws())
    COSTS.write_text(costs())
