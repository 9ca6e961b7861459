"""The only renderer of errors: problem details for HTTP APIs (RFC 9457)."""

import orjson

from service.domain.errors import PixdepotError

from .http import ApiResponse


def problem(error: PixdepotError, request_id: str) -> ApiResponse:
    """Return the error response for a client. It reveals only the error's public members."""
    document = {
        "type": f"urn:pixdepot:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail or error.title,
        "code": error.code,
        "request_id": request_id,
        **error.members,
    }
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store", **error.headers}
    return ApiResponse(error.status, headers, orjson.dumps(document))
