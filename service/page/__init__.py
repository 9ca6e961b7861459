"""The gallery: one page, served as plain files, that speaks to the API like any other client.

Only the aiohttp skin has it. Its files are small and change with the service, so they are compressed once, and
browsers ask each time whether they are still the same.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from service.http import ApiRequest, ApiResponse, Route, not_modified

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_INDEX = "index.html"


@dataclass(frozen=True, slots=True)
class File:
    """A file of the page, as it is and compressed."""

    content_type: str
    plain: bytes
    gzipped: bytes

    @classmethod
    def of(cls, path: Path) -> "File":
        """Return a file as it is served."""
        plain = path.read_bytes()
        return cls(_TYPES[path.suffix], plain, gzip.compress(plain, mtime=0))

    def answer(self, request: ApiRequest, headers: Mapping[str, str]) -> ApiResponse:
        """Return the answer to a GET or HEAD: 200 or 304, compressed where the client can take that."""
        compressed = "gzip" in request.headers.get("accept-encoding", "")
        body = self.gzipped if compressed else self.plain
        # Two codings are two representations: RFC 9110 section 8.8.3.3.
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        fields = {**headers, "ETag": etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if not_modified(request.headers, etag):
            return ApiResponse(304, fields)
        fields |= {"Content-Type": self.content_type, **({"Content-Encoding": "gzip"} if compressed else {})}
        return ApiResponse(200, fields, body)


@cache
def page_files() -> Mapping[str, File]:
    """Return the page's files by their names."""
    served = [each for each in Path(__file__).parent.iterdir() if each.suffix in _TYPES]
    return {each.name: File.of(each) for each in served}


def page_routes(storage_origin: str) -> tuple[Route, ...]:
    """Return the routes of the page, for a skin to serve beside the API's.

    `storage_origin` is where pictures come from and go to; empty where that is the service itself.
    """
    headers = _security(storage_origin)

    def route(path: str, file: File) -> Route:
        async def get(request: ApiRequest) -> ApiResponse:
            return file.answer(request, headers)

        return Route("GET", path, "get_page", get)

    others = (route(f"/page/{name}", file) for name, file in page_files().items() if name != _INDEX)
    return route("/", page_files()[_INDEX]), *others


def _security(storage_origin: str) -> dict[str, str]:
    """Return what keeps a browser from doing anything for the page but what it is made for."""
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
