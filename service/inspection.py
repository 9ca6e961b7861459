"""Finding out what bytes are, off the event loop, and no more of them at a time than memory has room for."""

import asyncio
import hashlib
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from . import media
from .admission import Budget
from .errors import InvalidImage, TooLarge
from .model import Content
from .settings import Settings

_AT_ONCE = 2  # more threads than cores gain nothing
_BODY_PATIENCE = 4.0  # seconds for a picture to be let in
_DECODE_PATIENCE = 8.0  # seconds for one that is here already


class Inspector:
    """Reads pictures. One for the process, since what it bounds is the process's memory."""

    def __init__(self, settings: Settings) -> None:
        self._max_bytes = settings.max_image_bytes
        self._max_pixels = settings.max_pixels
        self._bodies = Budget(settings.body_memory, _BODY_PATIENCE)
        self._decodes = Budget(settings.decode_memory, _DECODE_PATIENCE)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    def admitted(self, size: int | None) -> AbstractAsyncContextManager[None]:
        """Return a context in which a picture of so many bytes may be held in memory; None is any picture.

        Enter it before reading the first of them. Raises Unavailable when too many are held already.
        """
        return self._bodies.admitted(min(size or self._max_bytes, self._max_bytes))

    async def content_of(
        self,
        data: bytes | bytearray,
        *declared: str | None,
        sha256: str | None = None,
        size: int | None = None,
    ) -> Content:
        """Return what the bytes are, having decoded them whole. Repeatable; changes nothing.

        `declared` are content types that someone claimed, `sha256` and `size` (bytes) what was promised.
        Raises TooLarge, UnsupportedImage, InvalidImage or TypeMismatch; Unavailable when too much is being decoded.
        """
        if len(data) > self._max_bytes:
            raise TooLarge(f"A picture may have {self._max_bytes:,} bytes.")
        async with AsyncExitStack() as room:
            memory = await asyncio.to_thread(media.memory_to_inspect, data, max_pixels=self._max_pixels)
            await room.enter_async_context(self._decodes.admitted(memory))
            await room.enter_async_context(self._turns)
            # A thread cannot be cancelled: what it holds is free when it has ended, not when its client has left.
            content = await asyncio.shield(asyncio.create_task(self._read_in(room.pop_all(), data, declared)))
        if sha256 not in {None, content.sha256} or size not in {None, content.file_size}:
            raise InvalidImage("The bytes that arrived do not have the size or the sha256 that was declared.")
        return content

    async def _read_in(
        self, room: AsyncExitStack, data: bytes | bytearray, declared: tuple[str | None, ...]
    ) -> Content:
        async with room:
            return await asyncio.to_thread(self._read, data, declared)

    def _read(self, data: bytes | bytearray, declared: tuple[str | None, ...]) -> Content:
        picture = media.inspect(data, max_pixels=self._max_pixels)
        media.check_declared(picture.content_type, *declared)
        digest = hashlib.sha256(data).hexdigest()
        return Content(picture.content_type, len(data), digest, picture.width, picture.height)
