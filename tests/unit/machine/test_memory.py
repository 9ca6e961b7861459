"""What a process may take is read where the system says so; a picture that takes more is not a bad one."""

import os
import re
from pathlib import Path

import pytest

from service.domain.errors import Unavailable
from service.machine import memory
from service.machine.memory import MIB, Limit, limit
from service.operations.inspection import Inspector
from service.settings import Settings
from tests.pictures import picture

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
V2, V1 = "memory.max", "memory.limit_in_bytes"


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    """Return a root whose /proc says in which cgroups this process is, and whose /sys has these files of them."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


SLICE = "system.slice/pixdepot.service"
SMALL = str(512 * MIB)


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        (f"0::/{SLICE}\n", {f"{SLICE}/{V2}": f"{SMALL}\n"}),
        (f"0::/{SLICE}\n", {f"{SLICE}/{V2}": "max\n", f"system.slice/{V2}": SMALL}),
        (f"0::/{SLICE}\n", {f"{SLICE}/{V2}": SMALL, f"system.slice/{V2}": str(2**60)}),
        ("0::/\n", {V2: SMALL}),  # a container that sees its own cgroup as the root
        ("0::/../../other\n", {V2: SMALL}),
        (
            f"12:cpu,cpuacct:/x\n4:memory:/{SLICE}\n0::/\n",
            {f"memory/{SLICE}/{V1}": SMALL, f"memory/{V1}": str(2**60)},
        ),
        ("4:cpuset,memory:/docker/abc\n", {f"memory/{V1}": SMALL}),  # ... that is told the host's path
    ],
)
def test_the_limit_of_a_cgroup_is_read_from_it_and_from_those_above(
    tmp_path: Path, groups: str, files: dict[str, str]
) -> None:
    found = limit({}, machine(tmp_path, groups, files))
    assert found.size == 512 * MIB
    assert found.source.endswith(" of its cgroup")


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        (f"0::/{SLICE}\n", {f"{SLICE}/{V2}": "max\n"}),
        ("0::/gone\n", {}),
        ("nonsense", {V2: SMALL}),
        ("4:memory:/\n", {f"memory/{V1}": "9223372036854771712\n"}),
    ],
)
def test_without_a_limit_there_is_as_much_as_the_machine_has(
    tmp_path: Path, groups: str, files: dict[str, str]
) -> None:
    assert limit({}, machine(tmp_path, groups, files)) == Limit(MACHINE, "the machine's memory")


def test_a_function_has_the_memory_that_lambda_says(tmp_path: Path) -> None:
    assert limit({"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"}, tmp_path) == Limit(128 * MIB, "the function's memory")


def test_what_the_system_would_never_give_is_not_free() -> None:
    assert memory.is_free(0)
    assert memory.is_free(MIB)
    assert not memory.is_free(2**62)
    assert not memory.is_free(2**70)


PHOTO = picture("WEBP", (2000, 1500))


async def test_one_that_takes_more_waits_for_a_server_with_as_much_memory_as_it_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(Unavailable) as refused:
        await Inspector(Settings(), Limit(128 * MIB, "a test")).inspected(PHOTO)
    told = re.fullmatch(
        r"Decoding this image takes 58 MiB of memory: the server has \d+ MiB available of 128 MiB \(a test\)\. "
        r"Send an image with fewer pixels, or give the server at least (\d+) MiB\.",
        refused.value.detail,
    )
    assert told, refused.value.detail
    assert refused.value.headers["Retry-After"]
    assert [each.message for each in caplog.records] == ["too little memory for a picture"]

    enough = int(told[1])
    found = await Inspector(Settings(), Limit(enough * MIB, "a test")).inspected(PHOTO)
    assert found.content.width == 2000
    with pytest.raises(Unavailable):
        await Inspector(Settings(), Limit((enough - 1) * MIB, "a test")).inspected(PHOTO)


async def test_small_pictures_are_decoded_however_small_the_machine() -> None:
    await Inspector(Settings(), Limit(64 * MIB, "a test")).inspected(picture())


def test_no_more_is_decoded_at_once_than_the_process_may_take() -> None:
    assert Inspector(Settings(), Limit(256 * MIB, "a test")).budgets["decodes"].total < 160 * MIB
    assert Inspector(Settings(), Limit(2**40, "a test")).budgets["decodes"].total == Settings().decode_memory
