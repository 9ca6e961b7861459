"""Static files for browsers, with ETags and compression, and the Content-Security-Policy of pages."""

import asyncio
import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from service.api.http import ApiRequest, ApiResponse, Route, not_modified, takes_gzip

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def is_served(path: Path) -> bool:
    """Return whether a file has a type that browsers may get."""
    return path.suffix in _TYPES


def file_route(operation: str, path: str, file: Path, headers: Mapping[str, str]) -> Route:
    """Return a route that serves a file with these headers. The file is read on the first request."""

    async def get(request: ApiRequest) -> ApiResponse:
        return (await asyncio.to_thread(_read, file)).answer(request, headers)

    return Route("GET", path, operation, get)


def page_headers(storage_origin: str) -> dict[str, str]:
    """Return the security headers of a page. They allow only its own files, the service and the storage.

    `storage_origin` is the origin of links to images, or empty if the service serves them.
    """
    storage = f" {storage_origin}" if storage_origin else ""
    policy = (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        f"img-src 'self' blob: data:{storage}",
        f"connect-src 'self'{storage}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


@dataclass(frozen=True, slots=True)
class _Coded:
    """A file in one content coding. Each coding has its own ETag (RFC 9110 section 8.8.3.3)."""

    body: bytes
    etag: str

    @classmethod
    def of(cls, body: bytes) -> "_Coded":
        return cls(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


@dataclass(frozen=True, slots=True)
class _File:
    """A file, plain and compressed."""

    content_type: str
    plain: _Coded
    gzipped: _Coded

    def answer(self, request: ApiRequest, headers: Mapping[str, str]) -> ApiResponse:
        """Respond to a GET or HEAD with 200 or 304, compressed if the client accepts it.

        Raises PreconditionFailed.
        """
        compressed = takes_gzip(request.headers)
        coded = self.gzipped if compressed else self.plain
        fields = {**headers, "ETag": coded.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if not_modified(request.headers, coded.etag):
            return ApiResponse(304, fields)
        fields |= {"Content-Type": self.content_type, **({"Content-Encoding": "gzip"} if compressed else {})}
        return ApiResponse(200, fields, coded.body)


@cache
def _read(path: Path) -> _File:
    plain = path.read_bytes()
    return _File(_TYPES[path.suffix], _Coded.of(plain), _Coded.of(gzip.compress(plain, mtime=0)))
