"""Inspection: decode images in threads, only as many at a time as memory allows."""

import asyncio
import hashlib
import logging
import sys
from collections.abc import Awaitable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import TypeVar

from service import media
from service.domain.errors import InvalidImage, TooLarge, Unavailable, exact
from service.domain.model import Content
from service.machine import memory
from service.settings import Settings
from service.telemetry.metrics import Lending

from .admission import Budget, Loan

T = TypeVar("T")

logger = logging.getLogger(__name__)

_AT_ONCE = 2  # because more threads than cores gain nothing
_BODY_PATIENCE = 20.0  # seconds to wait before an image is received, when it takes no memory yet
_DECODE_PATIENCE = 8.0  # seconds to wait before an image in memory is decoded
_BODIES_SHARE = 4  # bodies get one quarter of the memory that the process itself does not need
_PROCESS = 96 * memory.MIB  # memory of the idle process (64 MiB) and of the encoders of variants
_LULL = 1.0  # seconds without a decode until free memory is returned to the system


@dataclass(frozen=True, slots=True)
class Inspected:
    """A verified image: its bytes, its properties and its variants by name."""

    data: bytes
    content: Content
    variants: Mapping[str, media.Variant]


class Inspector:
    """Decodes images. Create one for each process, because its `budgets` limit the memory of the process."""

    def __init__(self, settings: Settings, limit: memory.Limit | None = None) -> None:
        """Use the limits of the settings, and the memory limit of the process if it has one."""
        self._settings, self._max_bytes = settings, settings.max_image_bytes
        self._max_pixels = settings.max_pixels
        self._encoding: media.Encoding = "avif" if settings.variant_format == "avif" else "webp"
        bodies = _body_memory(settings, limit)
        self._limit, self._room = limit, _room(settings, limit, bodies)
        self._bodies = Budget(bodies, _BODY_PATIENCE)
        self._decodes = Budget(min(settings.decode_memory, self._room), _DECODE_PATIENCE)
        self.budgets = {"bodies": self._bodies, "decodes": self._decodes}
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._lull: asyncio.TimerHandle | None = None

    def lending(self) -> dict[str, Lending]:
        """Return the counts of each budget, by name."""
        return {name: budget.lending for name, budget in self.budgets.items()}

    def admitted(self, size: int | None) -> AbstractAsyncContextManager[Loan]:
        """Return a context that reserves memory for an image of `size` bytes, or for the largest image if None.

        Enter it before you read the first byte. Raises Unavailable if uploads already use too much memory.
        """
        return self._bodies.admitted(min(size or self._max_bytes, self._max_bytes))

    async def inspected(
        self,
        data: bytes,
        declared: str | None = None,
        *,
        sha256: str | None = None,
        size: int | None = None,
        strip_location: bool = False,
    ) -> Inspected:
        """Decode an image completely, and return its properties and variants. Stores nothing; safe to retry.

        `declared`, `sha256` and `size` (bytes) are the client's declaration. With `strip_location` the returned
        bytes have no GPS location; an image from which it cannot be removed raises InvalidImage. Raises TooLarge,
        UnsupportedImage, InvalidImage and TypeMismatch. Raises Unavailable if too many images are being decoded or
        the machine has too little memory; the image can still be valid.
        """
        if len(data) > self._max_bytes:
            raise TooLarge(f"The image is too large: the limit is {exact(self._max_bytes)}.")
        async with AsyncExitStack() as room:
            weight = await asyncio.to_thread(media.memory_to_develop, data, max_pixels=self._max_pixels)
            self._check_room(weight)
            await room.enter_async_context(self._decodes.admitted(weight))
            await room.enter_async_context(self._turns)
            if not memory.is_free(weight):
                raise self._short(weight)
            room.callback(self._rest)
            # A thread cannot be cancelled, so its memory is free only when it has ended, even if the client is
            # gone.
            work = self._read(data, declared, sha256, size, strip_location=strip_location)
            try:
                return await asyncio.shield(asyncio.create_task(_within(room.pop_all(), work)))
            except MemoryError as error:
                raise self._short(weight) from error

    def _check_room(self, weight: int) -> None:
        """Raise Unavailable if the decode needs more memory than the process may use."""
        if self._limit is not None and weight > self._room:
            room, size = _mib(self._room), _mib(self._limit.size)
            raise self._short(weight, f"the server has {room} available of {size} ({self._limit.source})")

    def _short(self, weight: int, why: str = "the system has less available now") -> Unavailable:
        needed = _needed_limit(self._settings, weight)
        facts = {"needed_bytes": weight, "room_bytes": self._room, "limit_bytes": self._limit and self._limit.size}
        logger.warning("too little memory for a picture", extra={**facts, "needed_limit_bytes": needed})
        return Unavailable(
            f"Decoding this image takes {_mib(weight)} of memory: {why}. "
            f"Send an image with fewer pixels, or give the server at least {_mib(needed)}."
        )

    def _rest(self) -> None:
        """Schedule the return of free memory to the system for when decoding pauses, because it costs time."""
        loop = asyncio.get_running_loop()
        if self._lull:
            self._lull.cancel()
        self._lull = loop.call_later(_LULL, Thread(target=memory.give_back, daemon=True).start)

    async def _read(
        self,
        data: bytes,
        declared: str | None,
        sha256: str | None,
        size: int | None,
        *,
        strip_location: bool,
    ) -> Inspected:
        hashed = asyncio.create_task(asyncio.to_thread(_digest, data))
        try:
            develop = partial(media.develop, max_pixels=self._max_pixels, encoding=self._encoding)
            made = await asyncio.to_thread(develop, data)
        finally:
            digest = await hashed
        picture = made.picture
        media.check_declared(picture.content_type, declared)
        if sha256 not in {None, digest} or size not in {None, len(data)}:
            raise InvalidImage("The received bytes do not match the declared file_size or sha256.")
        if strip_location:
            data = await asyncio.to_thread(media.without_location, data, picture.content_type)
            digest = await asyncio.to_thread(_digest, data)
        facts = (picture.content_type, len(data), digest, picture.width, picture.height, made.placeholder)
        return Inspected(data, Content(*facts), made.variants)


def _body_memory(settings: Settings, limit: memory.Limit | None) -> int:
    """Return the memory budget of all uploads together in bytes: at most a quarter of the process's limit.

    If a quarter is less than the largest image, the budget is the size of the largest image.
    """
    if limit is None:
        return settings.body_memory
    return min(settings.body_memory, max((limit.size - _PROCESS) // _BODIES_SHARE, settings.max_image_bytes))


def _room(settings: Settings, limit: memory.Limit | None, bodies: int) -> int:
    """Return the memory limit of one decode in bytes: the process's limit minus its other memory.

    The other memory is the idle process and all other bodies; an image's own bytes count as part of its decode. At
    least an eighth of the limit remains, so that small images always work.
    """
    if limit is None:
        return sys.maxsize
    others = max(bodies - settings.max_image_bytes, 0)
    return max(limit.size - _PROCESS - others, limit.size // 8)


def _needed_limit(settings: Settings, weight: int) -> int:
    """Return the smallest memory limit of the process, in bytes, that allows a decode of `weight` bytes."""
    beside = settings.body_memory - settings.max_image_bytes
    # Either the configured budget of uploads fits their share, or uploads use their share and the decode the rest.
    shared = -(-(weight - settings.max_image_bytes) * _BODIES_SHARE // (_BODIES_SHARE - 1))
    return _PROCESS + max(min(weight + max(beside, 0), shared), weight)


def _mib(size: int) -> str:
    return f"{-(-size // memory.MIB):,} MiB"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def _within(room: AsyncExitStack, work: Awaitable[T]) -> T:
    async with room:
        return await work
