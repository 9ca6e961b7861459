"""Finding out what bytes are, off the event loop and not too many at a time."""

import asyncio
import hashlib

from . import media
from .errors import InvalidImage, TooLarge
from .model import Content
from .settings import Settings

_AT_ONCE = 2  # decodes hold the memory of their pixels; more threads than cores gain nothing


class Inspector:
    """Reads pictures. One for the process, since what it bounds is the process's memory."""

    def __init__(self, settings: Settings) -> None:
        self._max_bytes = settings.max_image_bytes
        self._max_pixels = settings.max_pixels
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def content_of(
        self,
        data: bytes | bytearray,
        *declared: str | None,
        sha256: str | None = None,
        size: int | None = None,
    ) -> Content:
        """Return what the bytes are, having decoded them whole. Repeatable; changes nothing.

        `declared` are content types that someone claimed, `sha256` and `size` (bytes) what was promised.
        Raises TooLarge, UnsupportedImage, InvalidImage or TypeMismatch.
        """
        if len(data) > self._max_bytes:
            raise TooLarge(f"A picture may have {self._max_bytes:,} bytes.")
        async with self._turns:
            content = await asyncio.to_thread(self._read, data, declared)
        if sha256 not in {None, content.sha256} or size not in {None, content.file_size}:
            raise InvalidImage("The bytes that arrived do not have the size or the sha256 that was declared.")
        return content

    def _read(self, data: bytes | bytearray, declared: tuple[str | None, ...]) -> Content:
        picture = media.inspect(data, max_pixels=self._max_pixels)
        media.check_declared(picture.content_type, *declared)
        digest = hashlib.sha256(data).hexdigest()
        return Content(picture.content_type, len(data), digest, picture.width, picture.height)
