"""The gallery: one page of static files, which calls the API like any other client.

Only the aiohttp server has it.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from service.api.http import Route
from service.web.static import file_route, is_served, page_headers

_INDEX = "index.html"


@cache
def page_files() -> Mapping[str, Path]:
    """Return the page's files by name."""
    return {each.name: each for each in Path(__file__).parent.iterdir() if is_served(each)}


def page_routes(storage_origin: str) -> tuple[Route, ...]:
    """Return the routes of the page, which a skin adds to the API's routes.

    `storage_origin` is the origin of upload and download links, or empty if the service serves them.
    """
    headers = page_headers(storage_origin)
    others = {f"/page/{name}": file for name, file in page_files().items() if name != _INDEX}
    files = {"/": page_files()[_INDEX], **others}
    return tuple(file_route("get_page", path, file, headers) for path, file in files.items())
