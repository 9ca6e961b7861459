"""The API: routes to the operations, and the only place that catches errors."""

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

_ANSWER_SECONDS = 12  # time limit of a response, from the end of the request
_READING = frozenset({"GET", "HEAD", "OPTIONS"})  # methods that only read
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:=@+/-]{1,128}")


class Api:
    """The routes that a skin serves: the operations, and the routes of the local storage if it is used."""

    def __init__(self, services: Services, storage_routes: tuple[Route, ...] = ()) -> None:
        self.services = services
        bound = (Route(each.method, each.path, each.name, self._endpoint(each)) for each in OPERATIONS)
        self._beside = storage_routes
        self.routes = (*bound, *storage_routes)
        self._plain = {(each.method, each.path): each for each in self.routes if "{" not in each.path}
        self._others = [each for each in self.routes if "{" in each.path]

    def beside(self, *routes: Route) -> "Api":
        """Return a copy of this API with additional routes, which only one skin has."""
        return Api(self.services, (*self._beside, *routes))

    def match(self, method: str, path: str) -> tuple[Route | None, Mapping[str, str]]:
        """Return the route for a method and a path (see `plain_path`), and the path's parameters.

        Return None and no parameters if no route matches. Routes for GET also match HEAD.
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
        """Respond to a request that a skin has matched to a route, or to None. Never raises."""
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
        """Respond to a request that a skin rejects. `headers` is None if the skin cannot read them."""
        request_id = _request_id(headers or {})
        response = problem(error, request_id)
        self.services.depot.metrics.requests[UNROUTED].statuses[response.status] += 1
        logger.info("refused", extra={"request_id": request_id, "status": response.status})
        return self._marked(response, request_id, headers)

    def _marked(self, response: ApiResponse, request_id: str, headers: Mapping[str, str] | None) -> ApiResponse:
        """Return a response with the X-Request-ID header and the CORS headers."""
        cross_origin = cors_headers(self.services.settings.cors_origins, headers)
        return response.with_headers({"X-Request-ID": request_id, **cross_origin})

    async def _traced(
        self, operation: str, route: Route | None, request: ApiRequest, body: "_Body", request_id: str
    ) -> tuple[ApiResponse, Exception | None]:
        """Return the result of `_answer`, inside a span if tracing is on."""
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
        """Return the response, and the unexpected exception if there was one."""
        try:
            if request.method not in _READING:
                self.services.depot.pairing.check_writable()
            async with undoing.afterwards():  # outside the time limit, because cleanup has its own limit
                return (await _in_time(route, request, body) if route else self._unrouted(request)), None
        except PixdepotError as error:
            logs.note(code=error.code)
            return problem(error, request_id), None
        except Exception as error:  # noqa: BLE001 - logged with the answer
            unforeseen = PixdepotError("The server failed. Its log has the traceback for this request_id.")
            return problem(unforeseen, request_id), error

    def allowed(self, path: str) -> list[str]:
        """Return the methods of a path (see `plain_path`), sorted. Raises NotFound if it has none."""
        methods = {each.method for each in self.routes if each.match(path) is not None}
        # No ID contains a slash, so a path with an encoded one does not exist, whatever the method.
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
    """Return the request ID that the client sent if it is valid, or a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _log_answered(
    operation: str, request: ApiRequest, response: ApiResponse, seconds: float, fault: Exception | None
) -> None:
    """Log one line for a request. Log the operation's name, because paths and queries can contain secrets."""
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
    """Return the same response, and count its bytes while they are sent."""
    if isinstance(response.body, bytes):
        requests.bytes_out += len(response.body)
        return response
    return replace(response, body=_counted(response.body, requests))


async def _counted(chunks: ByteStream, requests: Requests) -> ByteStream:
    async for chunk in chunks:
        requests.bytes_out += len(chunk)
        yield chunk


async def _in_time(route: Route, request: ApiRequest, body: "_Body") -> ApiResponse:
    """Return a route's response. Raises Unavailable after the time limit; sweep then removes any remains."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS) as limit:
            with limited(limit):
                return await route.endpoint(replace(request, body=body.untimed(limit)))
    except TimeoutError as error:
        raise Unavailable("A backend took too long to respond; retry later.") from error


class _Body:
    """The body of a request. `received` counts the bytes read so far."""

    def __init__(self, chunks: ByteStream) -> None:
        self._chunks = chunks
        self.received = 0

    async def untimed(self, limit: asyncio.Timeout) -> ByteStream:
        """Yield the chunks. The limit does not include the time of the client, because the skin limits that."""
        clock = asyncio.get_running_loop().time
        limit.reschedule(None)
        async for chunk in self._chunks:
            self.received += len(chunk)
            limit.reschedule(clock() + _ANSWER_SECONDS)
            yield chunk
            limit.reschedule(None)
        limit.reschedule(clock() + _ANSWER_SECONDS)
