"""CORS headers, by which pages of other origins may call the service (Fetch standard). Pure."""

import re
from collections.abc import Mapping, Sequence

_REQUEST_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Range, X-Request-ID, "
    "x-amz-checksum-sha256"
)
_RESPONSE_HEADERS = "Content-Range, ETag, Link, Location, Retry-After, X-Request-ID"
_MAX_AGE = 7200  # seconds, the longest time for which browsers cache a preflight


def _allowed(origins: Sequence[str], headers: Mapping[str, str]) -> bool:
    origin = headers.get("origin")
    if origin is None:
        return False
    return not {"*", origin, re.sub(r":\d+$", ":*", origin)}.isdisjoint(origins)


def cors_headers(origins: Sequence[str], headers: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return the headers that allow the page at a request's Origin to read the response.

    `headers` are the request's headers, or None if they are unreadable. The error response to an unreadable request
    has no private content, so any page may read it if CORS is configured.
    """
    if not origins:
        return {}
    if headers is not None and not _allowed(origins, headers):
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": "*" if headers is None else headers["origin"],
        "Access-Control-Expose-Headers": _RESPONSE_HEADERS,
        "Vary": "Origin",
    }


def preflight_headers(
    origins: Sequence[str], headers: Mapping[str, str], methods: Sequence[str]
) -> Mapping[str, str]:
    """Return the additional headers of the response to an allowed preflight, or none."""
    if "access-control-request-method" not in headers or not _allowed(origins, headers):
        return {}
    return {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": _REQUEST_HEADERS,
        "Access-Control-Max-Age": str(_MAX_AGE),
    }
