"""The memory limit of this process, its free memory, and the return of freed memory to the system."""

import ctypes
import mmap
import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MIB = 2**20
_UNUSED_ADDRESSES = 256 * MIB  # that stacks, libraries and heaps reserve, and hardly touch
_M_ARENA_MAX = -8  # https://man7.org/linux/man-pages/man3/mallopt.3.html


@dataclass(frozen=True, slots=True)
class Limit:
    """The memory limit of the process in bytes, and its source."""

    size: int
    source: str


def limit(environ: Mapping[str, str], root: Path = Path("/")) -> Limit:
    """Return the smallest memory limit of this process. Call it once, because the limit rarely changes.

    It is the limit of the cgroup or of a parent, RLIMIT_AS, the limit of the Lambda function, or the machine's
    memory. `root` is the directory that contains /proc and /sys.
    """
    found = [Limit(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "the machine's memory")]
    found += _of_cgroups(root)
    addresses, _ = resource.getrlimit(resource.RLIMIT_AS)
    if addresses != resource.RLIM_INFINITY:
        found.append(Limit(max(addresses - _UNUSED_ADDRESSES, 0), "RLIMIT_AS, less what is only reserved"))
    if (function := environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")).isdigit():
        found.append(Limit(int(function) * MIB, "the function's memory"))
    return min(found, key=lambda each: each.size)


def _of_cgroups(root: Path) -> Iterator[Limit]:
    """Yield the limits of the process's cgroup and of its parents, as far as the container can see them."""
    mount = root / "sys/fs/cgroup"
    with suppress(OSError, ValueError):  # no such file, or one that is not Linux's
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)  # https://man7.org/linux/man-pages/man7/cgroups.7.html
            if not controllers:
                yield from _of_folders(mount, path, "memory.max")
            elif "memory" in controllers.split(","):
                yield from _of_folders(mount / "memory", path, "memory.limit_in_bytes")


def _of_folders(mount: Path, path: str, file: str) -> Iterator[Limit]:
    # A container may see the host's path at a mount of its own cgroup: then only the mount itself has the file.
    folder = mount / path.lstrip("/")
    for each in (folder, *folder.parents):
        with suppress(OSError):
            text = (each / file).read_text().strip()
            if text.isdigit():  # "max" is no limit; version 1 has a huge number for it
                yield Limit(int(text), f"{file} of its cgroup")
        if each == mount:
            return


def is_free(size: int) -> bool:
    """Return whether the system would allocate this many bytes to the process now. Allocates nothing permanently.

    It detects RLIMIT_AS and strict overcommit, but not the limit of a cgroup.
    """
    try:
        mmap.mmap(-1, max(size, 1)).close()
    except (OSError, OverflowError):
        return False
    return True


def use_one_arena() -> bool:
    """Make all threads that start from now on share one heap. Return False, without effect, without glibc.

    glibc gives each thread its own heap, which `malloc_trim` does not shrink, so that memory of decoding would stay
    there. One heap has no measurable cost. Safe to repeat; existing threads keep their heaps.
    """
    libc = _glibc()
    return libc is not None and bool(libc.mallopt(_M_ARENA_MAX, 1))


def give_back() -> None:
    """Return free memory to the system, with glibc only. It takes milliseconds."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """Return the C library if it is glibc. musl and macOS have no arenas, and return free memory themselves."""
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
