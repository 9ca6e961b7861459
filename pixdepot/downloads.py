"""One download: resumed where it broke off, checked against the digest, and there whole or not at all."""

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO

import aiohttp

from .errors import APIError, ConnectionFailed, DigestMismatch, StorageRefused
from .filenames import sendable
from .model import Image, Progress
from .retries import retry_after
from .sources import special
from .transport import Transport, refusal

_CHUNK = 256 * 1024  # bytes


async def download(transport: Transport, image: Image, to: Path, on_progress: Progress | None) -> Path:
    """Write an image's bytes to `to`, or into that directory under the image's `download_name`; return the path.

    Bytes that came before a failure stay beside it, in a hidden file whose name has the digest in it: the next
    download goes on from there. Raises OSError, DigestMismatch, StorageRefused, ConnectionFailed and APIErrors.
    """
    name = sendable(Path(image.download_name).name) or image.image_id
    path = to / name if await asyncio.to_thread(to.is_dir) else to
    await asyncio.to_thread(_check_replaceable, path)
    part = path.with_name(_part_name(image, path))
    with await asyncio.to_thread(open, part, "a+b") as file:
        fetching = _Fetching(transport, image, file, on_progress or (lambda _done, _all: None))
        try:
            await fetching.whole()
        finally:
            if not fetching.worth_keeping:
                await asyncio.to_thread(part.unlink, missing_ok=True)
        await asyncio.to_thread(os.fsync, file.fileno())
    await asyncio.to_thread(os.replace, part, path)
    return path


def _part_name(image: Image, path: Path) -> str:
    # Neither longer than names may be, nor shared with another path that the same picture goes to.
    return f".{hashlib.sha256(f'{image.sha256} {path.name}'.encode()).hexdigest()[:32]}.part"


def _check_replaceable(path: Path) -> None:
    """Raise OSError where a download would take the place of a device, a pipe or a socket."""
    with suppress(FileNotFoundError):
        if kind := special(path.stat()):
            raise OSError(errno.EINVAL, f"It is {kind}, not a file: choose a file or a directory", path)


class _Fetching:
    """A file that fills up."""

    def __init__(self, transport: Transport, image: Image, file: IO[bytes], on_progress: Progress) -> None:
        self._transport = transport
        self._image = image
        self._file = file
        self._on_progress = on_progress
        self._done = 0
        self._digest = hashlib.sha256()

    @property
    def worth_keeping(self) -> bool:
        """Return whether there is something that is the picture, or its beginning."""
        return self._is_right() or 0 < self._done < self._image.file_size

    async def whole(self) -> None:
        """Fetch what is missing. Raises DigestMismatch when the whole is not right, even fetched anew."""
        resumed = await asyncio.to_thread(self._take_up)
        await self._fetch_rest()
        if resumed and not self._is_right():  # what was there before may have been something else
            await asyncio.to_thread(self._start_over)
            await self._fetch_rest()
        if not self._is_right():
            raise DigestMismatch("The SHA-256 of the downloaded bytes does not match the image.")

    async def _fetch_rest(self) -> None:
        attempts = self._transport.attempts()
        while self._done < self._image.file_size:
            before = self._done
            try:
                await self._fetch()
            except (ConnectionFailed, APIError, StorageRefused) as error:
                if self._done > before:
                    attempts.progressed()
                await attempts.again(error)

    async def _fetch(self) -> None:
        """Ask for what is missing, and write it as it comes."""
        async with self._answer() as response:
            if response.status == 200 and self._done:
                await asyncio.to_thread(self._start_over)
            self._on_progress(self._done, self._image.file_size)
            async for chunk in response.content.iter_chunked(_CHUNK):
                await asyncio.to_thread(self._write, chunk)
                self._on_progress(self._done, self._image.file_size)

    @asynccontextmanager
    async def _answer(self) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask the service, and then the storage if it says so. Raises what they refuse with."""
        # Some gateways decode bytes only for an Accept that begins with an image type.
        wanted = {"Accept": "image/*, */*;q=0.5", "Accept-Encoding": "identity"}
        if self._done:
            wanted["Range"] = f"bytes={self._done}-"
        # The picture's ETag is its digest; in storage it is another, but what a link leads to never changes.
        held = {**wanted, "If-Range": f'"{self._image.sha256}"'}
        path = f"/images/{self._image.image_id}?download=true"
        async with self._transport.picture(path, held if self._done else wanted) as answer:
            if answer.status in {200, 206}:
                yield answer
                return
            if answer.status != 302:
                raise await refusal(answer)
            elsewhere = answer.headers["Location"]
        async with self._transport.storage("GET", elsewhere, wanted) as response:
            if response.status not in {200, 206}:
                raise StorageRefused(response.status, retry_after(response.headers.get("Retry-After")))
            yield response

    def _take_up(self) -> bool:
        """Return whether there is something already; take it into account."""
        self._file.seek(0)
        while chunk := self._file.read(_CHUNK):
            self._digest.update(chunk)
            self._done += len(chunk)
        return self._done > 0

    def _write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._digest.update(chunk)
        self._done += len(chunk)

    def _start_over(self) -> None:
        self._file.truncate(0)
        self._done, self._digest = 0, hashlib.sha256()

    def _is_right(self) -> bool:
        return self._digest.hexdigest() == self._image.sha256
