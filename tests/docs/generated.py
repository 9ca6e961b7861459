"""The parts of docs/ that are generated; test_generated.py fails while they are stale."""

import json
import re
from pathlib import Path

from bootstrap.policy import service_policy
from service.settings import Settings, described
from tests.docs.costs import tables
from tests.docs.reference import api

DOCS = Path(__file__).parents[2] / "docs"
CONFIGURATION, API, AWS, COSTS = (DOCS / f"{name}.md" for name in ("configuration", "api", "aws", "costs"))

_INTRODUCTION = """# Configure

After this page you know every setting. Settings are environment variables. The server reads them once, at startup.
An empty value counts as not set.

The server refuses a name that begins with `PIXDEPOT_` and is not in this table, so that a typing error is not
ignored. It ignores variables that Kubernetes injects for a Service called `pixdepot` or `pixdepot-...`, such as
`PIXDEPOT_PORT=tcp://10.96.0.17:8080`. `pixdepot serve --help` prints the same list.

| variable | default | meaning |
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
    API.write_text(api())
    AWS.write_text(aws())
    COSTS.write_text(costs())
