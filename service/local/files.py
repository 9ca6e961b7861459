"""The object store in a directory. Each object is a file below `objects/`, whose path is the key.

A file is written under a temporary name, synced to disk, and only then linked to its final name; then its directory
is synced, too. So an object is either complete or absent, even if the process or the machine stops at any time.
"""

import asyncio
import errno
import hashlib
import logging
import os
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from service.domain.errors import InvalidImage, ObjectMissing, PreconditionFailed
from service.domain.model import ByteStream, Downloads, Expected, SignedUpload, StoredObject, is_hidden

from .disk import Disk
from .failures import in_thread
from .links import LinkSigner
from .recent import Recent

logger = logging.getLogger(__name__)

_CHUNK = 256 * 1024  # bytes per read
# Smallest number of bytes per write, because a switch to another thread takes as long as writing half of it.
_BATCH = 2 * _CHUNK


class LocalObjectStore:
    """`ObjectStore` on a file system that has hard links. Several processes may share the directory."""

    origin = ""

    def __init__(self, disk: Disk, signer: LinkSigner) -> None:
        self._disk, self._objects = disk, disk.objects
        self._signer = signer
        self._probed = Recent(self._check)

    def path(self, key: str) -> Path:
        """Return the file of an object. Raises ObjectMissing for a key that is not in the service's format."""
        if any(part in {"", ".", ".."} for part in key.split("/")) or "\0" in key:
            raise ObjectMissing("The storage has no object with this key.")
        return self._objects / key

    async def put(
        self,
        key: str,
        data: bytes,
        content_type: str,  # noqa: ARG002 - links carry it
        sha256: str | None = None,  # noqa: ARG002 - nothing is lost on the way to a file
        *,
        note: bytes = b"",
    ) -> None:
        """See `ObjectStore`."""
        await in_thread("store an object", self._put, self.path(key), data, note)

    def _put(self, path: Path, data: bytes, note: bytes) -> None:
        self._disk.check_room(len(data))
        file = _Unnamed(self._disk.new_temporary())
        try:
            file.write([data])
            self._give(os.replace, file.synced(), path)
        finally:
            file.discard()
        self._keep_note(path, note)

    async def receive(self, key: str, chunks: ByteStream, *, sha256: str | None = None) -> None:
        """Store a client's bytes under a key that must not exist.

        Raises PreconditionFailed if the object exists, InvalidImage for a wrong digest, and the stream's errors.
        """
        path, digest = self.path(key), hashlib.sha256() if sha256 else None
        file = _Unnamed(self._disk.new_temporary(), digest)
        try:
            async for batch in _batched(chunks):
                await in_thread("write an upload", self._append, file, batch)
            if digest and digest.hexdigest() != sha256:
                raise InvalidImage("The SHA-256 of the bytes does not match the signed one.")
            await in_thread("store an upload", self._link_new, file, path)
        finally:
            # Shielded, so that it completes even if the request is cancelled again meanwhile.
            await asyncio.shield(asyncio.ensure_future(asyncio.to_thread(file.discard)))

    def _append(self, file: "_Unnamed", batch: Sequence[bytes]) -> None:
        self._disk.check_room()
        file.write(batch)

    def _link_new(self, file: "_Unnamed", path: Path) -> None:
        try:
            self._give(os.link, file.synced(), path)
        except FileExistsError as error:
            raise PreconditionFailed("This link has already been used to upload bytes.") from error

    async def copy(
        self,
        source: str,
        target: str,
        content_type: str,  # noqa: ARG002
        *,
        note: bytes = b"",
    ) -> None:
        """See `ObjectStore`. Files never change, so a hard link to the same file is a copy."""
        await in_thread("copy an object", self._copy, self.path(source), self.path(target), note)

    def _copy(self, source: Path, target: Path, note: bytes) -> None:
        with _looking_up():
            self._give(os.link, source, target)
        self._keep_note(target, note)

    async def note(self, key: str) -> bytes:
        """See `ObjectStore`. The note is a hidden file beside the object's file."""
        return await in_thread("read a note", _read_note, self.path(key))

    async def annotate(self, key: str, content_type: str, note: bytes) -> None:  # noqa: ARG002
        """See `ObjectStore`."""
        await self.size(key)
        await in_thread("write a note", self._keep_note, self.path(key), note)

    def _keep_note(self, path: Path, note: bytes) -> None:
        """Write the note of an object, unless the object was deleted meanwhile.

        Do not sync it to disk: a note is lost only if the machine stops at this moment, and `reconcile` writes it
        again.
        """
        if not note:
            return
        file = self._disk.new_temporary()
        try:
            file.write_bytes(note)
            file.replace(_note_of(path))
        except FileNotFoundError:
            logger.debug("an object was deleted before its note was written")
        finally:
            file.unlink(missing_ok=True)

    def _give(self, name: Callable[[Path, Path], None], source: Path, path: Path) -> None:
        """Give a file this path with `name`, durably. Raises FileNotFoundError if the file does not exist."""
        while True:
            try:
                name(source, path)
            except FileNotFoundError:
                source.stat()
                # The directory does not exist yet, or a delete has just removed it because it was empty. Do not
                # check whether it exists, because another process may have created it again.
                _make_directory(path.parent, self._objects)
            else:
                return _sync_directory(path.parent)

    async def open(self, key: str, start: int = 0, stop: int | None = None) -> ByteStream:
        """See `ObjectStore`."""
        file = await in_thread("open an object", _open, self.path(key))
        chunks = _chunks(file, start, stop)
        # A generator that never starts, because its client has left, would not close its file.
        weakref.finalize(chunks, file.close)
        return chunks

    async def read(self, key: str, most: int) -> bytes:
        """See `ObjectStore`."""
        return await in_thread("read an object", _read, self.path(key), most)

    async def size(self, key: str) -> int:
        """Return the size of an object in bytes. Raises ObjectMissing."""
        return await in_thread("look at an object", _size, self.path(key))

    async def delete(self, *keys: str) -> None:
        """See `ObjectStore`."""
        for key in keys:
            await in_thread("delete an object", self._delete, self.path(key))

    def _delete(self, path: Path) -> None:
        _note_of(path).unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        for parent in path.relative_to(self._objects).parents[:-1]:
            try:
                (self._objects / parent).rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise
                return _sync_directory(self._objects / parent)
        return _sync_directory(self._objects)

    async def move(self, source: str, target: str) -> None:
        """See `ObjectStore`."""
        await in_thread("move an object", self._move, self.path(source), self.path(target))

    def _move(self, source: Path, target: Path) -> None:
        note = _read_note(source)
        with suppress(FileExistsError):  # an interrupted move got this far
            self._copy(source, target, note)
        self._delete(source)

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """See `ObjectStore`."""
        for found in await in_thread("list objects", lambda: list(self._list(prefix))):
            yield found

    def _list(self, prefix: str) -> Iterator[StoredObject]:
        top = self._objects / prefix.rpartition("/")[0]
        for directory, _, names in os.walk(top, onerror=_raise_unless_gone):
            for path in (Path(directory, name) for name in names):
                key = path.relative_to(self._objects).as_posix()
                if not key.startswith(prefix) or is_hidden(key, prefix):
                    continue
                try:
                    stat = path.stat()
                except FileNotFoundError:
                    continue
                yield StoredObject(key, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))

    async def presign_upload(
        self,
        key: str,
        expected: Expected,
        max_bytes: int,
        signed_at: datetime,  # noqa: ARG002 - only the end counts here
        expires_at: datetime,
    ) -> SignedUpload:
        """See `ObjectStore`."""
        return self._signer.upload(key, expected, max_bytes, expires_at)

    async def presign_downloads(self, signed_at: datetime, expires_at: datetime) -> Downloads:  # noqa: ARG002
        """See `ObjectStore`. Only `expires_at` matters here."""
        return self._signer.downloads(expires_at)

    async def check_room(self, size: int) -> None:
        """See `ObjectStore`."""
        await in_thread("look for room", self._disk.check_room, size)

    async def tidy(self, age: timedelta) -> None:
        """See `ObjectStore`."""
        await in_thread("tidy", self._disk.tidy, age)

    async def check(self) -> None:
        """See `ObjectStore`."""
        await self._probed()

    async def _check(self) -> None:
        await in_thread("do what uploads need", self._disk.probe)
        await self.check_room(0)


class _Unnamed:
    """A temporary file that becomes an object. All methods block.

    A cancelled request can leave a thread running, so calls after `discard` write nothing.
    """

    def __init__(self, path: Path, digest: "hashlib._Hash | None" = None) -> None:
        self._path, self._digest = path, digest
        self._file: BinaryIO | None = None
        self._discarded, self._lock = False, threading.Lock()

    def write(self, chunks: Iterable[bytes]) -> None:
        """Append the chunks to the file and to the digest."""
        with self._lock:
            file = self._opened()
            for chunk in chunks:
                if self._digest:
                    self._digest.update(chunk)
                file.write(chunk)

    def synced(self) -> Path:
        """Sync the file to disk and return its path."""
        with self._lock:
            file = self._opened()
            file.flush()
            os.fsync(file.fileno())
            return self._path

    def discard(self) -> None:
        """Close and delete the file. Raises nothing: `Disk.tidy` deletes it later if this fails."""
        with self._lock:
            self._discarded = True
            if self._file is None:
                return
            with suppress(OSError):  # closing writes what is left of the buffer
                self._file.close()
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                logger.warning("cannot delete a temporary file; sweep will retry: %s", error.strerror)

    def _opened(self) -> BinaryIO:
        if self._discarded:
            raise ValueError("The file is discarded.")
        if self._file is None:
            self._file = self._path.open("xb")
        return self._file


@contextmanager
def _looking_up() -> Iterator[None]:
    """Convert FileNotFoundError into ObjectMissing."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ObjectMissing("The storage has no object with this key.") from error


def _raise_unless_gone(error: OSError) -> None:
    """Raise the error of a directory walk, so that no list is incomplete. Ignore directories deleted meanwhile."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


async def _batched(chunks: ByteStream) -> AsyncIterator[list[bytes]]:
    """Yield the stream's chunks in groups that are large enough for a switch to another thread."""
    batch, size = [], 0
    async for chunk in chunks:
        batch.append(chunk)
        size += len(chunk)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _open(path: Path) -> BinaryIO:
    with _looking_up():
        return path.open("rb")


def _note_of(path: Path) -> Path:
    """Return the path of an object's note, given the path of the object."""
    return path.with_name(f".{path.name}.note")


def _read_note(path: Path) -> bytes:
    """Return the note of an object, given its path, or empty bytes without one. Raises ObjectMissing."""
    try:
        return _note_of(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        _size(path)
        return b""


def _read(path: Path, most: int) -> bytes:
    with _open(path) as file:
        return file.read(most)


def _size(path: Path) -> int:
    with _looking_up():
        return path.stat().st_size


async def _chunks(file: BinaryIO, start: int, stop: int | None) -> AsyncIterator[bytes]:
    try:
        position = file.seek(start)
        while stop is None or position < stop:
            size = _CHUNK if stop is None else min(_CHUNK, stop - position)
            chunk = await in_thread("read an object", file.read, size)
            if not chunk:
                return
            position += len(chunk)
            yield chunk
    finally:
        file.close()


def _sync_directory(directory: Path) -> None:
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except FileNotFoundError:
        return  # removed meanwhile, with all that was in it
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_directory(directory: Path, root: Path) -> None:
    """Create a directory below `root` with its parents, durably."""
    missing = [each for each in (directory, *directory.parents) if each.is_relative_to(root) and not each.exists()]
    for each in reversed(missing):
        with suppress(FileExistsError, FileNotFoundError):
            each.mkdir()
            _sync_directory(each.parent)
