"""Which other sites' pages may call the service (the Fetch standard's CORS protocol). Pure."""

import re
from collections.abc import Mapping, Sequence

_REQUEST_HEADERS = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Range, X-Request-ID, "
    "x-amz-checksum-sha256"
)
_RESPONSE_HEADERS = "Content-Range, ETag, Link, Location, Retry-After, X-Request-ID"
_MAX_AGE = 7200  # seconds; browsers keep a preflight no longer


def _allowed(origins: Sequence[str], headers: Mapping[str, str]) -> bool:
    origin = headers.get("origin")
    if origin is None:
        return False
    return not {"*", origin, re.sub(r":\d+$", ":*", origin)}.isdisjoint(origins)


def cors_headers(origins: Sequence[str], headers: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return the header fields that let the page at a request's Origin read the response.

    `headers` are the request's, None where they cannot be read: the response to that holds nothing but the reason,
    so any page may read it as soon as one is listed.
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
    """Return the further header fields of an answer to OPTIONS, when it is a preflight that is granted."""
    if "access-control-request-method" not in headers or not _allowed(origins, headers):
        return {}
    return {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": _REQUEST_HEADERS,
        "Access-Control-Max-Age": str(_MAX_AGE),
    }
