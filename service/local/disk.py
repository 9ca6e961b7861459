"""The disk of the data directory: its free space, its reserve, and the check that uploads work on it.

Uploads stop at the reserve, so that deletes, sweep and the database's checkpoints still have space. Another program
can fill the disk anyway: then the service deletes its ballast, a small file, so that deletes still work.
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

_BALLAST = 2**20  # bytes, enough for dozens of deletes, each of which frees more space
_INODES = 1000  # inodes kept free on a file system that limits them, or 1% on a small one
_SIZE = 1024  # bytes written by a probe


class Disk:
    """The disk of the data directory. All methods block, so call them in a thread. They raise OSError."""

    def __init__(self, directory: Path, reserve: int) -> None:
        self._directory, self._reserve = directory, reserve
        self.objects, self.temporary = directory / "objects", directory / "tmp"
        self._ballast = directory / "ballast"

    def prepare(self) -> None:
        """Create the directories, and check that uploads work. Delete the ballast if there is no space to start.

        The OSError of a check that fails contains the remedy. A full disk does not prevent the start, because
        deletes must still work.
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
        """Create the directory for a database without objects, with a ballast if there is space."""
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._free() < _BALLAST:
            self.release_ballast()
        elif self._free() >= self._reserve + _BALLAST:
            self._renew_ballast()

    def check_room(self, size: int = 0) -> None:
        """Raise InsufficientStorage if `size` more bytes would leave less than the reserve."""
        if self._free() < self._reserve + size:
            raise InsufficientStorage("The disk is full up to its reserve: free space, or delete images.")
        found = os.statvfs(self._directory)
        if found.f_files and found.f_favail < min(_INODES, found.f_files // 100):
            raise InsufficientStorage("The file system has too few inodes left: delete images, or other files.")

    def probe(self) -> None:
        """Check that uploads work: write, sync, link, read and delete a file."""
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
        """Return a path for a temporary file."""
        return self.temporary / secrets.token_hex(16)

    def tidy(self, age: timedelta) -> None:
        """Delete temporary files older than this, and create the ballast again if there is space."""
        before = time.time() - age.total_seconds()
        probes = (each for each in self.objects.iterdir() if each.name.startswith("."))
        for each in (*self.temporary.iterdir(), *probes):
            with suppress(FileNotFoundError):  # another process deleted it, or it was published
                if each.stat().st_mtime < before:
                    each.unlink()
        if self._free() >= self._reserve + _BALLAST:
            self._renew_ballast()

    def release_ballast(self) -> bool:
        """Delete the ballast to free space for deletes. Return False if there was none."""
        try:
            if self._ballast.stat().st_size == 0:
                return False
        except FileNotFoundError:
            return False
        os.truncate(self._ballast, 0)
        return True

    def _renew_ballast(self) -> None:
        with self._ballast.open("ab") as file:
            # Random bytes, because a file system can compress zeros or store them as a hole.
            file.write(os.urandom(max(_BALLAST - file.tell(), 0)))

    def _free(self) -> int:
        found = os.statvfs(self._directory)
        return found.f_bavail * found.f_frsize
