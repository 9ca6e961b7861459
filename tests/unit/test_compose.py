"""docker-compose.yml says what it must, and Docker Compose understands it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def compose() -> list[str]:
    """Return the command of whichever Docker Compose there is."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(command[0])
            and subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0
        ):
            return command
    pytest.skip("Docker Compose is not installed")


def understood(*options: str) -> dict[str, Any]:
    """Return the file as Docker Compose understands it: with every anchor and default filled in."""
    command = [*compose(), *options, "config"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    document: dict[str, Any] = yaml.safe_load(checked.stdout)
    return document


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Return all services, those of profiles too."""
    found: dict[str, Any] = understood("--profile", "local")["services"]
    return found


def test_the_local_backend_is_started_only_by_name(services: dict[str, Any]) -> None:
    assert set(services) == {"aws", "bootstrap", "pixdepot", "local"}
    assert [name for name, each in services.items() if each.get("profiles")] == ["local"]
    assert not services["local"].get("depends_on")


def test_the_local_backend_keeps_its_data_in_a_volume(services: dict[str, Any]) -> None:
    assert (
        "local:/data" in json.dumps(services["local"]["volumes"])
        or services["local"]["volumes"][0]["target"] == "/data"
    )
    assert not services["local"].get("environment")  # the image's own are enough


def test_the_emulator_checks_links(services: dict[str, Any]) -> None:
    assert services["aws"]["environment"]["S3_SKIP_SIGNATURE_VALIDATION"] == "0"


def test_the_bucket_and_the_tables_are_made_again_after_a_restart_of_the_emulator(services: dict[str, Any]) -> None:
    """tests/aws/test_bootstrap.py runs this command."""
    assert services["bootstrap"]["command"] == ["bootstrap", "up", "--every", "10"]
    assert services["bootstrap"]["restart"] == services["aws"]["restart"] == "unless-stopped"


def test_what_is_published_is_published_on_loopback_only() -> None:
    ports = [line for line in (ROOT / "docker-compose.yml").read_text().splitlines() if "ports:" in line]
    assert len(ports) == 3
    assert all('["127.0.0.1:' in line for line in ports)
