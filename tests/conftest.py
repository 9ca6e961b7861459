"""What every test stands on: an environment of its own, and nobody's credentials."""

import os
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest

from bootstrap.emulator import AccessKey, Emulator, running_emulator
from tests.aws.stand_in import Account, new_account
from tests.servers.localstack import LocalStack, running_localstack
from tests.servers.rgw import Gateway, running_gateway
from tests.servers.rgw import available as ceph_missing
from tests.servers.seaweedfs import available as seaweedfs_missing
from tests.servers.seaweedfs import running_seaweedfs

pytest_plugins = ["tests.lanes"]

# Before anything reads them: a developer's settings must neither help a test nor be touched by it.
for name in [each for each in os.environ if each.startswith(("AWS_", "OTEL_", "PIXDEPOT_"))]:
    del os.environ[name]

# The emulator's root key, which passes there with any secret.
SHARED_KEY = AccessKey("test", "secret-of-every-store")


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


@pytest.fixture(scope="session")
async def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """Return a SeaweedFS, one for each worker. The emulator takes its key, too, so both may be one set-up."""
    if reason := seaweedfs_missing():
        pytest.skip(reason)
    async with running_seaweedfs(tmp_path_factory.mktemp("seaweedfs"), SHARED_KEY) as running:
        yield running


@pytest.fixture(scope="session")
async def ceph(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """Return Ceph's gateway, one for each worker. The emulator takes its key, too."""
    if reason := ceph_missing():
        pytest.skip(reason)
    async with running_gateway(tmp_path_factory.mktemp("ceph"), SHARED_KEY) as running:
        yield running


@pytest.fixture(scope="session")
async def localstack(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    """Return LocalStack's S3 and API Gateway, one for each worker; its tables are the emulator's."""
    async with running_localstack(tmp_path_factory.mktemp("localstack"), emulator) as running:
        yield running


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
