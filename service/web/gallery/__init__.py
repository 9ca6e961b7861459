"""The gallery: one page, served as plain files, that speaks to the API like any other client.

Only the aiohttp skin has it.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from service.api.http import Route
from service.web.static import file_route, is_served, page_headers

_INDEX = "index.html"


@cache
def page_files() -> Mapping[str, Path]:
    """Return the page's files by their names."""
    return {each.name: each for each in Path(__file__).parent.iterdir() if is_served(each)}


def page_routes(storage_origin: str) -> tuple[Route, ...]:
    """Return the routes of the page, for a skin to serve beside the API's.

    `storage_origin` is where pictures come from and go to; empty where that is the service itself.
    """
    headers = page_headers(storage_origin)
    others = {f"/page/{name}": file for name, file in page_files().items() if name != _INDEX}
    files = {"/": page_files()[_INDEX], **others}
    return tuple(file_route("get_page", path, file, headers) for path, file in files.items())
