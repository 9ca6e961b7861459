"""The API: operations bound to their services, and the one place where errors are caught."""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from service.domain.errors import MethodNotAllowed, NotFound, PixdepotError, Unavailable
from service.domain.model import ByteStream
from service.operations import undoing
from service.operations.patience import limited
from service.telemetry import logs
from service.telemetry.metrics import UNROUTED, Requests

from . import schemas
from .calls import Call, Services
from .cors import cors_headers, preflight_headers
from .http import ApiRequest, ApiResponse, Route
from .identity import Caller
from .problems import problem
from .table import OPERATIONS, Operation

logger = logging.getLogger(__package__)

_ANSWER_SECONDS = 12  # from the end of a request to what is answered, whatever the backends do
_READING = frozenset({"GET", "HEAD", "OPTIONS"})  # methods that change nothing
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:=@+/-]{1,128}")


class Api:
    """The operations bound to their services, and the storage's own routes if it has any: what a skin serves."""

    def __init__(self, services: Services, storage_routes: tuple[Route, ...] = ()) -> None:
        self.services = services
        bound = (Route(each.method, each.path, each.name, self._endpoint(each)) for each in OPERATIONS)
        self._beside = storage_routes
        self.routes = (*bound, *storage_routes)
        self._plain = {(each.method, each.path): each for each in self.routes if "{" not in each.path}
        self._others = [each for each in self.routes if "{" in each.path]

    def beside(self, *routes: Route) -> "Api":
        """Return the same API with routes that only one skin has."""
        return Api(self.services, (*self._beside, *routes))

    def match(self, method: str, path: str) -> tuple[Route | None, Mapping[str, str]]:
        """Return the route that answers a method at a path, see `plain_path`, and what it found in the path.

        None where there is none. GET's answer HEAD.
        """
        method = "GET" if method == "HEAD" else method
        if plain := self._plain.get((method, path)):
            return plain, {}
        for each in self._others:
            if each.method == method and (parameters := each.match(path)) is not None:
                return each, parameters
        return None, {}

    def _endpoint(self, operation: Operation) -> Callable[[ApiRequest], Awaitable[ApiResponse]]:
        schema = operation.query()

        async def endpoint(request: ApiRequest) -> ApiResponse:
            caller = Caller() if operation.anonymous else await self.services.identity.caller(request)
            logs.note(user=caller.user_id)
            query = schemas.load_query(schema, request.query)
            return await operation.perform(Call(self.services, request, caller, query))

        return endpoint

    async def dispatch(self, route: Route | None, request: ApiRequest) -> ApiResponse:
        """Return the answer to a request that a skin has matched to a route, or to none. Never raises."""
        request_id = _request_id(request.headers)
        operation = route.operation if route else UNROUTED
        with logs.request(request_id):
            started, body = time.perf_counter(), _Body(request.body)
            response, fault = await self._traced(operation, route, request, body, request_id)
            seconds = time.perf_counter() - started
            _log_answered(operation, request, response, seconds, fault)
        response = self._marked(response, request_id, request.headers)
        if request.method == "HEAD" and isinstance(response.body, bytes) and response.length is None:
            response = replace(response, body=b"", length=len(response.body))
        counted = self.services.depot.metrics.requests[operation]
        counted.answered(response.status, seconds, body.received)
        return _counting(response, counted)

    def refuse(self, error: PixdepotError, headers: Mapping[str, str] | None) -> ApiResponse:
        """Return the answer to a request that a skin refuses. `headers` are None where it cannot read them."""
        request_id = _request_id(headers or {})
        response = problem(error, request_id)
        self.services.depot.metrics.requests[UNROUTED].statuses[response.status] += 1
        logger.info("refused", extra={"request_id": request_id, "status": response.status})
        return self._marked(response, request_id, headers)

    def _marked(self, response: ApiResponse, request_id: str, headers: Mapping[str, str] | None) -> ApiResponse:
        """Return a response with the request's ID, and with the permission to read it for pages that have it."""
        cross_origin = cors_headers(self.services.settings.cors_origins, headers)
        return response.with_headers({"X-Request-ID": request_id, **cross_origin})

    async def _traced(
        self, operation: str, route: Route | None, request: ApiRequest, body: "_Body", request_id: str
    ) -> tuple[ApiResponse, Exception | None]:
        """Return what `_answer` does, from inside a span where somebody looks at them."""
        tracer = self.services.depot.tracer
        if tracer is None:
            return await self._answer(route, request, body, request_id)
        with tracer.request(operation, request.method, request.headers) as span:
            logs.note(trace_id=span.trace_id)
            response, fault = await self._answer(route, request, body, request_id)
            span.answered(response.status)
        return response, fault

    async def _answer(
        self, route: Route | None, request: ApiRequest, body: "_Body", request_id: str
    ) -> tuple[ApiResponse, Exception | None]:
        """Return the answer, and what nobody foresaw if that is why it is a failure."""
        try:
            if request.method not in _READING:
                self.services.depot.pairing.check_writable()
            async with undoing.afterwards():  # also when the time is over: it has a little of its own
                return (await _in_time(route, request, body) if route else self._unrouted(request)), None
        except PixdepotError as error:
            logs.note(code=error.code)
            return problem(error, request_id), None
        except Exception as error:  # noqa: BLE001 - logged with the answer
            unforeseen = PixdepotError("The server failed. Its log has the traceback for this request_id.")
            return problem(unforeseen, request_id), error

    def allowed(self, path: str) -> list[str]:
        """Return the methods that a path takes (see `plain_path`), sorted. Raises NotFound where it takes none."""
        methods = {each.method for each in self.routes if each.match(path) is not None}
        # No ID has a slash in it, so an encoded one leads nowhere, whatever the method.
        if not methods or "%2f" in path.lower():
            raise NotFound("The path does not exist. /openapi.json lists all paths.")
        return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))

    def _unrouted(self, request: ApiRequest) -> ApiResponse:
        allowed = self.allowed(request.path)
        if request.method != "OPTIONS":
            raise MethodNotAllowed(allowed)
        granted = preflight_headers(self.services.settings.cors_origins, request.headers, allowed)
        return ApiResponse(204, {"Allow": ", ".join(allowed), **granted})


def _request_id(headers: Mapping[str, str]) -> str:
    """Return the client's own id for a request, where it can be one, or a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _log_answered(
    operation: str, request: ApiRequest, response: ApiResponse, seconds: float, fault: Exception | None
) -> None:
    """Log one line for a request: what was asked by its operation's name, since paths and queries carry secrets."""
    sent = len(response.body) if isinstance(response.body, bytes) else response.length
    facts = {
        "operation": operation,
        "method": request.method,
        "status": response.status,
        "ms": round(seconds * 1000, 1),
        "bytes_in": request.content_length,
        "bytes_out": sent,
    }
    logger.log(logging.ERROR if fault else logging.INFO, "answered", extra=facts, exc_info=fault)


def _counting(response: ApiResponse, requests: Requests) -> ApiResponse:
    """Return the same answer, its bytes counted as they are sent."""
    if isinstance(response.body, bytes):
        requests.bytes_out += len(response.body)
        return response
    return replace(response, body=_counted(response.body, requests))


async def _counted(chunks: ByteStream, requests: Requests) -> ByteStream:
    async for chunk in chunks:
        requests.bytes_out += len(chunk)
        yield chunk


async def _in_time(route: Route, request: ApiRequest, body: "_Body") -> ApiResponse:
    """Return a route's answer. Raises Unavailable when its time is over; what that left behind is swept."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS) as limit:
            with limited(limit):
                return await route.endpoint(replace(request, body=body.untimed(limit)))
    except TimeoutError as error:
        raise Unavailable("A backend took too long to respond; retry later.") from error


class _Body:
    """A request's body; `received` are the bytes of it that were read."""

    def __init__(self, chunks: ByteStream) -> None:
        self._chunks = chunks
        self.received = 0

    async def untimed(self, limit: asyncio.Timeout) -> ByteStream:
        """Yield the chunks. The time that the client takes for them does not count: a skin limits it."""
        clock = asyncio.get_running_loop().time
        limit.reschedule(None)
        async for chunk in self._chunks:
            self.received += len(chunk)
            limit.reschedule(clock() + _ANSWER_SECONDS)
            yield chunk
            limit.reschedule(None)
        limit.reschedule(clock() + _ANSWER_SECONDS)
