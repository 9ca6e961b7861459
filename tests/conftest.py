"""What every test stands on: an environment of its own, and nobody's credentials."""

import os
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest

from bootstrap.emulator import Emulator, running_emulator
from tests.aws.stand_in import Account, new_account

# Before anything reads them: a developer's settings must neither help a test nor be touched by it.
for name in [each for each in os.environ if each.startswith(("AWS_", "OTEL_", "PIXDEPOT_"))]:
    del os.environ[name]


@pytest.fixture(scope="session")
def session_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory that lives as long as this worker's session."""
    return tmp_path_factory.mktemp("session")


@pytest.fixture(scope="session")
async def emulator(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    """Return an emulator of AWS, one for each worker."""
    async with running_emulator(tmp_path_factory.mktemp("emulator"), port=0) as running:
        yield running


@pytest.fixture(scope="session")
async def account(emulator: Emulator) -> AsyncIterator[Account]:
    """Return a bucket and tables on the emulator, and a key with the least policy."""
    async with new_account(emulator) as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI everything that a test needs is installed, so one that skips has failed."""
    report = yield
    if report.skipped and os.environ.get("CI"):
        report.outcome, report.longrepr = "failed", f"skipped in CI: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what tests have measured."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "measured":
                terminalreporter.write_line(str(value))
