"""The API reference at /docs: Swagger UI, with the same Content-Security-Policy as all pages.

Only the aiohttp server has it. The files of Swagger UI come from the Powertools package, without its Python code.
The page and the script that starts it are in this folder.
"""

from importlib.util import find_spec
from pathlib import Path

from service.api.http import Route
from service.web.static import file_route, page_headers

_OURS = Path(__file__).parent
_SWAGGER_UI = ("swagger-ui-bundle.min.js", "swagger-ui.min.css")


def reader_routes(storage_origin: str) -> tuple[Route, ...]:
    """Return the routes of the API reference, which a skin adds to the API's routes.

    `storage_origin` is the origin of links to images, or empty if the service serves them.
    """
    headers = page_headers(storage_origin)
    files = {"/docs": _OURS / "index.html", "/docs/start.js": _OURS / "start.js"}
    files |= {f"/docs/{name}": _swagger_ui() / name for name in _SWAGGER_UI}
    return tuple(file_route("get_docs", path, file, headers) for path, file in files.items())


def _swagger_ui() -> Path:
    """Return the folder of Swagger UI, without importing Powertools."""
    powertools = find_spec("aws_lambda_powertools")
    assert powertools is not None and powertools.origin is not None  # noqa: S101, PT018 - a dependency
    return Path(powertools.origin).parent / "event_handler" / "openapi" / "swagger_ui"
