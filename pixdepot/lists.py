"""Lists of images, asked for page by page."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from datetime import date
from urllib.parse import urlencode

from .model import LinkedImage, Page, linked_image_from
from .transport import Transport

# Characters. Shorter ones go with a cursor, since those of earlier versions need them.
_LONGEST_FILTERS = 2_000


class Images(AsyncIterable[LinkedImage]):
    """A list of images, newest first. Pages are asked for as it is iterated over, each time anew."""

    def __init__(self, transport: Transport, query: Mapping[str, str]) -> None:
        self._transport = transport
        self._query = query

    async def __aiter__(self) -> AsyncIterator[LinkedImage]:
        """Yield image by image."""
        async for page in self.pages():
            for image in page.images:
                yield image

    async def pages(self, cursor: str | None = None) -> AsyncIterator[Page]:
        """Yield page by page, from the start or from the `next_cursor` of a page of the same list."""
        while True:
            document = (await self._transport.call("GET", "/images", params=self._page(cursor))).document
            cursor = document["next_cursor"]
            yield Page(tuple(linked_image_from(each, each) for each in document["images"]), cursor)
            if cursor is None:
                return

    def _page(self, cursor: str | None) -> Mapping[str, str]:
        """Return the query of the page at a cursor, which contains the filters: long ones do not fit beside it."""
        if cursor is None:
            return self._query
        query = self._query if len(urlencode(self._query)) <= _LONGEST_FILTERS else {"limit": self._query["limit"]}
        return {**query, "cursor": cursor}


def list_query(
    *,
    user_id: str | None,
    tags: Iterable[str],
    tags_match: str,
    title: str | None,
    date_from: date | str | None,
    date_to: date | str | None,
    page_size: int,
) -> dict[str, str]:
    """Return filters as the API's query has them."""
    said = {
        "user_id": user_id,
        "tags": ",".join(tags) or None,
        "tags_match": tags_match,
        "title": title,
        "date_from": _iso(date_from),
        "date_to": _iso(date_to),
        "limit": str(page_size),
    }
    return {name: value for name, value in said.items() if value is not None}


def _iso(when: date | str | None) -> str | None:
    return when.isoformat() if isinstance(when, date) else when
