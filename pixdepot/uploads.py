"""One upload, from begin to published, through whatever happens on the way."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import PurePath
from typing import Any

from .errors import Conflict, ConnectionFailed, Gone, SourceChanged, StorageRefused, TimedOut
from .model import Image, NewImage, Progress, image_from
from .retries import retry_after
from .sources import Content, opened
from .transport import Transport

_TITLE = 200  # characters
_THERE_ALREADY = 412  # the storage has these bytes: only its answer was lost
_EXPIRED = 403
_SEND_AGAIN = {"upload_missing", "upload_expired"}


async def upload(transport: Transport, new: NewImage, user_id: str | None, on_progress: Progress | None) -> Image:
    """Send a picture straight into storage, and return the image once it is published.

    Raises OSError, and every PixdepotError but PreconditionFailed and DigestMismatch.
    """
    async with opened(new) as content:
        # A key of its own: however often this is sent, it begins one upload.
        key = {"Idempotency-Key": secrets.token_hex(16)}
        begun = await transport.call("POST", "/uploads", json=_declared(new, content, user_id), headers=key)
        document = begun.document
        sending = _Sending(transport, document["image_id"], content, on_progress)
        return await sending.published(document["upload"])


def _declared(new: NewImage, content: Content, user_id: str | None) -> dict[str, Any]:
    said = {
        "user_id": user_id,
        "title": new.title or PurePath(content.filename).stem[:_TITLE].strip() or "Untitled",
        "description": new.description or None,
        "tags": list(new.tags),
        "filename": content.filename,
        "visibility": new.visibility,
        "strip_location": new.strip_location,
        "content_type": content.content_type,
        "file_size": content.size,
        "sha256": content.sha256,
    }
    return {name: value for name, value in said.items() if value is not None}


class _Sending:
    """An upload that has begun."""

    def __init__(self, transport: Transport, image_id: str, content: Content, on_progress: Progress | None) -> None:
        self._transport = transport
        self._path = f"/uploads/{image_id}"
        self._content = content
        self._on_progress = on_progress

    async def published(self, link: Mapping[str, Any] | None) -> Image:
        """Send the bytes and complete, with new links for those that expire. None is for bytes that are there."""
        attempts = self._transport.attempts()
        while True:
            try:
                if link is not None:
                    await self._put(link)
            except ConnectionFailed as error:
                await attempts.again(error)
                continue
            except StorageRefused as error:
                await attempts.again(error)
                link = await self._sign() if error.status == _EXPIRED else link
                continue
            try:
                return await self._complete()
            except (Conflict, Gone) as error:
                if error.code not in _SEND_AGAIN:
                    raise
                await attempts.wait(error)
                link = await self._sign()

    async def _put(self, link: Mapping[str, Any]) -> None:
        """Send the bytes. Raises ConnectionFailed, TimedOut, StorageRefused and SourceChanged."""
        headers = {**link["headers"], "Content-Length": str(self._content.size)}
        body = _Body(self._content, self._transport.timeout, self._on_progress)
        try:
            async with (
                body.moving(),
                self._transport.storage(link["method"], link["url"], headers, body) as response,
            ):
                status, asked = response.status, retry_after(response.headers.get("Retry-After"))
        except ConnectionFailed:
            if body.failure is not None:  # it was not the connection's fault
                raise body.failure from None
            raise
        if status >= 300 and status != _THERE_ALREADY:
            if await self._content.changed():
                raise SourceChanged("The file changed during the upload.")
            raise StorageRefused(status, asked)

    async def _sign(self) -> Mapping[str, Any] | None:
        """Return a new link, None where no bytes are wanted any more: complete says what became of the upload."""
        try:
            answer = await self._transport.call("POST", f"{self._path}/sign")
        except Conflict:
            return None
        link: Mapping[str, Any] = answer.document["upload"]
        return link

    async def _complete(self) -> Image:
        answer = await self._transport.call("POST", f"{self._path}/complete")
        return image_from(Image, answer.document["metadata"])


class _Body:
    """The bytes on their way into storage: held to a pace, and told of."""

    def __init__(self, content: Content, patience: float, on_progress: Progress | None) -> None:
        self.failure: Exception | None = None
        self._content = content
        self._patience = patience  # seconds
        self._on_progress = on_progress or (lambda _done, _all: None)
        self._limit: asyncio.Timeout | None = None

    @asynccontextmanager
    async def moving(self) -> AsyncIterator[None]:
        """Raise TimedOut where the storage takes nothing for too long, or does not answer at the end."""
        try:
            async with asyncio.timeout(self._patience) as self._limit:
                yield
        except TimeoutError as error:
            raise TimedOut("The storage stopped accepting bytes.") from error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        done, size = 0, self._content.size
        try:
            self._on_progress(done, size)
            async for chunk in self._content.chunks():
                yield chunk
                done += len(chunk)
                self._reset()
                self._on_progress(done, size)
        except Exception as failure:
            self.failure = failure
            raise

    def _reset(self) -> None:
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + self._patience)
