"""Operations on images: upload, find, read, link, edit and delete."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from weakref import WeakValueDictionary

from service import media
from service.domain.disposition import content_disposition
from service.domain.errors import Forbidden, ImageGone, InFlight, NotFound, PreconditionFailed
from service.domain.model import (
    ByteStream,
    Content,
    Details,
    Downloads,
    Expected,
    Image,
    ImageQuery,
    Page,
    Position,
    State,
    Upload,
    Variant,
    Visibility,
)
from service.media import download_name

from . import undoing
from .depot import Claimed, Depot, sealed, together
from .inspection import Inspected

# Time for which another process's request counts as in progress. After that this process continues its upload,
# which is always safe. The same applies to a request from the future, because the clocks of processes differ.
_UNDER_WAY = timedelta(seconds=2)


class ImageService:
    """The operations on images. Every method raises Unavailable if a backend does not answer."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot
        self._objects, self._records = depot.objects, depot.records
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def upload(
        self,
        details: Details,
        data: bytes,
        declared_type: str | None = None,
        *,
        strip_location: bool = False,
        idempotency_key: str | None = None,
    ) -> Image:
        """Verify, store and publish an image, and return it when it is durable.

        With a key it is safe to retry for 24 hours, and returns the image as first published. Raises QuotaExceeded
        and the errors of `Inspector.inspected` before it stores an object. With a key it also raises InFlight and
        the errors of `Depot.claimed`.
        """
        looking = self._depot.inspector.inspected(data, declared_type, strip_location=strip_location)
        if idempotency_key is not None:
            return await self._upload_once(idempotency_key, details, await looking)
        upload, made = await self._begun(details, data, looking)
        published = await self._publish(upload, made, settled=True)
        if published is None:
            raise NotFound("The image was deleted while it was being published.")
        return published

    async def _begun(
        self, details: Details, data: bytes, looking: Awaitable[Inspected]
    ) -> tuple[Upload, Inspected]:
        """Store the record of an upload while its bytes are decoded, and return both results.

        The record must exist before any object, and storing it in parallel costs no time. Bytes that do not begin
        like an image get no record. If decoding fails, sweep removes the record, and the error does not wait for
        it.
        """
        content_type = media.sniff(bytes(data[:64]))
        if content_type is None:
            await looking  # raises the error
        expected = Expected("PUT", content_type or media.UNKNOWN_TYPE, len(data))
        upload = self._depot.new_upload(details, expected)

        async def begin() -> None:
            await self._depot.check_quota(details.user_id, len(data))
            await self._records.begin(upload)

        beginning = asyncio.create_task(begin())
        try:
            made = await looking
        except BaseException:
            beginning.cancel()
            await asyncio.gather(beginning, return_exceptions=True)
            raise
        await beginning
        return upload, made

    async def _upload_once(self, key: str, details: Details, made: Inspected) -> Image:
        # In one process equal requests run one after the other, so that they return the first response instead of a
        # conflict. A request that finds an unfinished claim of its own process therefore knows that it failed.
        async with self._turns.setdefault((details.user_id, key), asyncio.Lock()):
            claimed = await self._depot.claimed("upload_image", key, self._new_upload(details, made.content))
            if claimed.state is State.READY:
                image = await self._records.image(claimed.upload.image_id)
            elif self._depot.is_left_to_sweep(claimed.upload):
                image = None
            elif not claimed.ours and abs(self._depot.clock() - claimed.upload.created_at) < _UNDER_WAY:
                raise InFlight("A request with this Idempotency-Key is still in progress; retry in 1 second.")
            else:
                image = await self._publish_once(claimed, made)
        if image is None:
            raise ImageGone("The image is deleted or its upload failed: to upload it again, use a new key.")
        # Undo later edits, because a retry returns the first response.
        return replace(image, details=details, updated_at=image.created_at)

    async def _publish_once(self, claimed: Claimed, made: Inspected) -> Image | None:
        """Publish the upload of a key, or return the image that another request published; None if it was deleted.

        A failure leaves the upload pending, for the next request with the key or for sweep.
        """
        await self._depot.check_quota(claimed.upload.details.user_id, made.content.file_size)
        if claimed.state is None:
            await self._records.begin(claimed.upload)
        # Not settled, because another request with the key may die before it removes its copy: sweep must check.
        return await self._publish(claimed.upload, made, settled=False)

    async def _publish(self, upload: Upload, made: Inspected, *, settled: bool) -> Image | None:
        """Write the objects of an image and publish it. Return the published image, or None if it was deleted.

        The record must exist before, so that sweep finds the objects after any failure.
        """
        image = sealed(upload, made, self._depot.sealed_key(upload.image_id))
        async with undoing.unless_done(self._depot, image.object_key):
            # The original starts first, because it takes longest.
            await together(*self._depot.puts(image, made, original=True), self._records.prepare(upload))
        published = await self._records.publish(image, settled=settled)
        if published is None or published.object_key != image.object_key:
            await undoing.abandon(self._depot, image.object_key)
        return published

    def _new_upload(self, details: Details, content: Content) -> Upload:
        expected = Expected("PUT", content.content_type, content.file_size, content.sha256)
        return self._depot.new_upload(details, expected)

    async def image(self, image_id: str, viewer: str | None) -> Image:
        """Return a published image. Raises NotFound, also if `viewer` may not see it. None may see all images."""
        image = await self._records.image(image_id)
        if image is None or not image.details.visible_to(viewer):
            raise NotFound("No image has this ID.")
        return image

    async def find(self, query: ImageQuery, after: Position | None, limit: int) -> Page:
        """Return a page of published images, newest first. A page can be short: see `ImageRepository.find`."""
        return await self._records.find(query, after, limit)

    async def read(self, image: Image, start: int = 0, stop: int | None = None) -> ByteStream:
        """Return the original's bytes from `start` (inclusive) to `stop` (exclusive). Raises ObjectMissing."""
        return await self._objects.open(image.object_key, start, stop)

    async def links(self) -> "Links":
        """Return a signer of links to images, valid now.

        A link stays identical within a window of `url_ttl` seconds, and remains valid for one more window, so that
        browsers and CDNs can cache by URL.
        """
        window = self._depot.settings.url_ttl
        opened = int(self._depot.clock().timestamp()) // window * window
        signed_at = datetime.fromtimestamp(opened, UTC)
        return Links(await self._objects.presign_downloads(signed_at, signed_at + timedelta(seconds=2 * window)))

    async def edit(
        self,
        image_id: str,
        caller: str,
        *,
        viewer: str | None,
        unless_changed: Callable[[Image], bool] = lambda _: True,
        title: str | None = None,
        description: str | None = None,
        tags: tuple[str, ...] | None = None,
        visibility: Visibility | None = None,
    ) -> Image:
        """Edit the metadata of an image. A field that is None does not change. Safe to retry.

        Raises NotFound (also if `viewer` may not see the image), Forbidden unless `caller` owns it, and
        PreconditionFailed if `unless_changed` returns false for the current image. Concurrent edits all take
        effect, one after the other.
        """
        while True:
            seen = await self.image(image_id, viewer)
            _check_owner(seen.details, caller)
            if not unless_changed(seen):
                raise PreconditionFailed("The image has changed since the ETag in If-Match: fetch it again.")
            # Strictly later than before, so that each version of the metadata has its own time, and its own ETag.
            updated_at = max(self._depot.clock(), seen.updated_at + timedelta(milliseconds=1))
            details = replace(
                seen.details,
                title=seen.details.title if title is None else title,
                description=seen.details.description if description is None else description,
                tags=seen.details.tags if tags is None else tags,
                visibility=seen.details.visibility if visibility is None else visibility,
            )
            edited = replace(seen, details=details, updated_at=updated_at)
            if await self._records.edit(edited, seen=seen):
                return edited

    async def delete(
        self,
        image_id: str,
        caller: str,
        *,
        viewer: str | None,
        unless_changed: Callable[[Image], bool] | None = None,
    ) -> None:
        """Delete an image permanently. It is not visible any more when this returns; sweep removes any remains.

        Raises NotFound (also on a second call, and if `viewer` may not see the image), Forbidden unless `caller`
        owns it, and PreconditionFailed if `unless_changed` returns false for the current image.
        """
        upload = await self._records.upload(image_id)
        if upload is None or upload.state is not State.READY or not upload.details.visible_to(viewer):
            raise NotFound("No image has this ID.")
        _check_owner(upload.details, caller)
        if unless_changed is not None and not unless_changed(await self.image(image_id, viewer)):
            raise PreconditionFailed("The image has changed since the ETag in If-Match: fetch it again.")
        # Keep the tombstone while a request with the same idempotency key would continue an upload without a
        # record.
        deadline = max(self._depot.earliest_purge(), upload.deadline)
        if not await self._records.retire(image_id, {State.READY}, deadline):
            raise NotFound("No image has this ID.")
        await undoing.erase(self._depot, image_id)


@dataclass(frozen=True, slots=True)
class Links:
    """A signer of links to images, for one moment."""

    downloads: Downloads

    @property
    def expires_at(self) -> datetime:
        """Return the time when the links expire."""
        return self.downloads.expires_at

    def original(self, image: Image) -> str:
        """Return a link to the original."""
        return self.downloads.url(image.object_key, image.content.content_type, disposition("inline", image))

    def variant(self, variant: Variant) -> str:
        """Return a link to a variant."""
        return self.downloads.url(variant.object_key, variant.content_type, "inline")


def disposition(kind: str, image: Image) -> str:
    """Return the Content-Disposition of an original. The file extension follows the detected media type."""
    return content_disposition(kind, download_name(image.details.filename, image.content.content_type))


def _check_owner(details: Details, caller: str) -> None:
    if details.user_id != caller:
        raise Forbidden("Only the owner of an image may change or delete it.")
