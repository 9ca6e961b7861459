"""GET /metrics, which Prometheus scrapes. Only the aiohttp server has this route."""

import asyncio
import hmac

from service.domain.errors import InvalidToken, NotFound
from service.operations.depot import Depot
from service.settings import Settings
from service.telemetry.prometheus import CONTENT_TYPE, exposition

from .http import ApiRequest, ApiResponse, Route
from .identity import bearer_token

_HEADERS = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}


def metrics_route(depot: Depot) -> Route:
    """Return the route of /metrics, which a skin adds to the API's routes."""
    written = exposition(depot.metrics, depot.inspector.lending)

    async def get(request: ApiRequest) -> ApiResponse:
        _check_allowed(depot.settings, request)
        # In a thread, because it takes milliseconds. Each number is read atomically.
        return ApiResponse(200, _HEADERS, await asyncio.to_thread(written))

    return Route("GET", "/metrics", "get_metrics", get)


def _check_allowed(settings: Settings, request: ApiRequest) -> None:
    """Raise Unauthorized without the configured token, or NotFound if callers need tokens but none is set."""
    wanted = settings.metrics_token
    if not wanted and settings.auth != "open":
        raise NotFound("The metrics are disabled: set PIXDEPOT_METRICS_TOKEN on the server.")
    if wanted and not hmac.compare_digest(bearer_token(request.headers).encode(), wanted.encode()):
        raise InvalidToken("Send the value of PIXDEPOT_METRICS_TOKEN as the bearer token.")
