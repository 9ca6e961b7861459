"""The disk that the data directory is on: whether it can do what uploads need, and how much of it is kept free.

Uploads stop at the reserve, so that deletes, sweeps and the database's checkpoints have room to go on. Others may
fill the disk all the same: the ballast is a small file that is given up then, so that deletes can still be stored.
"""

import errno
import os
import secrets
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from service.domain.errors import InsufficientStorage

from .failures import FULL, cause

_BALLAST = 2**20  # bytes: dozens of deletes, and each of them makes room for more
_INODES = 1000  # files that are kept free, on a file system that counts them; or one in 100 of a small one
_SIZE = 1024  # bytes that a probe writes


class Disk:
    """Blocking: every method belongs in a thread. Raises OSError, but where it says otherwise."""

    def __init__(self, directory: Path, reserve: int) -> None:
        self._directory, self._reserve = directory, reserve
        self.objects, self.temporary = directory / "objects", directory / "tmp"
        self._ballast = directory / "ballast"

    def prepare(self) -> None:
        """Make the directories, give the ballast up if there is no room to start, and try what uploads do.

        The OSError of what cannot work says what to do about it. A full disk is no reason not to start, since
        deletes must go on.
        """
        for each in (self._directory, self.objects, self.temporary):
            each.mkdir(parents=True, exist_ok=True)
        if self._free() < _BALLAST:
            self.release_ballast()
        try:
            self.probe()
        except OSError as error:
            if error.errno not in FULL:
                raise OSError(error.errno, cause(error).rstrip(".")) from error

    def prepare_for_database(self) -> None:
        """Make the directory where it keeps the database alone, with a ballast if there is room for one."""
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._free() < _BALLAST:
            self.release_ballast()
        elif self._free() >= self._reserve + _BALLAST:
            self._renew_ballast()

    def check_room(self, size: int = 0) -> None:
        """Raise InsufficientStorage where so many bytes more would leave less than the reserve."""
        if self._free() < self._reserve + size:
            raise InsufficientStorage("The disk is full up to its reserve: free space, or delete images.")
        found = os.statvfs(self._directory)
        if found.f_files and found.f_favail < min(_INODES, found.f_files // 100):
            raise InsufficientStorage("The file system has too few inodes left: delete images, or other files.")

    def probe(self) -> None:
        """Write, sync, link, read and remove a file, as uploads do."""
        written, data = self.new_temporary(), secrets.token_bytes(_SIZE)
        linked = self.objects / f".{written.name}"
        try:
            with written.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(written, linked)
            if linked.read_bytes() != data:
                raise OSError(errno.EIO, "A test file was read back with different content")
        finally:
            for each in (linked, written):
                each.unlink(missing_ok=True)
        self._check_devices()

    def _check_devices(self) -> None:
        device = self.temporary.stat().st_dev
        for each in ("images", "uploads"):
            with suppress(FileNotFoundError):
                if (self.objects / each).stat().st_dev != device:
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def new_temporary(self) -> Path:
        """Return a path for a file that is being written."""
        return self.temporary / secrets.token_hex(16)

    def tidy(self, age: timedelta) -> None:
        """Remove what was last written so long ago, and never got its name; renew the ballast if there is room."""
        before = time.time() - age.total_seconds()
        probes = (each for each in self.objects.iterdir() if each.name.startswith("."))
        for each in (*self.temporary.iterdir(), *probes):
            with suppress(FileNotFoundError):  # another process tidies, or what was written has its name now
                if each.stat().st_mtime < before:
                    each.unlink()
        if self._free() >= self._reserve + _BALLAST:
            self._renew_ballast()

    def release_ballast(self) -> bool:
        """Give the ballast's room to whoever needs it to delete. False when there was none."""
        try:
            if self._ballast.stat().st_size == 0:
                return False
        except FileNotFoundError:
            return False
        os.truncate(self._ballast, 0)
        return True

    def _renew_ballast(self) -> None:
        with self._ballast.open("ab") as file:
            # Bytes that no file system can leave out or compress.
            file.write(os.urandom(max(_BALLAST - file.tell(), 0)))

    def _free(self) -> int:
        found = os.statvfs(self._directory)
        return found.f_bavail * found.f_frsize
