"""The page on metrics, held against what a server tells."""

import re
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from pixdepot.commands.serving import serve
from tests.api.conftest import server_on_local
from tests.docs.pages import ROOT, about, runs

PAGE = "docs/metrics.md"
TOKEN = "a-token-of-24-characters"


def listed() -> set[str]:
    """Return the metrics that the page has."""
    return set(re.findall(r"^\| `(pixdepot_\w+)` \|", (ROOT / PAGE).read_text(), re.MULTILINE))


@runs(PAGE, "scrape_configs", language="yaml")
async def test_prometheus_may_read_it_as_the_page_says(script: str, tmp_path: Path) -> None:
    (job,) = yaml.safe_load(script)["scrape_configs"]
    assert job.keys() == {"job_name", "authorization", "static_configs"}  # all else as Prometheus has it by default
    assert job["authorization"].keys() == {"credentials_file"}
    defaults = {option.name: option.default for option in serve.params}
    assert job["static_configs"] == [{"targets": [f"{defaults['host']}:{defaults['port']}"]}]
    async with server_on_local(tmp_path, metrics_token=TOKEN) as api:
        answer = await api.fetch(f"{api.base_url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status == 200


async def test_the_page_lists_the_metrics_there_are(tmp_path: Path) -> None:
    async with server_on_local(tmp_path) as api:
        text = (await api.fetch(f"{api.base_url}/metrics")).body.decode()
    told = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in text_string_to_metric_families(text)
        if family.name.startswith("pixdepot_")
    }
    assert told == listed()


@runs("docs/operations.md", "alert:", language="yaml")
def test_the_alarms_are_of_metrics_there_are(script: str) -> None:
    (group,) = yaml.safe_load(script)["groups"]
    (scraped,) = yaml.safe_load(about(PAGE, "scrape_configs", language="yaml")[0].text)["scrape_configs"]
    asked = {name for rule in group["rules"] for name in re.findall(r"\bpixdepot_\w+", rule["expr"])}
    assert asked
    assert asked <= listed()
    jobs = {job for rule in group["rules"] for job in re.findall(r'job="(\w+)"', rule["expr"])}
    assert jobs == {scraped["job_name"]}
