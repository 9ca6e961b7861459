"""The suite's lanes: a bare `pytest` runs the quick tests, `--all` every test, and each lane can be run alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, about
from tests.lanes import LANES, QUICK

FAULTS, AWS, BY_NAME, QUICK_ONE = "faults/test_kills", "test_emulator", "test_by_name", "unit/test_words"  # files
FILES = {
    FAULTS: "def test_it(): pass",
    AWS: """
import pytest

@pytest.fixture
def emulator(): pass

@pytest.fixture(params=["local", "aws", "s3"])
def opening(request): pass

def test_by_a_fixture(emulator): pass
def test_by_a_parameter(opening): pass
""",
    QUICK_ONE: "def test_it(): pass",
}
EACH = {"faults": 1, "aws": 2, "stores": 1, QUICK: 2}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Return the folder of a small suite with tests of several lanes."""
    (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = tests\naddopts = --import-mode=importlib\n")
    for name, text in FILES.items():
        file = tmp_path / "tests" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def ran(suite: Path, *options: str) -> str:
    """Run pytest with the lanes in a suite; return what it prints."""
    command = (sys.executable, "-m", "pytest", "-p", "tests.lanes", "-p", "no:hypothesispytest", *options)
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=suite, env=environment, capture_output=True, text=True, check=False).stdout


def passed(output: str) -> int:
    """Return how many tests passed; none failed."""
    assert "failed" not in output, output
    assert "error" not in output, output
    found = re.search(r"(\d+) passed", output)
    assert found, output
    return int(found[1])


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_bare_pytest_runs_the_quick_tests_and_ends_with_the_command_for_each_lane(
    suite: Path, workers: str
) -> None:
    output = ran(suite, workers)
    assert passed(output) == EACH[QUICK]
    _, section = output.split("lanes left out")
    commands = dict(re.findall(r"^pytest --lane (\w+) +(\d+) tests: \w", section, re.MULTILINE))
    assert commands == {name: str(count) for name, count in EACH.items() if name != QUICK}
    assert re.search(r"^pytest --all +everything$", section, re.MULTILINE)


def test_all_of_it_is_each_lane_and_the_quick_tests(suite: Path) -> None:
    output = ran(suite, "--all", "-n2")
    assert passed(output) == sum(EACH.values()) == sum(passed(ran(suite, "-n0", "--lane", name)) for name in EACH)
    assert "lanes left out" not in output


def test_a_path_on_the_command_line_runs_all_below_it(suite: Path) -> None:
    output = ran(suite, "-n2", f"tests/{FAULTS}.py", f"tests/{QUICK_ONE}.py")
    assert passed(output) == 2
    assert "lanes left out" not in output


def test_a_quick_test_that_asks_for_a_lane_s_fixture_by_name_fails(suite: Path) -> None:
    (suite / "tests" / f"{BY_NAME}.py").write_text(
        f"{FILES[AWS]}\ndef test_by_name(request): request.getfixturevalue('emulator')\n"
    )
    output = ran(suite, "-n0")
    assert "test_by_name uses emulator. Add the test to a lane in tests/lanes.py." in output
    assert "1 failed" in output


def test_every_path_of_a_lane_is_there() -> None:
    for path in (path for lane in LANES for path in lane.paths):
        file, _, test = path.partition("::")
        assert list(ROOT.glob(f"{file}*")), path
        assert f"def {test}" in (ROOT / file).read_text() if test else True, path


def test_ci_runs_all_of_it_by_the_readme_s_own_command() -> None:
    (line,) = re.findall(r"^readme_test=.*$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    command = subprocess.run(
        ("bash", "-euc", f'{line}\nprintf %s "$readme_test"'), cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    _, quick = [each.text.strip() for each in about("README.md", "pip install")]
    assert command == f"{quick} --all"
