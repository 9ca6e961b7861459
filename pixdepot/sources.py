"""Where pictures come from: anything that can be read is made a file whose size, digest and format are known."""

import asyncio
import errno
import hashlib
import io
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

from .errors import SourceChanged, UnknownFormat
from .filenames import sendable
from .formats import HEAD, download_name, sniffed
from .model import NewImage, Source

CHUNK = 256 * 1024  # bytes
_IN_MEMORY = 1024 * 1024  # bytes of what cannot be read twice; the rest goes to a temporary file


@dataclass(frozen=True, slots=True)
class Content:
    """A picture that can be read again and again while it is open."""

    filename: str
    content_type: str
    size: int
    sha256: str
    file: IO[bytes]

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield all of it, from the start. Raises SourceChanged when there is more or less of it than there was."""
        left = self.size
        await asyncio.to_thread(self.file.seek, 0)
        while chunk := await asyncio.to_thread(self.file.read, CHUNK):
            left -= len(chunk)
            if left < 0:
                break
            yield chunk
        if left:
            raise SourceChanged("The size of the file changed during the upload.")

    async def changed(self) -> bool:
        """Return whether there is now something else than there was."""
        size, sha256, _ = await asyncio.to_thread(_measured, self.file, None)
        return (size, sha256) != (self.size, self.sha256)


@asynccontextmanager
async def opened(new: NewImage) -> AsyncIterator[Content]:
    """Open a picture for the length of the block.

    What can be read only once (a file object, an iterator) is read whole first, into memory or a temporary file:
    so its size and its digest are signed with the link, and it can be sent again. Raises OSError and UnknownFormat.
    """
    async with _readable(new.source) as file:
        size, sha256, head = await asyncio.to_thread(_measured, file, new.sha256)
        content_type = new.content_type or sniffed(head)
        if content_type is None:
            raise UnknownFormat("The file is not a JPEG, PNG, GIF, WebP or AVIF image.")
        filename = new.filename or _name(new.source) or download_name("image", sniffed(head) or content_type)
        yield Content(filename, content_type, size, sha256, file)


@asynccontextmanager
async def _readable(source: Source) -> AsyncIterator[IO[bytes]]:
    """Open what can be read from the start, any number of times."""
    if isinstance(source, str | os.PathLike):
        file: IO[bytes] = await asyncio.to_thread(open_file, source)
    elif isinstance(source, bytes | bytearray | memoryview):
        file = io.BytesIO(source)
    else:
        file = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed below, as the others are
    with file:
        async for chunk in _read_once(source):
            await asyncio.to_thread(file.write, chunk)
        yield file


async def _read_once(source: Source) -> AsyncIterator[bytes]:
    if isinstance(source, str | os.PathLike | bytes | bytearray | memoryview):
        return
    if hasattr(source, "__aiter__"):
        async for chunk in source:
            yield chunk
    else:
        while chunk := await asyncio.to_thread(source.read, CHUNK):
            yield chunk


def _measured(file: IO[bytes], known: str | None) -> tuple[int, str, bytes]:
    """Return the size, the digest and the first bytes of a file."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return 0, hashlib.sha256().hexdigest(), b""  # as are the files of /proc: some of them wait to be read
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    return size, known or hashlib.file_digest(file, "sha256").hexdigest(), head  # type: ignore[arg-type]


def _name(source: Source) -> str | None:
    path = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    return sendable(Path(path).name) if isinstance(path, str | os.PathLike) else None


def open_file(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a regular file for reading. Raises OSError, also for anything else.

    To open a named pipe may take for ever, and to open a device may do anything: neither is opened.
    """
    _check_regular(path, Path(path).stat())
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - the caller's to close
    try:
        _check_regular(path, os.fstat(file.fileno()))  # it may have been exchanged
    except OSError:
        file.close()
        raise
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_regular(path: str | os.PathLike[str], status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if kind := special(status):
        raise OSError(errno.EINVAL, f"It is {kind}, not a file: save its content to a file first", path)


def special(status: os.stat_result) -> str | None:
    """Return what a path leads to that is neither a file nor a directory, in words."""
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFREG: None, stat.S_IFDIR: None}
    return kinds.get(stat.S_IFMT(status.st_mode), "a device")


def digest_of(path: Path) -> str:
    """Return the sha256 of a file, in lower-case hexadecimal. Raises OSError."""
    with open_file(path) as file:
        return _measured(file, None)[1]
