"""Small disks of their own, which tests may fill: file systems in memory, mounted as root."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"]


@dataclass(frozen=True)
class Disk:
    """A mounted file system of so many bytes."""

    place: Path

    @property
    def free(self) -> int:
        """Return the bytes that are free."""
        found = os.statvfs(self.place)
        return found.f_bavail * found.f_frsize

    def fill(self, leaving: int = 0) -> Path:
        """Take all room but so many bytes, as another program might; return the file to remove."""
        filler = self.place / "filler"
        with filler.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, file.tell() + max(self.free - leaving, 1))
        return filler


@contextmanager
def mounted(place: Path, size: int, *, read_only: bool = False) -> Iterator[Disk]:
    """Mount an empty disk of so many bytes over a directory, which is made; unmount it at the end."""
    place.mkdir(parents=True, exist_ok=True)
    options = f"size={size},mode=777,{'ro' if read_only else 'rw'}"
    _as_root("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place))
    try:
        yield Disk(place)
    finally:
        _as_root("umount", "--lazy", str(place))


def _as_root(*command: str) -> None:
    subprocess.run([*_AS_ROOT, *command], check=True)
