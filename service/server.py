"""The aiohttp skin: a server process for the API."""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web
from yarl import URL

from . import media
from .api.dispatch import Api
from .api.scraping import metrics_route
from .connections import DEADLINES, Connection, Deadlines, Front, authority, too_many_connections
from .domain.errors import (
    DepotMismatch,
    Unavailable,
)
from .machine import descriptors
from .runtime import open_service
from .settings import Settings, SettingsError
from .telemetry import logs
from .web.gallery import page_routes
from .web.reader import reader_routes

logger = logging.getLogger(__name__)

_DRAIN = 30.0  # seconds that requests in flight have after SIGTERM
_LAST_SECOND = 1.0  # and those have that came on open connections meanwhile


@contextlib.asynccontextmanager
async def answering(api: Api, listening: socket.socket, deadlines: Deadlines = DEADLINES) -> AsyncIterator[None]:
    """Serve requests on a listening socket. At the end, accept no new requests and finish those in progress."""
    depot = api.services.depot
    origin = depot.objects.origin or _origin(depot.settings.public_url)
    api = api.beside(*page_routes(origin), *reader_routes(origin), metrics_route(depot))
    front = Front(api, deadlines)
    # Nobody answers "Expect: 100-continue" before somebody reads the body: it may be refused before.
    runner = web.ServerRunner(web.Server(front.answer), shutdown_timeout=_LAST_SECOND)
    await runner.setup()
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {"manager": runner.server, "loop": loop, "access_log": None}
    most, shortage = descriptors.most_connections(), descriptors.Shortage()

    def connection() -> asyncio.Protocol:
        assert runner.server is not None  # noqa: S101 - it is set up
        if len(runner.server.connections) < most:
            return Connection(api, deadlines, **options)
        shortage.tell("connections are turned away: %d are open", most)
        return descriptors.TurnedAway(too_many_connections())

    server = await loop.create_server(connection, sock=listening)
    try:
        yield
    finally:
        server.close()
        await front.end(_DRAIN)
        await runner.cleanup()


def _origin(url: str) -> str:
    """Return the origin of a URL; nothing of no URL."""
    return str(URL(url).origin()) if url else ""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on this address. Port 0 selects a free port.

    Raises OSError, whose message contains the address, the cause and the remedy.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, TypeError, UnicodeError) as error:  # TypeError: a name that cannot be encoded
        code = error.errno if isinstance(error, OSError) else None
        if code is None or code < 0:  # of getaddrinfo, or of the encoding of names before that
            raise OSError(f"The host {host} does not resolve. {_ANOTHER_HOST}") from error
        remedy = _REMEDIES.get(code, _ANOTHER_HOST)
        raise OSError(f"Cannot listen on {authority(host, port)}: {os.strerror(code)}. {remedy}") from error


_ANOTHER_HOST = "Set --host to an address of this machine, such as 127.0.0.1."
_REMEDIES = {
    errno.EADDRINUSE: "Stop the other process, or set --port to another port (0: a free one).",
    errno.EACCES: "Ports below 1024 require a privilege; set --port to a higher one.",
}


def is_exposed(settings: Settings, host: str) -> bool:
    """Return whether the server would accept any user from the network without authentication."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    return settings.auth == "open" and not loopback


def check_exposure(settings: Settings, host: str) -> None:
    """Raise SettingsError if the server is exposed, unless PIXDEPOT_ALLOW_OPEN_AUTH permits it."""
    if is_exposed(settings, host) and not settings.allow_open_auth:
        raise SettingsError(
            f"Without tokens, everyone who can reach {host} can upload and delete as any user. Listen on "
            "127.0.0.1, or require tokens (PIXDEPOT_AUTH=jwt). In a container, publish the port on loopback only "
            "(-p 127.0.0.1:8080:8080) and set PIXDEPOT_ALLOW_OPEN_AUTH=1."
        )


async def serve(settings: Settings, host: str, port: int, started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in progress and return.

    Call `started` with the URL when the server accepts requests. Raises SettingsError and OSError before that. A
    backend that does not answer yet is logged with the remedy; the server starts anyway, and works when it answers.
    """
    check_exposure(settings, host)
    descriptors.raise_limit()
    descriptors.quieten_accept(asyncio.get_running_loop())
    stop = asyncio.Event()
    with contextlib.closing(listen(host, port)) as listening:
        if is_exposed(settings, host):
            logger.warning(
                "Open auth on %s: everyone who can reach this port can upload and delete as any user. In a "
                "container, publish it on loopback only (-p 127.0.0.1:8080:8080), or require tokens "
                "(PIXDEPOT_AUTH=jwt).",
                host,
            )
        async with open_service(settings) as runtime, answering(runtime.api, listening):
            for each in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(each, stop.set)
            await _tell_of_failures(runtime.api)
            sweeping = asyncio.create_task(runtime.sweeper.run(settings.sweep_interval))
            started(f"http://{authority(host, listening.getsockname()[1])}")
            await asyncio.to_thread(media.preload)
            await stop.wait()
            sweeping.cancel()


async def _tell_of_failures(api: Api) -> None:
    """Log a warning for each backend that is unavailable, so that a wrong setting is visible at the start."""
    silent = Unavailable(
        "The request timed out.", cause="Check its endpoint and the network; `pixdepot doctor` shows details."
    )
    for name, failure in (await api.services.depot.failures()).items():
        if not isinstance(failure, DepotMismatch):  # of which sweep tells
            error = silent if isinstance(failure, TimeoutError) else failure
            logs.failed(logger, f"The {name} is unavailable", error)
