"""Which service sent an event: no event says so by name, so its shape decides.

AWS's own shapes: https://docs.aws.amazon.com/lambda/latest/dg/lambda-services.html
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from service.api.problems import problem
from service.domain.errors import PixdepotError


class UnsupportedEvent(PixdepotError):
    """The event comes from a service that this function does not serve."""

    status, code, title = 501, "unsupported_event", "The function does not support this event"


def payload_version(event: Any) -> Literal["1.0", "2.0"] | None:
    """Return the payload format of an API Gateway request; None for any other event.

    A REST API sends 1.0, an HTTP API either, a function URL 2.0.
    """
    if not isinstance(event, dict) or http_sender(event):
        return None
    context = _context(event)
    if isinstance(event.get("rawPath"), str) and isinstance(context.get("http"), dict):
        return "2.0"
    return "1.0" if isinstance(event.get("path"), str) and event.get("httpMethod") and context else None


def http_sender(event: Mapping[str, Any]) -> str | None:
    """Return which service sent an HTTP request that this function does not serve; None for any other event."""
    return next((name for name, sent in _HTTP_SENDERS.items() if sent(event, _context(event))), None)


# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
# https://docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html
# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html
_HTTP_SENDERS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], bool]] = {
    "an Application Load Balancer": lambda _, context: "elb" in context,
    "VPC Lattice": lambda event, context: "raw_path" in event or "serviceNetworkArn" in context,
    "a WebSocket API": lambda _, context: "connectionId" in context,
}


def refused(event: Any) -> dict[str, Any]:
    """Return the HTTP response to a request that came by another way than API Gateway or a function URL.

    Raises UnsupportedEvent where no HTTP client waits for one.
    """
    sender = http_sender(event) if isinstance(event, dict) else None
    if sender is None:
        raise UnsupportedEvent(
            "The API function answers HTTP requests of API Gateway (REST and HTTP APIs) and of function URLs. "
            f"This event {described(event)}. S3 events and schedules belong to the events function."
        )
    error = UnsupportedEvent(
        f"The request came through {sender}. Put an API Gateway or a function URL in front of the function."
    )
    response = problem(error, str(_context(event).get("requestId", "")))
    headers = dict(response.headers)
    several = {"multiValueHeaders": {name: [value] for name, value in headers.items()}}
    return {
        "statusCode": response.status,
        "statusDescription": f"{response.status} Not Implemented",
        "isBase64Encoded": False,
        # A load balancer reads the one that it sends itself.
        **({"headers": headers} if event.get("headers") else several),
        "body": response.body.decode() if isinstance(response.body, bytes) else "",
    }


def described(event: Any) -> str:
    """Return how to recognise an event in an error: its top-level keys, and nothing of their values."""
    return f"has the keys {', '.join(sorted(event)) or 'of nothing'}" if isinstance(event, dict) else "is no object"


def _context(event: Mapping[str, Any]) -> Mapping[str, Any]:
    context = event.get("requestContext")
    return context if isinstance(context, dict) else {}
