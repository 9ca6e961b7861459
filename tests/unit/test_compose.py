"""docker-compose.yml says what it must, and Docker Compose understands it."""

import shutil
import subprocess
from pathlib import Path

import pytest

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


def test_docker_compose_understands_the_file() -> None:
    checked = subprocess.run(
        [*compose(), "config", "--quiet"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_what_is_published_is_published_on_loopback_only() -> None:
    ports = [line for line in (ROOT / "docker-compose.yml").read_text().splitlines() if "ports:" in line]
    assert len(ports) == 2
    assert all('["127.0.0.1:' in line for line in ports)
