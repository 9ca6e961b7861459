"""The object store in a directory: an object is a file below `objects/`, under its key.

A file is written under a temporary name, fsynced, and only then given its name; the directory that holds the
name is fsynced too. So an object is there whole or not at all, whenever the process or the machine stops.
"""

import asyncio
import hashlib
import os
import secrets
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from service.errors import InvalidImage, ObjectMissing, PreconditionFailed, Unavailable
from service.model import ByteStream, Downloads, Expected, SignedUpload, StoredObject

from .links import LinkSigner

_CHUNK = 256 * 1024  # bytes read at a time
# Bytes at least written at a time: a trip to another thread takes as long as writing half of it.
_BATCH = 2 * _CHUNK
_STALE = 3600  # seconds after which a temporary file can belong to no request


class LocalObjectStore:
    """`ObjectStore` on a file system that has hard links. Several processes may share the directory."""

    origin = ""

    def __init__(self, directory: Path, signer: LinkSigner) -> None:
        self._objects, self._temporary = directory / "objects", directory / "tmp"
        self._signer = signer
        for each in (self._objects, self._temporary):
            each.mkdir(parents=True, exist_ok=True)
        for left in self._temporary.iterdir():
            if left.stat().st_mtime < time.time() - _STALE:
                left.unlink(missing_ok=True)

    def path(self, key: str) -> Path:
        """Return the file of an object. Raises ObjectMissing for a key that is none of ours."""
        if any(part in {"", ".", ".."} for part in key.split("/")) or "\0" in key:
            raise ObjectMissing("There is no object under this key.")
        return self._objects / key

    async def put(
        self,
        key: str,
        data: bytes,
        content_type: str,  # noqa: ARG002 - links carry it
        sha256: str | None = None,  # noqa: ARG002 - nothing is lost on the way to a file
    ) -> None:
        """See `ObjectStore`."""
        await asyncio.to_thread(self._put, self.path(key), data)

    def _put(self, path: Path, data: bytes) -> None:
        with self._temporary_file() as file:
            file.write(data)
            _sync(file)
        self._give(os.replace, Path(file.name), path)

    async def receive(self, key: str, chunks: ByteStream, *, sha256: str | None = None) -> None:
        """Store what a client sends, under a key that must be free. The stream's own errors pass through.

        Raises PreconditionFailed when there is an object already, InvalidImage when the digest is another.
        """
        path, digest = self.path(key), hashlib.sha256() if sha256 else None
        file = await asyncio.to_thread(self._temporary_file)
        try:
            async for batch in _batched(chunks):
                await asyncio.to_thread(_append, file, digest, batch)
            if digest and digest.hexdigest() != sha256:
                raise InvalidImage("The bytes do not have the sha256 that was signed.")
            await asyncio.to_thread(self._link_new, file, path)
        finally:
            file.close()
            await asyncio.to_thread(os.unlink, file.name)

    def _link_new(self, file: BinaryIO, path: Path) -> None:
        _sync(file)
        try:
            self._give(os.link, Path(file.name), path)
        except FileExistsError as error:
            raise PreconditionFailed("Bytes were sent through this link already.") from error

    async def copy(self, source: str, target: str, content_type: str) -> None:  # noqa: ARG002
        """See `ObjectStore`. Files are never written to again, so another name for the same file is a copy."""
        await asyncio.to_thread(self._copy, self.path(source), self.path(target))

    def _copy(self, source: Path, target: Path) -> None:
        try:
            self._give(os.link, source, target)
        except FileNotFoundError as error:
            raise ObjectMissing("There is no object under this key.") from error

    def _give(self, name: Callable[[Path, Path], None], source: Path, path: Path) -> None:
        """Let `name` give a file this path, durably. Raises FileNotFoundError when there is no such file."""
        while True:
            try:
                name(source, path)
            except FileNotFoundError:
                if not source.exists():
                    raise
                # There is no directory yet, or no more: a delete has just removed it, which it had found empty.
                # Somebody else may have made it again by now, so whether it is there tells nothing.
                _make_directory(path.parent, self._objects)
            else:
                return _sync_directory(path.parent)

    async def open(self, key: str, start: int = 0, stop: int | None = None) -> ByteStream:
        """See `ObjectStore`."""
        try:
            file = await asyncio.to_thread(self.path(key).open, "rb")
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise ObjectMissing("There is no object under this key.") from error
        chunks = _chunks(file, start, stop)
        # Whose client leaves before the first chunk is asked for never runs, and would not close its file.
        weakref.finalize(chunks, file.close)
        return chunks

    async def read(self, key: str, most: int) -> bytes:
        """See `ObjectStore`."""
        try:
            return await asyncio.to_thread(_read, self.path(key), most)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise ObjectMissing("There is no object under this key.") from error

    async def size(self, key: str) -> int:
        """Return the size of an object in bytes. Raises ObjectMissing."""
        try:
            return (await asyncio.to_thread(self.path(key).stat)).st_size
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ObjectMissing("There is no object under this key.") from error

    async def delete(self, *keys: str) -> None:
        """See `ObjectStore`."""
        for key in keys:
            await asyncio.to_thread(self._delete, self.path(key))

    def _delete(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        for parent in path.relative_to(self._objects).parents:
            try:
                (self._objects / parent).rmdir()
            except FileNotFoundError:
                continue
            except OSError:  # not empty
                _sync_directory(self._objects / parent)
                return

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """See `ObjectStore`."""
        for found in await asyncio.to_thread(lambda: list(self._list(prefix))):
            yield found

    def _list(self, prefix: str) -> Iterator[StoredObject]:
        # Others delete meanwhile: os.walk passes over directories that are gone.
        for directory, _, names in os.walk(self._objects / prefix.rpartition("/")[0]):
            for path in (Path(directory, name) for name in names):
                key = path.relative_to(self._objects).as_posix()
                if not key.startswith(prefix):
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
        """See `ObjectStore`. Only the end counts here."""
        return self._signer.downloads(expires_at)

    async def check(self) -> None:
        """See `ObjectStore`."""
        try:
            await asyncio.to_thread(self._check)
        except OSError as error:
            raise Unavailable("The data directory cannot be written to.") from error

    def _check(self) -> None:
        with self._temporary_file() as file:
            Path(file.name).unlink()

    def _temporary_file(self) -> BinaryIO:
        return (self._temporary / secrets.token_hex(16)).open("xb")


async def _batched(chunks: ByteStream) -> AsyncIterator[list[bytes]]:
    """Yield the stream's chunks, so many at once that they are worth a trip to another thread."""
    batch, size = [], 0
    async for chunk in chunks:
        batch.append(chunk)
        size += len(chunk)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _append(file: BinaryIO, digest: "hashlib._Hash | None", batch: list[bytes]) -> None:
    for chunk in batch:
        if digest:
            digest.update(chunk)
        file.write(chunk)


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        return file.read(most)


async def _chunks(file: BinaryIO, start: int, stop: int | None) -> AsyncIterator[bytes]:
    try:
        position = file.seek(start)
        while stop is None or position < stop:
            chunk = await asyncio.to_thread(file.read, _CHUNK if stop is None else min(_CHUNK, stop - position))
            if not chunk:
                return
            position += len(chunk)
            yield chunk
    finally:
        file.close()


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


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
    """Make a directory below `root`, with those between, so that a crash does not lose them."""
    missing = [each for each in (directory, *directory.parents) if each.is_relative_to(root) and not each.exists()]
    for each in reversed(missing):
        with suppress(FileExistsError, FileNotFoundError):
            each.mkdir()
            _sync_directory(each.parent)
