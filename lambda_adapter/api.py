"""The API behind API Gateway, REST (payload 1.0) and HTTP APIs (payload 2.0), or a function URL (2.0).

Powertools' routers read the events. Requests that come another way are refused (`senders`).

Set as the function's handler: `lambda_adapter.api.handler`.
"""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

import pybase64
from aws_lambda_powertools import Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, APIGatewayRestResolver, Response
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.data_classes.common import BaseProxyEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

from service.api.dispatch import Api
from service.api.http import ApiRequest, ApiResponse, Route, plain_path
from service.domain.errors import InvalidRequest, PixdepotError, TooLarge
from service.telemetry.metrics import UNROUTED

from .binary import reaches_client_as_bytes
from .environment import Environment
from .logs import logger
from .senders import payload_version, refused

Resolver = APIGatewayRestResolver | APIGatewayHttpResolver

# Lambda takes and gives 6 MB in one call; what is around the body has its share of that.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
PAYLOAD_BYTES = 6 * 2**20 - 64 * 2**10
_WITHOUT_BODY = frozenset({204, 304})

metrics = Metrics(namespace="Pixdepot", service="pixdepot")


class ApiHandler:
    """Answers the events of both kinds of API, with the routes and the dispatch of every skin."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    @cached_property
    def _rest(self) -> Resolver:
        return _routed(APIGatewayRestResolver(), self._environment.runtime.api)

    @cached_property
    def _http(self) -> Resolver:
        return _routed(APIGatewayHttpResolver(), self._environment.runtime.api)

    def __call__(self, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Return the proxy integration's response to one event. Never raises for what a client sent.

        Raises UnsupportedEvent for an event that is no HTTP request.
        """
        version = payload_version(event)
        if version is None:
            return refused(event)
        resolver, name = (self._http, "rawPath") if version == "2.0" else (self._rest, "path")
        return self._environment.run(resolver.resolve_async({**event, name: plain_path(event[name])}, context))


def _routed(resolver: Resolver, api: Api) -> Resolver:
    for route in api.routes:
        methods = ["GET", "HEAD"] if route.method == "GET" else [route.method]
        rule = re.sub(r"\{\w+\+\}", ".+", route.path)
        resolver.route(re.sub(r"\{(\w+)\}", r"<\1>", rule), method=methods)(_endpoint(resolver, api, route))
    resolver.not_found(_endpoint(resolver, api, None))
    return resolver


def _endpoint(resolver: Resolver, api: Api, route: Route | None) -> Callable[..., Awaitable[Response[Any]]]:
    async def endpoint(*_: Any, **__: Any) -> Response[Any]:
        # The resolver's event is shared by the class: it must be read before anything is awaited.
        request = _request(resolver.current_event, api.services.settings.public_url)
        # The routers take "/images/" for "/images", and decode parameters in their own way.
        parameters = route.match(request.path) if route else None
        matched = route if parameters is not None else None
        started = time.perf_counter()
        response = await api.dispatch(matched, request.with_parameters(parameters or {}))
        _measure(matched.operation if matched else UNROUTED, response.status, time.perf_counter() - started)
        return await _response(response)

    return endpoint


def _request(event: BaseProxyEvent, public_url: str) -> ApiRequest:
    raw = event.raw_event
    context = raw["requestContext"]
    headers = {name.lower(): value for name, value in _headers(raw).items()}
    headers.setdefault("x-request-id", context.get("requestId", ""))
    text = raw.get("body") or ""
    body = _Body(text, bool(raw.get("isBase64Encoded")))
    headers.setdefault("content-length", str(body.size))
    return ApiRequest(
        method=event.http_method.upper(),
        path=event.path,
        body=body.chunks(),
        query=_query(raw),
        headers=headers,
        base_url=public_url or _base_url(context, event.path),
        payload_limit=PAYLOAD_BYTES,
        takes_bytes=reaches_client_as_bytes(raw, headers.get("accept", "")),
        claims=_claims(context.get("authorizer") or {}),
    )


def _claims(authorizer: dict[str, Any]) -> dict[str, Any] | None:
    """Return what an authorizer in front of the function has found out of the caller, None where there is none.

    That is the claims of a JWT authorizer or of a user pool's; or a Lambda authorizer's context, whose subject is a
    `sub` of its own or else its principal.
    https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    claims: dict[str, Any] | None = (authorizer.get("jwt") or authorizer).get("claims")
    said = authorizer.get("lambda") or authorizer
    if claims is None and said.keys() & {"sub", "principalId"}:
        return {"sub": said.get("principalId"), **said}
    return claims


def _base_url(context: dict[str, Any], path: str) -> str:
    """Return where the client reached the API: below its stage, or at a domain that leads to the stage."""
    asked = plain_path(context["path"] if "path" in context else context["http"]["path"])
    return f"https://{context.get('domainName', 'localhost')}{asked.removesuffix(path)}"


def _headers(raw: dict[str, Any]) -> dict[str, str]:
    several = raw.get("multiValueHeaders")
    if several:
        return {name: ", ".join(values) for name, values in several.items()}
    cookies = {"cookie": "; ".join(raw["cookies"])} if raw.get("cookies") else {}
    return {**(raw.get("headers") or {}), **cookies}


def _query(raw: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return every pair, repeated names too: payload 1.0 has them decoded, 2.0 has the query as it was sent."""
    if "rawQueryString" in raw:
        return tuple(parse_qsl(raw["rawQueryString"], keep_blank_values=True))
    several = raw.get("multiValueQueryStringParameters")
    if several is None:
        return tuple((raw.get("queryStringParameters") or {}).items())
    return tuple((name, value) for name, values in several.items() for value in values)


class _Body:
    """An event's body: the bytes that the client sent, whichever way API Gateway passed them on."""

    def __init__(self, text: str, is_base64: bool) -> None:
        self._text, self._is_base64 = text, is_base64
        self.size = len(text) * 3 // 4 - text[-2:].count("=") if is_base64 else len(text.encode())

    async def chunks(self) -> AsyncIterator[bytes]:
        if len(self._text) > PAYLOAD_BYTES:
            raise TooLarge("The request is too large: the limit is 6 MB. Use a direct upload (POST /uploads).")
        if not self._is_base64:
            yield self._text.encode()
            return
        try:
            yield pybase64.b64decode(self._text, validate=True)
        except ValueError as error:
            raise InvalidRequest("The body is incomplete.") from error


async def _response(response: ApiResponse) -> Response[Any]:
    body = response.body
    if not isinstance(body, bytes):
        body = b"".join([chunk async for chunk in body])
    headers = dict(response.headers)
    if response.status not in _WITHOUT_BODY:
        # The answer to a HEAD has the length of a body that it does not have.
        headers["Content-Length"] = str(len(body) if response.length is None else response.length)
    kind = headers.get("Content-Type", "")
    # Powertools sends bytes as base64, which API Gateway only undoes for binary media types.
    text = not body or kind.startswith(("application/json", "application/problem+json", "text/"))
    return Response(response.status, kind or None, body.decode() if text else body, headers)


def _measure(operation: str, status: int, seconds: float) -> None:
    metrics.add_dimension("operation", operation)
    metrics.add_metric("Requests", MetricUnit.Count, 1)
    metrics.add_metric("Duration", MetricUnit.Milliseconds, seconds * 1000)
    metrics.add_metric("Failures", MetricUnit.Count, int(status >= PixdepotError.status))
    metrics.flush_metrics()


_answer = ApiHandler(Environment())


@logger.inject_lambda_context(correlation_id_path="requestContext.requestId", clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one request of API Gateway. Opens the service on the first."""
    return _answer(event, context)
