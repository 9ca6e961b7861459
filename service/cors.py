"""Which other sites' pages may call the service (the Fetch standard's CORS protocol). Pure."""

from collections.abc import Mapping, Sequence

from .http import ApiRequest

_REQUEST_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Range, X-Request-ID, "
    "x-amz-checksum-sha256"
)
_RESPONSE_HEADERS = "Content-Range, ETag, Link, Location, Retry-After, X-Request-ID"
_MAX_AGE = 7200  # seconds; browsers keep a preflight no longer


def _allowed(origins: Sequence[str], request: ApiRequest) -> bool:
    origin = request.headers.get("origin")
    return origin is not None and ("*" in origins or origin in origins)


def cors_headers(origins: Sequence[str], request: ApiRequest) -> Mapping[str, str]:
    """Return the header fields that let the page at the request's Origin read the response."""
    if not origins:
        return {}
    if not _allowed(origins, request):
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": request.headers["origin"],
        "Access-Control-Expose-Headers": _RESPONSE_HEADERS,
        "Vary": "Origin",
    }


def preflight_headers(origins: Sequence[str], request: ApiRequest, methods: Sequence[str]) -> Mapping[str, str]:
    """Return the further header fields of an answer to OPTIONS, when it is a preflight that is granted."""
    if "access-control-request-method" not in request.headers or not _allowed(origins, request):
        return {}
    return {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": _REQUEST_HEADERS,
        "Access-Control-Max-Age": str(_MAX_AGE),
    }
