"""Direct uploads: the client sends the bytes straight to the storage; the service signs, verifies and publishes."""

from datetime import datetime

from service import media
from service.domain.errors import (
    Conflict,
    InvalidImage,
    InvalidRequest,
    NotFound,
    ObjectMissing,
    PixdepotError,
    QuotaExceeded,
    TooLarge,
    TypeMismatch,
    UnsupportedImage,
    UploadExpired,
    UploadMissing,
    exact,
    failure,
)
from service.domain.model import Details, Expected, Failure, Image, SignedUpload, State, Upload

from . import undoing
from .depot import Depot, sealed, together

_REFUSED = (TooLarge, UnsupportedImage, InvalidImage, TypeMismatch)


class UploadService:
    """The operations on uploads. Every method raises Unavailable if a backend does not answer.

    Only its owner can access an upload: for another `caller` methods raise NotFound. A `caller` of None may access
    all uploads.
    """

    def __init__(self, depot: Depot) -> None:
        self._depot = depot
        self._objects, self._records = depot.objects, depot.records

    async def begin(
        self, details: Details, expected: Expected, *, idempotency_key: str | None = None
    ) -> tuple[Upload, SignedUpload]:
        """Begin an upload: store it as pending, and return it with the signed link for its bytes.

        With a key it is safe to retry for 24 hours, and returns the first result, whatever the upload's state is
        now. Raises InvalidRequest (a PUT without a size, or a POST that the storage does not support), TooLarge,
        InsufficientStorage, QuotaExceeded, and with a key the errors of `Depot.claimed`.
        """
        limit = self._depot.settings.max_image_bytes
        self._check_method(expected)
        if (expected.file_size or 0) > limit:
            raise TooLarge(f"The image is too large: the limit is {exact(limit)}.")
        await self._objects.check_room(expected.file_size or 0)
        upload, begun = self._depot.new_upload(details, expected), False
        if idempotency_key is not None:
            claimed = await self._depot.claimed("begin_upload", idempotency_key, upload)
            upload, begun = claimed.upload, claimed.state is not None
        if not begun:
            await self._depot.check_quota(details.user_id, expected.file_size or 1)
            await self._records.begin(upload)
        return upload, await self._sign(upload, upload.created_at)

    def _check_method(self, expected: Expected) -> None:
        """Raise InvalidRequest if the service cannot sign a link for the declaration."""
        forms = self._depot.settings.post_forms
        complaints = {}
        if expected.method == "POST" and not forms:
            complaints["method"] = ["The storage does not support POST forms: use PUT with file_size."]
        if expected.method == "PUT" and expected.file_size is None:
            otherwise = ', or use the method "POST"' if forms else ""
            complaints["file_size"] = [f"The method PUT requires the length in bytes: send file_size{otherwise}."]
        if complaints:
            raise InvalidRequest("Some fields are invalid: see `errors`.", complaints)

    async def status(self, image_id: str, caller: str | None) -> Upload:
        """Return an upload in its current state. Raises NotFound, also if it was cancelled or deleted."""
        upload = await self._records.upload(image_id)
        if upload is None or upload.state is State.DELETED or caller not in {None, upload.details.user_id}:
            raise NotFound("No upload has this ID.")
        return upload

    def expired(self, upload: Upload) -> bool:
        """Return whether the upload expired before it was completed."""
        return upload.state is State.PENDING and upload.expires_at <= self._depot.clock()

    async def sign(self, image_id: str, caller: str | None) -> tuple[Upload, SignedUpload]:
        """Sign a new link for a pending upload, and restart its lifetime.

        Raises NotFound, and Conflict if the upload is published or failed, or if it needs a POST form that the
        storage does not support.
        """
        pending = await self.status(image_id, caller)
        if pending.expected.method == "POST" and not self._depot.settings.post_forms:
            raise Conflict("The storage does not support POST forms: start a new upload with the method PUT.")
        upload = await self._records.extend(image_id, self._depot.expiry())
        if upload is None:
            raise Conflict("The upload is no longer pending.")
        return upload, await self._sign(upload, self._depot.clock())

    async def _sign(self, upload: Upload, signed_at: datetime) -> SignedUpload:
        limit = self._depot.settings.max_image_bytes
        key = self._depot.upload_key(upload.image_id)
        return await self._objects.presign_upload(key, upload.expected, limit, signed_at, upload.expires_at)

    async def complete(self, image_id: str, caller: str | None) -> Image:
        """Complete an upload: verify the bytes, seal them and publish the image.

        Safe to retry: it returns the same image or raises the same error. Raises NotFound, UploadMissing (no bytes
        arrived yet), UploadExpired, and the errors of the bytes (TooLarge, UnsupportedImage, InvalidImage,
        TypeMismatch), which delete them. QuotaExceeded leaves the upload pending, so that a retry can succeed
        before it expires.
        """
        upload = await self.status(image_id, caller)
        if upload.state is not State.PENDING:
            return await self._outcome(upload)
        if self.expired(upload):
            raise UploadExpired("Request a new link with POST /uploads/{id}/sign, or start a new upload.")
        key = self._depot.sealed_key(image_id)
        try:
            async with (
                undoing.unless_done(self._depot, key),
                self._depot.inspector.admitted(upload.expected.file_size),
            ):
                image = await self._prepared(upload, key)
        except QuotaExceeded as refusal:
            return await self._another(image_id, refusal)
        except ObjectMissing:
            return await self._another(
                image_id, UploadMissing("Send the bytes to the upload's `url` first, then complete the upload.")
            )
        except _REFUSED as refusal:
            return await self._refuse(upload, refusal)
        return await self._publish(image)

    async def cancel(self, image_id: str, caller: str | None) -> None:
        """Cancel an upload. Sweep removes bytes that arrive later. Raises NotFound, or Conflict if published."""
        await self.status(image_id, caller)
        if not await self._records.retire(image_id, {State.PENDING, State.FAILED}, self._depot.earliest_purge()):
            await self.status(image_id, caller)  # raises NotFound if another request cancelled it meanwhile
            raise Conflict("The upload is already published: delete the image instead.")
        await undoing.erase(self._depot, image_id)

    async def _prepared(self, upload: Upload, key: str) -> Image:
        """Seal the bytes under this key, verify them, and write the variants and list entries."""
        # The service verifies exactly the bytes that it serves, even if the client overwrites its upload meanwhile:
        # the storage copies the bytes, and the service reads the copy. If the service changes the bytes or does not
        # know their type yet, it reads the upload once and writes the result instead. Both take two requests.
        arrived, expected = self._depot.upload_key(upload.image_id), upload.expected
        rewritten = expected.strip_location or expected.content_type == media.UNKNOWN_TYPE
        if not rewritten:
            await self._objects.copy(arrived, key, expected.content_type, note=self._depot.note(upload))
        made = await self._depot.inspector.inspected(
            await self._depot.whole(arrived if rewritten else key),
            expected.content_type,
            sha256=expected.sha256,
            size=expected.file_size,
            strip_location=expected.strip_location,
        )
        await self._depot.check_quota(upload.details.user_id, made.content.file_size)
        image = sealed(upload, made, key)
        writes = self._depot.puts(image, made, original=rewritten)
        await together(*writes, self._records.prepare(upload))
        return image

    async def _publish(self, image: Image) -> Image:
        published = await self._records.publish(image, settled=False)
        await undoing.delete(self._depot, self._depot.upload_key(image.image_id))
        if published is None or published.object_key != image.object_key:
            # Of two concurrent completes, the second one removes its copy.
            await undoing.abandon(self._depot, image.object_key)
        if published is None:
            raise NotFound("The upload was cancelled.")
        return published

    async def _refuse(self, upload: Upload, refusal: PixdepotError) -> Image:
        reason = Failure(refusal.code, refusal.detail)
        if await self._records.fail(upload.image_id, reason):
            await undoing.erase(self._depot, upload.image_id)
            raise refusal
        return await self._another(upload.image_id, refusal)

    async def _another(self, image_id: str, otherwise: PixdepotError) -> Image:
        """Return the result of another complete of this upload, or raise `otherwise` if it is still pending."""
        upload = await self.status(image_id, None)
        if upload.state is State.PENDING:
            raise otherwise
        return await self._outcome(upload)

    async def _outcome(self, upload: Upload) -> Image:
        if upload.failure:
            raise failure(upload.failure.code, upload.failure.detail)
        image = await self._records.image(upload.image_id)
        if image is None:
            raise NotFound("No upload has this ID.")
        return image
