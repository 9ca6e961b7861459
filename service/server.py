"""The aiohttp skin: a server process for the API."""

import asyncio
import contextlib
import ipaddress
import logging
import re
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.typedefs import Handler, Middleware

from .api import Api
from .errors import InvalidRequest
from .http import ApiRequest, ApiResponse, Route
from .problems import problem
from .runtime import open_service
from .settings import Settings, SettingsError

logger = logging.getLogger(__name__)

_DRAIN = 30.0  # seconds that requests in flight have after SIGTERM
_LAST_SECOND = 1.0  # and those have that came on open connections meanwhile
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_HOST = re.compile(r"[A-Za-z0-9._~:\[\]-]{1,255}")


def application(api: Api) -> web.Application:
    """Return an aiohttp application that serves an API's routes and answers everything else as it says."""
    app = web.Application(middlewares=[_or_else(_handler(api, None))])
    app.on_response_prepare.append(_close_when_unread)
    for route in api.routes:
        # aiohttp's own {name} would leave out segments that have braces.
        segments = re.sub(r"\{(\w+)\}", r"{\1:[^/]+}", route.path)
        pattern = re.sub(r"\{(\w+)\+\}", r"{\1:.+}", segments)
        _add(app, route.method, pattern, _handler(api, route))
        if route.method == "GET":
            _add(app, "HEAD", pattern, _handler(api, route))
    _add(app, "*", "/{path:.*}", _handler(api, None))
    return app


def _add(app: web.Application, method: str, pattern: str, handler: Handler) -> None:
    app.router.add_route(method, pattern, handler, expect_handler=_wait)


async def _wait(request: web.Request) -> None:
    """Leave "Expect: 100-continue" unanswered until somebody reads the body: it may be refused before."""


def _or_else(otherwise: Handler) -> Middleware:
    """Return a middleware that lets `otherwise` answer what is no path at all, as in "OPTIONS *"."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await (handler if request.match_info.http_exception is None else otherwise)(request)

    return answer


async def _close_when_unread(request: web.Request, response: web.StreamResponse) -> None:
    """End the connection where the rest of a body would be taken for the next request."""
    if not request.content.is_eof():
        _close(response)


def _close(response: web.StreamResponse) -> None:
    response.force_close()
    response.headers["Connection"] = "close"


def _handler(api: Api, route: Route | None) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        host = _host(request)
        if not _HOST.fullmatch(host):
            return _refusal("The Host header must name the host, once.")
        base_url = api.services.settings.public_url or f"{request.scheme}://{host}"
        translated = ApiRequest(
            method=request.method,
            path=request.path,
            body=_body(request),
            query=tuple(request.query.items()),
            headers={name.lower(): value for name, value in request.headers.items()},
            parameters=dict(request.match_info),
            base_url=base_url,
        )
        return await _respond(request, await api.dispatch(route, translated))

    return handle


def _host(request: web.Request) -> str:
    """Return the host that the client speaks to; only HTTP/1.0 may leave it open."""
    hosts = request.headers.getall("Host", [])
    if hosts or request.version >= HttpVersion11 or request.transport is None:
        return ",".join(hosts)
    name, port, *_ = request.transport.get_extra_info("sockname")
    return _authority(name, port)


async def _body(request: web.Request) -> AsyncIterator[bytes]:
    expecting = request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11
    if expecting and request.can_read_body:
        assert request.transport is not None  # noqa: S101 - a request that is being handled has one
        request.transport.write(_CONTINUE)
    try:
        async for chunk in request.content.iter_any():
            yield chunk
    except (web.RequestPayloadError, ConnectionError) as error:
        raise InvalidRequest("The body breaks off, or is not well-formed.") from error


async def _respond(request: web.Request, answer: ApiResponse) -> web.StreamResponse:
    if isinstance(answer.body, bytes):
        # The answer to a HEAD has the length of a body that it does not have.
        length = {} if answer.length is None else {"Content-Length": str(answer.length)}
        return web.Response(status=answer.status, headers={**answer.headers, **length}, body=answer.body or None)
    streamed = web.StreamResponse(status=answer.status, headers=answer.headers)
    streamed.content_length = answer.length
    with contextlib.suppress(ConnectionError):  # the client may leave when it likes
        await streamed.prepare(request)
        async for chunk in answer.body:
            await streamed.write(chunk)
        await streamed.write_eof()
    return streamed


def _refusal(detail: str) -> web.Response:
    """Return the answer to a request that cannot be passed on; the connection ends with it."""
    request_id = secrets.token_hex(8)
    answer = problem(InvalidRequest(detail), request_id)
    logger.info("refused", extra={"request_id": request_id, "status": answer.status})
    headers = {**answer.headers, "X-Request-ID": request_id}
    response = web.Response(status=answer.status, headers=headers, body=answer.body)
    _close(response)
    return response


class _Connection(web.RequestHandler):
    """aiohttp's own, but what is not HTTP is answered like any other mistake, and not logged as ours."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to what aiohttp cannot read, or to a failure outside of `Api.dispatch`."""
        if status != 400:
            return super().handle_error(request, status, exc, message)
        return _refusal("The request is not well-formed HTTP.")


class _Traffic:
    """The requests in flight. An aiohttp that shuts down reads no more of their bodies, so they come first."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()
        self._ending = False

    @web.middleware
    async def count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request pass, and know of it until its answer is sent."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a coroutine
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await handler(request)

    async def close_at_the_end(self, _: web.Request, response: web.StreamResponse) -> None:
        """Keep no connection open for another request when there will be nobody to answer it."""
        if self._ending:
            _close(response)

    async def end(self, seconds: float) -> None:
        """Return when all are answered, or when the time is over."""
        self._ending = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._tasks:
                    await asyncio.wait(self._tasks)


@contextlib.asynccontextmanager
async def answering(api: Api, listening: socket.socket) -> AsyncIterator[None]:
    """Answer what comes to a listening socket; at the end take nothing new, and finish what is in flight."""
    app, traffic = application(api), _Traffic()
    app.middlewares.append(traffic.count)
    app.on_response_prepare.append(traffic.close_at_the_end)
    runner = web.AppRunner(app, shutdown_timeout=_LAST_SECOND)
    await runner.setup()
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {"manager": runner.server, "loop": loop, "access_log": None, "auto_decompress": False}
    server = await loop.create_server(partial(_Connection, **options), sock=listening)
    try:
        yield
    finally:
        server.close()
        await traffic.end(_DRAIN)
        await runner.cleanup()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on this address; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def check_exposure(settings: Settings, host: str) -> None:
    """Raise SettingsError when anyone on the network could do anything as anyone."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if settings.auth == "open" and not loopback and not settings.allow_open_auth:
        raise SettingsError(
            f"With open auth everyone who reaches {host} may upload and delete as any user. "
            "Listen on 127.0.0.1, ask for tokens (PIXDEPOT_AUTH=jwt), or say PIXDEPOT_ALLOW_OPEN_AUTH=1 if that "
            "is meant."
        )


async def serve(settings: Settings, host: str, port: int, started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight, and return.

    Calls `started` with the URL once requests are answered. Raises SettingsError and OSError before that.
    """
    check_exposure(settings, host)
    stop = asyncio.Event()
    with contextlib.closing(listen(host, port)) as listening:
        async with open_service(settings) as runtime, answering(runtime.api, listening):
            sweeping = asyncio.create_task(runtime.sweeper.run(settings.sweep_interval))
            for each in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(each, stop.set)
            started(f"http://{_authority(host, listening.getsockname()[1])}")
            await stop.wait()
            sweeping.cancel()
