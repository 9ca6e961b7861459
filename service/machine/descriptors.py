"""File descriptors: the process's limit, the share for connections, and log messages about shortages."""

import asyncio
import logging
import resource
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

logger = logging.getLogger(__name__)

_ENOUGH = 2**20  # nobody needs more, and the hard limit may be as good as none
_KEPT = 256  # for the database, the SDK's connections and the like; at most a quarter
_QUIET = 10.0  # seconds between two lines in the log about a shortage


def raise_limit() -> None:
    """Raise the soft limit of file descriptors, often 1,024, to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if resource.RLIM_INFINITY != soft < wanted:
        with suppress(OSError, ValueError):  # macOS has a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections() -> int:
    """Return the maximum number of open connections. Each may need a file in addition to its socket."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _ENOUGH if soft == resource.RLIM_INFINITY else (soft - min(_KEPT, soft // 4)) // 2


class Shortage:
    """Logs a shortage at most every 10 seconds, because each new connection would repeat it."""

    def __init__(self) -> None:
        self._next = 0.0

    def tell(self, message: str, *arguments: object) -> None:
        """Log the message, unless one was logged within the last 10 seconds."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _QUIET
            logger.warning(message, *arguments)


def quieten_accept(loop: asyncio.AbstractEventLoop) -> None:
    """Log in one line, at most every 10 seconds, that the process cannot accept connections.

    asyncio logs a traceback for each of 100 attempts before it waits for a second.
    """
    before: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = loop.get_exception_handler()
    shortage = Shortage()

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "accept() out of system resource" in context.get("message", ""):
            shortage.tell("no connection can be accepted: %s", context.get("exception"))
        elif before is not None:
            before(loop, context)
        else:
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)


class TurnedAway(asyncio.Protocol):
    """A connection over the limit. It gets an error response before any request, and is closed."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - it is a socket's
        transport.write(self._answer)
        transport.close()
