"""The reader of the API's description at /docs: Swagger UI, under the policy that every page here has.

Only the aiohttp skin has it. Swagger UI comes out of Powertools, which has it for pages of its own: files, none of
its code. Ours are the page around it, and the script that starts it.
"""

from importlib.util import find_spec
from pathlib import Path

from service.api.http import Route
from service.web.static import file_route, page_headers

_OURS = Path(__file__).parent
_SWAGGER_UI = ("swagger-ui-bundle.min.js", "swagger-ui.min.css")


def reader_routes(storage_origin: str) -> tuple[Route, ...]:
    """Return the routes of the reader, for a skin to serve beside the API's.

    `storage_origin` is where links to pictures lead; empty where that is the service itself.
    """
    headers = page_headers(storage_origin)
    files = {"/docs": _OURS / "index.html", "/docs/start.js": _OURS / "start.js"}
    files |= {f"/docs/{name}": _swagger_ui() / name for name in _SWAGGER_UI}
    return tuple(file_route("get_docs", path, file, headers) for path, file in files.items())


def _swagger_ui() -> Path:
    """Return the folder that has it, without importing what it belongs to."""
    powertools = find_spec("aws_lambda_powertools")
    assert powertools is not None and powertools.origin is not None  # noqa: S101, PT018 - a dependency
    return Path(powertools.origin).parent / "event_handler" / "openapi" / "swagger_ui"
