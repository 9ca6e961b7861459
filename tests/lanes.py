"""Lanes: the parts of the suite that a bare `pytest` leaves out, because they need another server or much time.

Each test is in exactly one lane, or in none. `pytest` runs the tests in none, `pytest --lane NAME` those of a lane,
and `pytest --all` every test. A path on the command line runs all tests below it.
"""

from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

QUICK = "quick"  # the name for the tests that are in no lane
_COUNTS = pytest.StashKey[dict[str, int]]()  # how many tests of each lane were deselected
_CHOSEN = pytest.StashKey[Collection[str]]()  # the names of the lanes to run
_CHOSEN_INPUT = "lanes"  # the same, in the input of a worker
_RUNNING = pytest.StashKey[pytest.Item]()
_LEFT_OUT = "tests_left_out"  # the same, in the output of a worker


@dataclass(frozen=True, slots=True)
class Lane:
    """A part of the suite. A test belongs to the first lane that one of its fixtures, parameters or paths names."""

    name: str
    reason: str  # why a bare `pytest` leaves it out
    fixtures: frozenset[str] = frozenset()
    # The values of a fixture's parameter, by the name of the fixture: of a fixture that asks for others by name.
    parameters: Mapping[str, frozenset[str]] = field(default_factory=dict)
    paths: tuple[str, ...] = ()  # files, folders and tests, as a node ID begins

    def has(self, test: pytest.Item) -> bool:
        """Tell whether a test belongs here, if it belongs to no lane before."""
        chosen = test.callspec.params if isinstance(test, pytest.Function) and hasattr(test, "callspec") else {}
        return (
            not self.fixtures.isdisjoint(getattr(test, "fixturenames", ()))
            or any(chosen.get(name) in values for name, values in self.parameters.items() if name in chosen)
            or test.nodeid.startswith(self.paths)
        )


LANES = (
    Lane(
        "browser",
        "needs Chromium and Node.js",
        fixtures=frozenset({"chromium"}),
        paths=("tests/browser/",),
    ),
    Lane(
        "stores",
        "needs SeaweedFS, Ceph, LocalStack, moto or dynalite",
        fixtures=frozenset({"seaweedfs", "ceph", "localstack", "moto", "on_ceph", "on_localstack", "on_seaweedfs"}),
        parameters={
            "opening": frozenset({"s3", "ceph", "localstack"}),
            "start": frozenset({"server-s3"}),
            "serve": frozenset({"server on s3"}),
            "storage": frozenset({"ceph", "seaweedfs", "localstack"}),
            "either": frozenset({"on_localstack"}),
        },
        paths=(
            "tests/aws/test_benchmarks",
            "tests/aws/test_enforcement.py",
            "tests/docs/test_costs.py",
            "tests/servers/test_servers.py::test_dynalite",
        ),
    ),
    Lane(
        "aws",
        "needs the AWS emulator",
        fixtures=frozenset({"emulator", "account", "on_lambda"}),
        parameters={
            "opening": frozenset({"aws"}),
            "start": frozenset({"server-aws", "server-dynamodb", "gateway"}),
            "serve": frozenset({"server on aws", "lambda on aws"}),
            "storage": frozenset({"ministack"}),
            "either": frozenset({"on_lambda"}),
        },
        paths=("tests/aws/", "tests/servers/test_servers.py", "tests/process/test_emulator.py"),
    ),
    Lane(
        "guides",
        "needs a network, nginx, Prometheus, SAM and other tools",
        paths=(
            "tests/docs/test_deploy.py",
            "tests/docs/test_guides.py",
            "tests/docs/test_metrics.py",
            "tests/docs/test_newcomer.py",
            "tests/docs/test_operations.py",
            "tests/docs/test_sam.py",
            "tests/docs/test_site.py",
            "tests/docs/test_typescript.py",
            "tests/process/test_image.py",
            "tests/wheel/",
        ),
    ),
    Lane(
        "limits",
        "takes minutes: full disks, little memory, few descriptors, hostile images",
        paths=tuple(
            f"tests/process/test_{name}.py"
            for name in ("attack", "descriptors", "disks", "durability", "memory", "storm", "weights")
        ),
    ),
    Lane(
        "faults",
        "takes minutes: faults, races and kills, many times each",
        paths=("tests/faults/",),
    ),
)
_EVERY = (QUICK, *(lane.name for lane in LANES))


def lane_of(test: pytest.Item) -> str:
    """Return the name of a test's lane, or QUICK."""
    return next((lane.name for lane in LANES if lane.has(test)), QUICK)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose lanes."""
    group = parser.getgroup("lanes")
    group.addoption("--all", action="store_true", help="Run every test, whatever it needs.")
    group.addoption(
        "--lane",
        action="append",
        choices=_EVERY,
        default=[],
        help="Run only the tests of this lane. Repeat the option for several lanes.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose lanes: those of the command line, else the quick tests, unless it names paths."""
    if hasattr(config, "workerinput"):
        config.stash[_CHOSEN] = frozenset(config.workerinput[_CHOSEN_INPUT])
    elif config.option.all or (config.args_source is pytest.Config.ArgsSource.ARGS and not config.option.lane):
        config.stash[_CHOSEN] = _EVERY
    else:
        config.stash[_CHOSEN] = frozenset(config.option.lane) or {QUICK}


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker which lanes are chosen."""
    node.workerinput[_CHOSEN_INPUT] = sorted(node.config.stash[_CHOSEN])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of the lanes that were not chosen."""
    lanes = [lane_of(test) for test in items]
    chosen = config.stash[_CHOSEN]
    left_out = [test for test, lane in zip(items, lanes, strict=True) if lane not in chosen]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [test for test, lane in zip(items, lanes, strict=True) if lane in chosen]
    config.stash[_COUNTS] = {name: lanes.count(name) for name in _EVERY if name not in chosen}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool | None, bool | None]:
    """Note which test runs."""
    item.config.stash[_RUNNING] = item
    return (yield)


def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest) -> None:
    """Fail a test that is in no lane but starts a lane's server, because it asks for the fixture by name."""
    test = request.config.stash[_RUNNING]
    if any(fixturedef.argname in lane.fixtures for lane in LANES) and lane_of(test) == QUICK:
        pytest.fail(f"{test.nodeid} uses {fixturedef.argname}. Add the test to a lane in tests/lanes.py.")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the controller how many tests of each lane this worker left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_LEFT_OUT] = session.config.stash.get(_COUNTS, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Keep what a worker tells. All workers collect the same tests."""
    if counts := getattr(node, "workeroutput", {}).get(_LEFT_OUT):
        node.config.stash[_COUNTS] = counts


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the lanes left out, and the command for each."""
    left_out = {name: count for name, count in config.stash.get(_COUNTS, {}).items() if count}
    if not left_out:
        return
    reasons = {lane.name: lane.reason for lane in LANES}
    terminalreporter.section("lanes left out")
    for name, count in left_out.items():
        command = f"pytest --lane {name}"
        terminalreporter.write_line(f"{command:24} {count:6,} tests: {reasons.get(name, 'needs no other server')}")
    terminalreporter.write_line(f"{'pytest --all':24} everything")
