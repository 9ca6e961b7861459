"""The page on metrics and the dashboard, held against what a server tells, and by Prometheus itself."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from pixdepot.commands.serving import serve
from tests.api.client import ApiClient
from tests.api.conftest import server_on_local
from tests.docs.installing import program
from tests.docs.pages import ROOT, about, runs
from tests.pictures import picture
from tests.process.servers import serving
from tests.servers.prometheus import Prometheus, running_prometheus

PAGE, DASHBOARD = "docs/metrics.md", "docs/grafana/pixdepot.json"
TOKEN = "a-token-of-24-characters"


def listed() -> set[str]:
    """Return the metrics that the page has."""
    return set(re.findall(r"^\| `(pixdepot_\w+)` \|", (ROOT / PAGE).read_text(), re.MULTILINE))


def expressions() -> list[str]:
    """Return what the dashboard asks for, as Grafana asks for it."""
    panels = json.loads((ROOT / DASHBOARD).read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [each.replace("$job", "pixdepot").replace("$__rate_interval", "5s") for each in asked]


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[tuple[ApiClient, Prometheus]]:
    """Return a server, and a Prometheus that scrapes it with the configuration and the rules of the pages."""
    program("prometheus")
    async with serving(tmp_path, PIXDEPOT_METRICS_TOKEN=TOKEN, PIXDEPOT_SWEEP_INTERVAL="1") as server:
        scraped, (rules,) = page_s_configuration(), about("docs/operations.md", "alert:", language="yaml")
        (tmp_path / "token").write_text(TOKEN)
        (tmp_path / "rules.yml").write_text(rules.text)
        (job,) = scraped["scrape_configs"]
        job["authorization"]["credentials_file"] = "token"
        job["static_configs"] = [{"targets": [urlsplit(server.url).netloc]}]
        quick = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config = tmp_path / "prometheus.yml"
        config.write_text(yaml.safe_dump({"global": quick, "rule_files": ["rules.yml"], **scraped}))
        async with running_prometheus(tmp_path, config) as prometheus:
            yield server.api, prometheus


def page_s_configuration() -> dict[str, Any]:
    (block,) = about(PAGE, "scrape_configs", language="yaml")
    configuration: dict[str, Any] = yaml.safe_load(block.text)
    return configuration


@runs(PAGE, "scrape_configs", language="yaml")
def test_prometheus_looks_where_a_server_listens(script: str) -> None:
    (job,) = yaml.safe_load(script)["scrape_configs"]
    defaults = {option.name: option.default for option in serve.params}
    assert job["static_configs"] == [{"targets": [f"{defaults['host']}:{defaults['port']}"]}]


async def test_prometheus_finds_something_for_all_that_the_dashboard_shows(
    watched: tuple[ApiClient, Prometheus],
) -> None:
    api, prometheus = watched
    await prometheus.until('up{job="pixdepot"} == 1')
    missing = expressions()
    assert len(missing) > 20
    async with asyncio.timeout(90):
        while missing:
            image = await api.uploaded(picture())
            for path in ("/images", f"/images/{image['image_id']}?download=true", "/images/none"):
                await api.get(path)
            missing = [each for each in missing if not await prometheus.value(each)]


async def test_prometheus_understands_the_alarms(watched: tuple[ApiClient, Prometheus]) -> None:
    _, prometheus = watched
    await prometheus.until('up{job="pixdepot"} == 1')
    (group,) = (await prometheus.ask("rules"))["groups"]
    assert {each["name"] for each in group["rules"]} >= {"PixdepotIsDown", "PixdepotFails"}
    assert [each["name"] for each in group["rules"] if each["health"] == "err"] == []


async def test_the_dashboard_asks_for_metrics_there_are(tmp_path: Path) -> None:
    async with server_on_local(tmp_path) as api:
        await api.uploaded(picture())
        told = (await api.fetch(f"{api.base_url}/metrics")).body.decode()
    samples = {each.name for family in text_string_to_metric_families(told) for each in family.samples}
    asked = {name for each in expressions() for name in re.findall(r"\b(?:pixdepot|process)_\w+", each)}
    assert asked
    assert asked <= samples
    assert listed() <= {re.sub("_bucket$", "", each) for each in asked}, "the dashboard leaves something out"


def test_no_panel_of_the_dashboard_lies_on_another() -> None:
    panels = json.loads((ROOT / DASHBOARD).read_text())["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    taken = [
        (x, y)
        for place in (each["gridPos"] for each in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


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
    (scraped,) = page_s_configuration()["scrape_configs"]
    asked = {name for rule in group["rules"] for name in re.findall(r"\bpixdepot_\w+", rule["expr"])}
    assert asked
    assert asked <= listed()
    jobs = {job for rule in group["rules"] for job in re.findall(r'job="(\w+)"', rule["expr"])}
    assert jobs == {scraped["job_name"]}
