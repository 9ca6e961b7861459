"""HTTP/1.1 connections of the aiohttp server: limits, deadlines, and responses to invalid HTTP."""

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong

from .api.dispatch import Api
from .api.http import ApiRequest, ApiResponse, plain_path
from .api.problems import problem
from .domain.errors import (
    FieldsTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    PixdepotError,
    RequestTimeout,
    Unavailable,
    UriTooLong,
)

logger = logging.getLogger(__name__)

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NAME = {"Server": "pixdepot"}  # replaces the header of aiohttp, which names versions
_MOST_TARGET, _MOST_FIELD = 8190, 8192  # bytes
_MOST_LINE = 64 * 1024  # bytes: what is longer is not read, and what is as long can be told why it is refused
_MOST_SEEN = 2 * _MOST_LINE  # bytes of a head that are kept for the case that it cannot be read
_READ_AHEAD = 128 * 1024  # bytes of a body, for each connection, that nobody has asked for yet
_HOST = re.compile(r"[A-Za-z0-9._~:\[\]-]{1,255}")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The time limits of a connection in seconds. The server closes a connection that exceeds one."""

    head: float = 10.0  # from the first byte of a request to the end of its head
    idle: float = 75.0  # for the first byte of a request
    stall: float = 20.0  # for the next bytes of a body, or to take the next of an answer
    slack: float = 20.0  # for a whole body, beyond what it takes at `rate`
    rate: float = 16 * 1024  # bytes a second
    linger: float = 5.0  # to read an answer that came before the end of the body


DEADLINES = Deadlines()


class Front:
    """Serves the requests of all connections by an API's routes, and tracks requests in progress.

    It does not use aiohttp's router and middlewares, because the API has its own table of routes.
    """

    def __init__(self, api: Api, deadlines: Deadlines) -> None:
        self._api, self._deadlines = api, deadlines
        self._tasks: set[asyncio.Task[object]] = set()
        self._ending = False

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Respond to one request. Never raises because of what a client sent."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a coroutine
        self._tasks.add(task)  # until its answer is sent
        task.add_done_callback(self._tasks.discard)
        headers, host = _headers(request), _host(request)
        if error := _unacceptable(request, host):
            return _refusal(self._api, error, headers)
        path = plain_path(request.rel_url.raw_path)
        route, parameters = self._api.match(request.method, path)
        translated = ApiRequest(
            method=request.method,
            path=path,
            body=_body(request, self._deadlines),
            query=tuple(request.query.items()),
            headers=headers,
            parameters=parameters,
            base_url=self._api.services.settings.public_url or f"{request.scheme}://{host}",
        )
        return await self._respond(request, await self._api.dispatch(route, translated))

    async def _respond(self, request: web.BaseRequest, answer: ApiResponse) -> web.StreamResponse:
        headers = {**_NAME, **answer.headers}
        if isinstance(answer.body, bytes):
            if answer.length is not None:  # the answer to a HEAD has the length of a body that it does not have
                headers["Content-Length"] = str(answer.length)
            whole = web.Response(status=answer.status, headers=headers, body=answer.body or None)
            self._close_if_last(request, whole)
            return whole
        streamed = web.StreamResponse(status=answer.status, headers=headers)
        streamed.content_length = answer.length
        self._close_if_last(request, streamed)
        with contextlib.suppress(ConnectionError):  # the client may leave when it likes
            await streamed.prepare(request)
            async for chunk in answer.body:
                await streamed.write(chunk)
            await streamed.write_eof()
        return streamed

    def _close_if_last(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Close the connection on shutdown, and if the unread rest of a body would look like the next request."""
        if self._ending or not request.content.is_eof():
            _close(response)

    async def end(self, seconds: float) -> None:
        """Close each connection after its request, and wait until all requests are answered or the time is over.

        Call it before aiohttp shuts down, because aiohttp then stops reading request bodies.
        """
        self._ending = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._tasks:
                    await asyncio.wait(self._tasks)


def _close(response: web.StreamResponse) -> None:
    response.force_close()
    response.headers["Connection"] = "close"


def _headers(request: web.BaseRequest) -> dict[str, str]:
    """Return the headers by lower-case name. Repeated headers are joined into lists (RFC 9110 section 5.3)."""
    headers: dict[str, str] = {}
    for field, value in request.headers.items():
        name = field.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _unacceptable(request: web.BaseRequest, host: str) -> PixdepotError | None:
    """Return the error of a well-formed request that the server rejects, or None."""
    if request.version.major != 1:
        return InvalidRequest("This is a server of HTTP/1.1.")
    if not _HOST.fullmatch(host):
        return InvalidRequest("The Host header must name the host, once.")
    # A preflight may be long: a page that is refused it cannot read why its request would be.
    if len(request.raw_path) > _MOST_TARGET and request.method != "OPTIONS":
        return _too_long()
    return None


def _too_long() -> PixdepotError:
    return UriTooLong(f"A target may have {_MOST_TARGET:,} bytes.")


def _host(request: web.BaseRequest) -> str:
    """Return the host that the client used. Only HTTP/1.0 requests may omit it."""
    hosts = request.headers.getall("Host", [])
    if hosts or request.version >= HttpVersion11 or request.transport is None:
        return ",".join(hosts)
    name, port, *_ = request.transport.get_extra_info("sockname")
    return authority(name, port)


def authority(host: str, port: int) -> str:
    """Return the host and the port in the format of a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _body(request: web.BaseRequest, deadlines: Deadlines) -> AsyncIterator[bytes]:
    expecting = request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11
    if expecting and request.can_read_body:
        assert request.transport is not None  # noqa: S101 - a request that is being handled has one
        request.transport.write(_CONTINUE)
    clock = asyncio.get_running_loop().time
    received, waited = 0, 0.0  # bytes, and the seconds that the client took for them
    while True:
        left = deadlines.slack + received / deadlines.rate - waited
        asked = clock()
        try:
            async with asyncio.timeout(min(left, deadlines.stall)):
                chunk = await request.content.readany()
        except TimeoutError as error:
            raise RequestTimeout("The body arrived too slowly; retry with a faster connection.") from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise InvalidRequest("The body is incomplete or malformed.") from error
        if not chunk:
            return
        waited += clock() - asked
        received += len(chunk)
        yield chunk


def _refusal(api: Api, error: PixdepotError, headers: Mapping[str, str] | None) -> web.Response:
    """Return the response to a rejected request. It closes the connection."""
    answer = api.refuse(error, headers)
    response = web.Response(status=answer.status, headers={**_NAME, **answer.headers}, body=answer.body)
    _close(response)
    return response


def too_many_connections() -> bytes:
    """Return the raw response to a connection over the limit."""
    error = Unavailable("The server has too many connections open: retry later, or use fewer connections.")
    answer = problem(error, secrets.token_hex(8))
    assert isinstance(answer.body, bytes)  # noqa: S101 - a problem is whole
    fields = {**_NAME, **answer.headers, "Content-Length": str(len(answer.body)), "Connection": "close"}
    head = [f"HTTP/1.1 {answer.status} Service Unavailable", *(f"{name}: {text}" for name, text in fields.items())]
    return "\r\n".join([*head, "", ""]).encode() + answer.body


class _Timer:
    """A timer that calls a function unless it is stopped in time."""

    def __init__(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self._seconds, self._loop = seconds, loop
        self._handle: asyncio.TimerHandle | None = None

    def start(self, then: Callable[[], None]) -> None:
        """Start the timer, unless it is running."""
        if self._handle is None:
            self._handle = self._loop.call_later(self._seconds, then)

    def stop(self) -> None:
        """Stop the timer."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class Connection(web.RequestHandler):
    """aiohttp's request handler with deadlines. It responds to invalid HTTP with a problem document."""

    __slots__ = ("_answer_due", "_api", "_beginning", "_head_due")

    def __init__(self, api: Api, deadlines: Deadlines, **options: Any) -> None:
        super().__init__(
            keepalive_timeout=deadlines.idle,
            lingering_time=deadlines.linger,
            max_line_size=_MOST_LINE,
            max_field_size=_MOST_FIELD,
            read_bufsize=_READ_AHEAD,
            auto_decompress=False,
            **options,
        )
        self._api = api
        self._beginning = b""  # of the latest head, to know whose it is where it cannot be read
        self._head_due = _Timer(deadlines.head, self._loop)
        self._answer_due = _Timer(deadlines.stall, self._loop)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - it is a socket's
        transport.set_write_buffer_limits(0)  # every byte that is not taken counts, also those at the end

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if data and self._waiter is not None and not self._waiter.done():
            end = data.find(b"\r\n\r\n", 0, _MOST_SEEN)
            self._beginning = data[: end + 2 if end >= 0 else _MOST_SEEN]
        super().data_received(data)
        if self._waiter is None or self._waiter.done():  # a whole head is here, or its body is being read
            self._head_due.stop()
        elif data:
            self._head_due.start(self.force_close)

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        super().pause_writing()
        if self.transport is not None:
            self._answer_due.start(self.transport.abort)  # close() would wait for the client to take the rest

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        super().resume_writing()
        self._answer_due.stop()

    def connection_lost(self, exc: BaseException | None) -> None:
        """See asyncio.Protocol."""
        super().connection_lost(exc)
        self._head_due.stop()
        self._answer_due.stop()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the exception has it too
    ) -> web.StreamResponse:
        """Respond to a request that aiohttp cannot parse, or to a failure outside `Api.dispatch`."""
        if status == 400:
            return _refusal(self._api, _misread(exc, self._api), _seen(self._beginning))
        self.log_exception("An answer could not be sent", exc_info=exc)
        if request.writer.output_size:
            raise ConnectionError("Part of the response has already been sent.")
        return _refusal(self._api, PixdepotError("The server failed unexpectedly."), _headers(request))


# The parser's words, which quote the line: there is no other way to know it.
_UNKNOWN_METHOD = re.compile(r"""b['"][A-Z][A-Z-]* (/[^ ?#]*)[^ ]* HTTP/1\.[01]['"]""")
_TOO_MANY_FIELDS = "Too many headers received"
_ORIGIN = re.compile(rb"\r\norigin:[ \t]*([!-~]+)[ \t]*\r\n", re.IGNORECASE)


def _seen(data: bytes) -> dict[str, str] | None:
    """Return the one header field that matters of a request that aiohttp cannot read, None if it has none."""
    found = _ORIGIN.search(data)
    return {"origin": found[1].decode("ascii")} if found else None


def _misread(exc: BaseException | None, api: Api) -> PixdepotError:
    """Return the error of a request that aiohttp cannot parse."""
    said = getattr(exc, "message", "")
    # It is by the limit that the parser tells a long target from a long header field.
    if isinstance(exc, LineTooLong) and exc.args[1] == _MOST_LINE:
        return _too_long()
    if isinstance(exc, LineTooLong) or said == _TOO_MANY_FIELDS:
        return FieldsTooLarge(f"A header field may have {_MOST_FIELD:,} bytes, and a request 128 of them.")
    if isinstance(exc, BadHttpMethod) and (line := _UNKNOWN_METHOD.search(said)):
        try:
            return MethodNotAllowed(api.allowed(plain_path(line[1])))
        except PixdepotError as error:
            return error
    return InvalidRequest("The request is not well-formed HTTP.")
