"""The async client of a Pixdepot."""

import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from datetime import date
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, overload
from urllib.parse import quote

import aiohttp
from yarl import URL

from .downloads import download
from .errors import NotFound, PixdepotError, PreconditionFailed, kind_of
from .gathering import as_they_end
from .lists import Images, list_query
from .model import (
    Deleted,
    Image,
    Link,
    LinkedImage,
    NewImage,
    Progress,
    Source,
    Uploaded,
    VariantName,
    Visibility,
    image_from,
    linked_image_from,
)
from .transport import Transport
from .uploads import upload

_HERE = "http://127.0.0.1:8080"  # where `pixdepot serve` listens
_BATCH = 100  # images, the most that one request deletes


class Client:
    """A Pixdepot at `base_url` (by default PIXDEPOT_URL, or else the server of this machine).

    `token` is a bearer token, by default PIXDEPOT_TOKEN; it goes to the service, never to storage. `user_id` is who
    writes, for services with open auth: a token says it by itself. A `session` of one's own is used as it is, and
    left open. `timeout` is in seconds: for each call, and for each piece of a transfer. What fails in passing is
    tried again up to `max_retries` times, after random waits that grow, and those that the service asks for. With
    `trust_env` requests go through the proxies that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY name.

    Every method raises ConnectionFailed, TimedOut, UnreadableAnswer and APIErrors: `pixdepot.errors` draws them.
    Use it as an async context manager; it may do many things at once.
    """

    def __init__(
        self,
        base_url: str | None = None,
        token: str | None = None,
        *,
        user_id: str | None = None,
        session: aiohttp.ClientSession | None = None,
        timeout: float = 30.0,
        max_retries: int = 5,
        trust_env: bool = False,
    ) -> None:
        url = URL(base_url or os.environ.get("PIXDEPOT_URL") or _HERE)
        if url.scheme not in {"http", "https"} or not url.host:
            raise ValueError("base_url must be an http or https URL, such as http://127.0.0.1:8080.")
        self.base_url = str(url).rstrip("/")
        self.user_id = user_id
        self._token = os.environ.get("PIXDEPOT_TOKEN") if token is None else token
        self._session = session
        self._timeout = timeout
        self._max_retries = max_retries
        self._trust_env = trust_env
        self._stack = AsyncExitStack()
        self._opened: Transport | None = None

    def __repr__(self) -> str:
        return f"Client({self.base_url!r})"

    async def __aenter__(self) -> Self:
        session = self._session
        if session is None:
            # Cookies would be kept from one storage link for the next.
            session = await self._stack.enter_async_context(
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
            )
        self._opened = Transport(
            session, self.base_url, self._token, self._timeout, self._max_retries, trust_env=self._trust_env
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._opened = None
        await self._stack.aclose()

    @property
    def _transport(self) -> Transport:
        if self._opened is None:
            raise RuntimeError("Use the client as `async with Client(...) as client:`.")
        return self._opened

    @overload
    async def upload(self, source: NewImage, *, on_progress: Progress | None = None) -> Image: ...

    @overload
    async def upload(
        self,
        source: Source,
        *,
        title: str | None = None,
        filename: str | None = None,
        description: str = "",
        tags: Iterable[str] = (),
        visibility: Visibility = "private",
        strip_location: bool | None = None,
        content_type: str | None = None,
        sha256: str | None = None,
        on_progress: Progress | None = None,
    ) -> Image: ...

    async def upload(
        self,
        source: Source | NewImage,
        *,
        on_progress: Progress | None = None,
        tags: Iterable[str] = (),
        **said: Any,
    ) -> Image:
        """Upload a picture straight into storage, and return the image once it is verified and published.

        `NewImage` says what becomes of what is left out; it can be given whole, in place of source and details.
        The digest is declared before the bytes go, so what is published is what was read. `on_progress(done, all)`
        is told of bytes. One call makes one image, whatever is tried again on the way; two calls make two.
        Raises OSError, UnknownFormat, SourceChanged and StorageRefused, too.
        """
        if not isinstance(source, NewImage):
            source = NewImage(source, tags=tuple(tags), **said)
        elif tags or said:
            raise TypeError("A NewImage contains all details: pass no others with it.")
        return await upload(self._transport, source, self.user_id, on_progress)

    async def upload_many(
        self,
        sources: Iterable[Source | NewImage],
        *,
        concurrency: int = 8,
        on_progress: Callable[[Source | NewImage, int, int], None] | None = None,
    ) -> AsyncGenerator[Uploaded]:
        """Upload several pictures, `concurrency` at once, and yield what became of each as soon as it is known.

        A failure stops nothing: it is the result's `error`. `sources` is read as uploads begin; to leave the loop
        gives up those under way.
        """

        async def one(source: Source | NewImage) -> Uploaded:
            told = None if on_progress is None else (lambda done, size: on_progress(source, done, size))
            try:
                return Uploaded(source, image=await self.upload(source, on_progress=told))
            except Exception as error:  # noqa: BLE001 - a source may raise anything
                return Uploaded(source, error=error)

        async with aclosing(as_they_end(map(one, sources), concurrency)) as results:
            async for result in results:
                yield result

    def images(
        self,
        *,
        user_id: str | None = None,
        tags: Iterable[str] = (),
        tags_match: Literal["all", "any"] = "all",
        title: str | None = None,
        date_from: date | str | None = None,
        date_to: date | str | None = None,
        page_size: int = 100,
    ) -> Images:
        """Return the images that fit, newest first: to iterate over, or page by page with `.pages()`.

        `title` is a part of the title, in any case; dates are dates, datetimes or ISO 8601, and inclusive.
        """
        query = list_query(
            user_id=user_id,
            tags=tags,
            tags_match=tags_match,
            title=title,
            date_from=date_from,
            date_to=date_to,
            page_size=page_size,
        )
        return Images(self._transport, query)

    async def get(self, image_id: str) -> LinkedImage:
        """Return an image with its links. Raises NotFound."""
        answer = await self._transport.call("GET", _path(image_id), params={"metadata_only": "true"})
        return linked_image_from(answer.document, answer.document["metadata"], etag=answer.etag)

    async def link(self, image_id: str, variant: VariantName = "original") -> Link:
        """Return a link to a picture, or to a smaller one of it, for anyone. Raises NotFound.

        An image that has no smaller ones is shown as it is.
        """
        image = await self.get(image_id)
        smaller = image.variants.get(variant)
        return Link(smaller.url if smaller else image.url, image.url_expires_at)

    async def download(
        self,
        image: str | Image,
        to: str | os.PathLike[str],
        *,
        on_progress: Progress | None = None,
    ) -> Path:
        """Write a picture to a file, or into a directory under its filename, and return the path.

        The file is there whole, as it was uploaded by its sha256, or not at all; what was there before is replaced.
        A download that broke off goes on where it was, in this call or the next. Raises NotFound, OSError,
        DigestMismatch and StorageRefused, too.
        """
        known = image if isinstance(image, Image) else await self.get(image)
        return await download(self._transport, known, Path(to), on_progress)

    async def update(
        self,
        image_id: str,
        *,
        title: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        visibility: Visibility | None = None,
        if_match: str | None = None,
    ) -> Image:
        """Change what an image says of itself, and return it; what is left out stays as it is.

        `if_match` is an `etag`: PreconditionFailed where the image was changed since. Raises NotFound, Forbidden.
        """
        said = {
            "title": title,
            "description": description,
            "tags": None if tags is None else tuple(tags),
            "visibility": visibility,
        }
        changes = {name: value for name, value in said.items() if value is not None}
        headers = {} if if_match is None else {"If-Match": if_match}
        try:
            answer = await self._transport.call("PATCH", _path(image_id), json=self._said(changes), headers=headers)
        except PreconditionFailed as error:
            if error.after_lost_answer:  # it may be this very change that was made
                image = await self.get(image_id)
                if all(getattr(image, name) == value for name, value in changes.items()):
                    return image
            raise
        return image_from(Image, answer.document["metadata"], etag=answer.etag)

    async def delete(self, image_id: str) -> None:
        """Delete an image, for good. Raises NotFound and Forbidden."""
        try:
            await self._transport.call("DELETE", _path(image_id), json=self._said({}))
        except NotFound as error:
            if not error.after_lost_answer:
                raise

    async def delete_many(self, image_ids: Sequence[str]) -> list[Deleted]:
        """Delete several images, for good, and return what became of each: a failure stops nothing."""
        results = []
        for start in range(0, len(image_ids), _BATCH):
            batch = image_ids[start : start + _BATCH]
            try:
                results += await self._delete_batch(batch)
            except PixdepotError as error:
                results += [Deleted(image_id, error) for image_id in batch]
        return results

    async def _delete_batch(self, image_ids: Sequence[str]) -> list[Deleted]:
        body = self._said({"image_ids": list(image_ids)})
        answer = await self._transport.call("POST", "/images/batch-delete", json=body)
        gone = {200, 404} if answer.after_lost_answer else {200}
        return [
            Deleted(image_id, None if status in gone else kind_of(status)(status, code))
            for image_id, status, code in map(itemgetter("image_id", "status", "code"), answer.document["results"])
        ]

    def _said(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return body if self.user_id is None else {**body, "user_id": self.user_id}


def _path(image_id: str) -> str:
    return f"/images/{quote(image_id, safe='')}"
