"""Finding out what bytes are, off the event loop, and no more of them at a time than memory has room for."""

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

_AT_ONCE = 2  # more threads than cores gain nothing
_BODY_PATIENCE = 20.0  # seconds for a picture to be let in: one that waits takes no memory
_DECODE_PATIENCE = 8.0  # seconds for one that is here already
_BODIES_SHARE = 4  # one part in four of the memory that is not the process's own
_PROCESS = 96 * memory.MIB  # what the process takes when idle (64), and the encoders of variants
_LULL = 1.0  # seconds without a decode, after which free memory is given back


@dataclass(frozen=True, slots=True)
class Inspected:
    """A picture that may be published: its bytes, what they are, and what people look at first, by name."""

    data: bytes
    content: Content
    variants: Mapping[str, media.Variant]


class Inspector:
    """Reads pictures. One for the process, since what it bounds (its `budgets`) is the process's memory."""

    def __init__(self, settings: Settings, limit: memory.Limit | None = None) -> None:
        """Keep to what the settings say, and to a limit of the whole process, where there is one."""
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
        """Return what each budget has lent, by its name."""
        return {name: budget.lending for name, budget in self.budgets.items()}

    def admitted(self, size: int | None) -> AbstractAsyncContextManager[Loan]:
        """Return a context in which a picture of so many bytes may be held in memory; None is any picture.

        Enter it before reading the first of them. Raises Unavailable when too many are held already.
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
        """Return what the bytes are, having decoded them whole, and their variants. Repeatable; changes nothing.

        `declared` is the media type that the client said, `sha256` and `size` (bytes) what was promised. With
        `strip_location` the bytes that come back have no place in them, or it is InvalidImage.
        Raises TooLarge, UnsupportedImage, InvalidImage or TypeMismatch; Unavailable when too much is being decoded,
        or where the machine has not the memory to decode it: that is no verdict on the picture.
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
            # A thread cannot be cancelled: what it holds is free when it has ended, not when its client has left.
            work = self._read(data, declared, sha256, size, strip_location=strip_location)
            try:
                return await asyncio.shield(asyncio.create_task(_within(room.pop_all(), work)))
            except MemoryError as error:
                raise self._short(weight) from error

    def _check_room(self, weight: int) -> None:
        """Raise Unavailable for a decode that would take more memory than the process may."""
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
        """Give memory back once nothing has been decoded for a while; in between that would only cost time."""
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
    """Return how many bytes all uploads together may hold: a quarter at most of what the process may take.

    Where that is less than one picture may have, it is one picture.
    """
    if limit is None:
        return settings.body_memory
    return min(settings.body_memory, max((limit.size - _PROCESS) // _BODIES_SHARE, settings.max_image_bytes))


def _room(settings: Settings, limit: memory.Limit | None, bodies: int) -> int:
    """Return how many bytes one decode may take: what the process may, less what it takes besides.

    That is the process itself and the other bodies: the picture's own bytes count as its decode's. Where there is
    next to nothing, small pictures are taken all the same.
    """
    if limit is None:
        return sys.maxsize
    others = max(bodies - settings.max_image_bytes, 0)
    return max(limit.size - _PROCESS - others, limit.size // 8)


def _needed_limit(settings: Settings, weight: int) -> int:
    """Return the least memory for the process, in bytes, with which there is room to decode so many."""
    beside = settings.body_memory - settings.max_image_bytes
    # Either all that uploads may hold fits a share of it, or they have that share and the decode the rest.
    shared = -(-(weight - settings.max_image_bytes) * _BODIES_SHARE // (_BODIES_SHARE - 1))
    return _PROCESS + max(min(weight + max(beside, 0), shared), weight)


def _mib(size: int) -> str:
    return f"{-(-size // memory.MIB):,} MiB"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def _within(room: AsyncExitStack, work: Awaitable[T]) -> T:
    async with room:
        return await work
