"""File descriptors: how many the process may have, how many of them connections may take, and running short."""

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
    """Let this process have as many descriptors as it may give itself: the soft limit is often 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if resource.RLIM_INFINITY != soft < wanted:
        with suppress(OSError, ValueError):  # macOS has a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections() -> int:
    """Return how many connections may be open at once: each may need a file beside its socket."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _ENOUGH if soft == resource.RLIM_INFINITY else (soft - min(_KEPT, soft // 4)) // 2


class Shortage:
    """Tells of a shortage in one line, and then not again for 10 seconds: it comes with every new connection."""

    def __init__(self) -> None:
        self._next = 0.0

    def tell(self, message: str, *arguments: object) -> None:
        """Log the message, unless one was logged a moment ago."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _QUIET
            logger.warning(message, *arguments)


def quieten_accept(loop: asyncio.AbstractEventLoop) -> None:
    """Tell in a line, and seldom, that no connection can be accepted.

    asyncio tells of it for each of 100 tries, with a traceback, before it waits for a second.
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
    """A connection too many: it gets an answer in place of a question, and is closed."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - it is a socket's
        transport.write(self._answer)
        transport.close()
