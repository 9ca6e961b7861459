"""The routes of the local storage, which serve signed links like S3 does. A signed link needs no token."""

import hashlib
from collections.abc import AsyncIterator

from service.api.forms import Part, form_parts
from service.api.http import ApiRequest, ApiResponse, Route, representation
from service.domain.errors import Forbidden, InvalidRequest, TooLarge, exact
from service.domain.model import ByteStream

from .files import LocalObjectStore
from .links import PREFIX, Grant, LinkSigner

_FORM_BYTES = 64 * 1024  # limit of a form without its file


class StorageRoutes:
    """The endpoint of the local storage. It replaces the endpoint of S3."""

    def __init__(self, objects: LocalObjectStore, signer: LinkSigner, max_bytes: int) -> None:
        self._objects, self._signer = objects, signer
        self._most = max_bytes + _FORM_BYTES

    @property
    def routes(self) -> tuple[Route, ...]:
        """Return the routes, which a skin adds to the API's routes."""
        return (
            Route("GET", f"{PREFIX}/{{key+}}", "get_object", self.get),
            Route("PUT", f"{PREFIX}/{{key+}}", "put_object", self.put),
            Route("POST", PREFIX, "post_object", self.post),
        )

    async def get(self, request: ApiRequest) -> ApiResponse:
        """Serve an object's bytes by a download link. Raises Forbidden, ObjectMissing."""
        key = request.parameters["key"]
        allowed = self._signer.check_download(key, dict(request.query))
        # The bytes of a sealed key never change, so the key works as an ETag.
        etag = f'"{hashlib.sha256(key.encode()).hexdigest()[:32]}"'
        headers = {
            "Content-Type": allowed.content_type,
            "Content-Disposition": allowed.disposition,
            "Cache-Control": "private, max-age=86400, immutable",
            "X-Content-Type-Options": "nosniff",
        }
        size = await self._objects.size(key)
        return await representation(
            request, etag, size, headers, lambda start, stop: self._objects.open(key, start, stop)
        )

    async def put(self, request: ApiRequest) -> ApiResponse:
        """Store the body of a PUT. Raises TooLarge, Forbidden, PreconditionFailed, InvalidImage."""
        request.refuse_over(self._most)
        grant = self._signer.check_put(request.parameters["key"], dict(request.query), request.headers)
        await self._objects.check_room(grant.most)
        await self._objects.receive(grant.key, self._measured(request.body, grant), sha256=grant.sha256)
        return ApiResponse(200)

    async def post(self, request: ApiRequest) -> ApiResponse:
        """Store the file of a form by its policy, like S3's POST: fields first, the file last."""
        request.refuse_over(self._most)
        await self._objects.check_room(request.content_length or 0)
        fields: dict[str, str] = {}
        async for part in form_parts(request):
            if part.name == "file":
                return await self._receive(fields, part)
            if part.filename is not None:
                raise InvalidRequest("Send the image in the form field `file`, after all other fields.")
            fields[part.name] = await part.text()
        raise InvalidRequest("Send the image in the form field `file`.")

    async def _receive(self, fields: dict[str, str], part: Part) -> ApiResponse:
        grant = self._signer.check_post(fields)
        await self._objects.receive(grant.key, self._measured(part.chunks, grant), sha256=grant.sha256)
        return ApiResponse(204)

    async def _measured(self, chunks: ByteStream, grant: Grant) -> AsyncIterator[bytes]:
        """Yield the chunks, and check their total size and time.

        Raises TooLarge above the signed size, and Forbidden below it or after the time limit.
        """
        size = 0
        async for chunk in chunks:
            self._signer.check_still_taken(grant)
            size += len(chunk)
            if size > grant.most:
                raise TooLarge(f"The image is too large for this link: the limit is {exact(grant.most)}.")
            yield chunk
        self._signer.check_still_taken(grant)
        if size < grant.least:
            raise Forbidden(f"The image is too small for this link: it must have at least {exact(grant.least)}.")
