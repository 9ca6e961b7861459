"""The endpoints: each loads a request, calls a service and responds. Their docstrings are texts of OpenAPI."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import orjson
import pybase64

from service.domain.errors import (
    Forbidden,
    InvalidParameter,
    NotFound,
    NotReady,
    PreconditionFailed,
    Unavailable,
)
from service.domain.model import (
    ByteStream,
    Details,
    Expected,
    Image,
    ImageQuery,
    SignedUpload,
    State,
    Upload,
)
from service.domain.search import decode_cursor, encode_cursor, folded
from service.operations.images import disposition
from service.telemetry import logs

from . import schemas
from .bodies import check_picture, read_json, read_picture
from .calls import Call, etag_of, image_id_of
from .fields import instant
from .http import ApiResponse, if_none_match, representation
from .identity import Caller

_DELETES_AT_ONCE = 10
_LONGEST_LINK = 3_000  # characters, because some proxies limit all response headers together to 4 KB
_DECIDED_WITHIN = 8.0  # seconds; a batch reports `unavailable` for each image that is not deleted by then


# ---------------------------------------------------------------- images


async def upload_image(call: Call) -> ApiResponse:
    """Upload an image as base64 JSON or as a form, and publish it.

    The server verifies and stores the image before it responds. An image is at most 10 MiB by default
    (`PIXDEPOT_MAX_IMAGE_BYTES`). To send the bytes to the storage without passing through the service, use
    `POST /uploads`. Send an `Idempotency-Key` so that a retry does not create a second image.
    """
    key, most = call.request.idempotency_key, call.services.settings.max_image_bytes
    check_picture(call.request, most)
    await call.services.depot.objects.check_room(call.request.content_length or 0)
    async with call.services.depot.inspector.admitted(call.request.content_length) as room:
        metered = replace(call.request, body=room.metered(call.request.body))
        said, picture = await read_picture(metered, most, call.caller.may_leave_out)
        strips, declared = _strips_location(call, said), picture.declared_type
        details = _details(call, said)
        image = await call.services.images.upload(
            details, picture.data, declared, strip_location=strips, idempotency_key=key
        )
    location = {"Location": call.url(f"/images/{image.image_id}")}
    return answer(_published(call, "Image uploaded successfully", image), 201, location)


def _strips_location(call: Call, said: dict[str, Any]) -> bool:
    """Remove strip_location from the payload and return it, or the service's setting if the client omitted it."""
    return bool(said.pop("strip_location", call.services.settings.strip_location))


def _details(call: Call, said: Mapping[str, Any]) -> Details:
    return Details(**{**said, "user_id": call.writer(said.get("user_id"))})


async def list_images(call: Call) -> ApiResponse:
    """List images, newest first, filtered by user, tags, title and dates.

    All filters must match. A page can contain fewer than `limit` images, or none, and still have a `next_cursor`,
    because the server limits how many rows it reads for one page. The list ends when `next_cursor` is null. With
    tokens the list contains your images and public images; without tokens it contains all images.
    """
    asked, after = _image_query(call.query, call.caller), None
    secret = call.services.depot.records.secret  # read only if there is a cursor, because most lists have none
    if (cursor := call.query.get("cursor")) is not None:
        asked, after = decode_cursor(await secret(), asked, cursor)
    page = await call.services.images.find(folded(asked), after, call.query["limit"])
    next_cursor = encode_cursor(await secret(), asked, page.next) if page.next else None
    linked = await _linker(call)
    images = [call.metadata(image) | linked(image) for image in page.images]
    document = {"images": images, "count": len(images), "next_cursor": next_cursor}
    return answer(document, headers=_next_page(call, next_cursor) if next_cursor else {})


def _image_query(query: Mapping[str, Any], caller: Caller) -> ImageQuery:
    since, until = query.get("date_from"), query.get("date_to")
    if since and until and since >= until:
        raise InvalidParameter("The date range is invalid.", {"date_from": ["Must not be after date_to."]})
    title, any_tag = query.get("title") or None, query["tags_match"] == "any"
    return ImageQuery(query.get("user_id"), query.get("tags", ()), any_tag, title, since, until, caller.user_id)


def _next_page(call: Call, cursor: str) -> dict[str, str]:
    """Return the Link header of the next page (RFC 8288). Omit the filters, then the header, if it is too long."""
    kept = [(name, value) for name, value in call.request.query if name != "cursor"]
    for pairs in (kept, [(name, value) for name, value in kept if name == "limit"]):
        link = f'<{call.url("/images")}?{urlencode([*pairs, ("cursor", cursor)])}>; rel="next"'
        if len(link) <= _LONGEST_LINK:
            return {"Link": link}
    return {}


async def get_image(call: Call) -> ApiResponse:
    """Get an image: its metadata, its links and its bytes as base64, or download the bytes.

    An image that is too large for the response has `image_data` null: use `url`. AWS Lambda limits a response to
    6 MB; the server has no limit. With `download=true` the response is the original bytes, or a redirect to them.
    """
    image = await call.services.images.image(call.image_id, call.caller.user_id)
    if call.query["download"]:
        return await _download(call, image)
    linked = await _linker(call)
    document = {"image_id": image.image_id, "metadata": call.metadata(image), **linked(image)}
    carried = call.request.carries(image.content.file_size)
    if call.query["metadata_only"]:
        carried = False
    elif carried:
        document |= {"image_data": ""}
    else:
        document |= {
            "image_data": None,
            "image_data_omitted": "The image is too large for a response: use `url`.",
        }
    whole = answer(document)
    headers = {"ETag": _view_etag(image, whole), "Cache-Control": "private, no-cache"}
    if not call.unchanged(image):
        raise PreconditionFailed("The image has changed since the ETag in If-Match: fetch it again.")
    if if_none_match(call.request.headers, headers["ETag"]):
        return ApiResponse(304, headers)
    whole = whole.with_headers(headers)
    return await _with_picture(call, whole, image) if carried else whole


async def _with_picture(call: Call, whole: ApiResponse, image: Image) -> ApiResponse:
    """Return the response with the image in it. It encodes the image while reading it, to use little memory."""
    assert isinstance(whole.body, bytes)  # noqa: S101 - answer() makes nothing else
    length = len(whole.body) + (image.content.file_size + 2) // 3 * 4
    if call.request.method == "HEAD":
        return replace(whole, body=b"", length=length)
    head, tail = whole.body[:-2], whole.body[-2:]
    return replace(whole, body=_around(head, await call.services.images.read(image), tail), length=length)


async def _around(head: bytes, picture: ByteStream, tail: bytes) -> ByteStream:
    yield head
    held = b""
    async for chunk in picture:
        data = held + chunk
        whole = len(data) // 3 * 3
        yield pybase64.b64encode(data[:whole])
        held = data[whole:]
    yield pybase64.b64encode(held) + tail


async def _download(call: Call, image: Image) -> ApiResponse:
    if not (call.request.takes_bytes and call.request.carries(image.content.file_size)):
        links = await call.services.images.links()
        return ApiResponse(302, {"Location": call.url(links.original(image)), "Cache-Control": "no-store"})
    headers = {
        "Content-Type": image.content.content_type,
        "Content-Disposition": disposition("attachment", image),
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }

    async def read(start: int, stop: int) -> ByteStream:
        return await call.services.images.read(image, start, stop)

    return await representation(call.request, f'"{image.content.sha256}"', image.content.file_size, headers, read)


async def get_content(call: Call) -> ApiResponse:
    """Redirect to the original bytes or to a variant of them. Use this URL in an `<img>` element.

    If the image does not have the variant, the response redirects to the original.
    """
    image = await call.services.images.image(call.image_id, call.caller.user_id)
    # An image without this variant is served as the original.
    variant = next((each for each in image.variants if each.name == call.query["variant"]), None)
    links = await call.services.images.links()
    link = links.variant(variant) if variant else links.original(image)
    depot = call.services.depot
    # Cacheable for as long as another request would get the same link.
    left = (links.expires_at - depot.clock()).total_seconds() - depot.settings.url_ttl
    headers = {"Location": call.url(link), "Cache-Control": f"private, max-age={max(int(left), 0)}"}
    return ApiResponse(302, {**headers, "X-Content-Type-Options": "nosniff"})


async def edit_image(call: Call) -> ApiResponse:
    """Edit the title, description, tags or visibility of an image you own.

    A field you omit does not change. `tags` replaces all tags. Send `If-Match` to edit only the version that you
    have read. Without `If-Match` the request is safe to retry.
    """
    await call.services.depot.objects.check_room(0)
    changes = await read_json(call.request, schemas.EditBody(partial=call.caller.may_leave_out))
    user_id = call.writer(changes.pop("user_id", None))
    image = await call.services.images.edit(
        call.image_id,
        user_id,
        viewer=call.caller.user_id,
        unless_changed=call.unchanged,
        **changes,
    )
    return answer(_published(call, "Image updated successfully", image), headers={"ETag": etag_of(image)})


async def delete_image(call: Call) -> ApiResponse:
    """Delete an image you own.

    The deletion is permanent. A retry after a success returns 404. Without a token, send the owner's `user_id` in
    the query or in the body.
    """
    image_id = call.image_id
    owner, viewer = await _owner(call), call.caller.user_id
    condition = call.unchanged if "if-match" in call.request.headers else None
    await call.services.images.delete(image_id, owner, viewer=viewer, unless_changed=condition)
    return answer({"message": "Image deleted successfully", "image_id": image_id})


async def delete_images(call: Call) -> ApiResponse:
    """Delete up to 100 images you own, and return a result for each.

    The deletions are permanent and independent: one can fail while others succeed. Safe to retry; an image that a
    previous request deleted then has the status 404.
    """
    body = await read_json(call.request, schemas.BatchBody(partial=call.caller.may_leave_out))
    user_id, turns = call.writer(body.get("user_id")), asyncio.Semaphore(_DELETES_AT_ONCE)
    over = asyncio.get_running_loop().time() + _DECIDED_WITHIN

    async def delete(image_id: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout_at(over), turns:
                viewer = call.caller.user_id
                await call.services.images.delete(image_id_of(image_id), user_id, viewer=viewer)
        except (NotFound, Forbidden, Unavailable, TimeoutError) as error:
            told = Unavailable if isinstance(error, TimeoutError) else error
            return {"image_id": image_id, "status": told.status, "code": told.code}
        return {"image_id": image_id, "status": 200, "code": None}

    results = await asyncio.gather(*map(delete, dict.fromkeys(body["image_ids"])))
    return answer({"results": results})


async def _owner(call: Call) -> str:
    """Return the user ID of the caller, from the query, the body or the token."""
    said = call.query
    if "user_id" not in said and call.request.has_body:
        said = await read_json(call.request, schemas.OwnerBody(partial=call.caller.may_leave_out))
    return call.writer(said.get("user_id"))


# ---------------------------------------------------------------- uploads


async def begin_upload(call: Call) -> ApiResponse:
    """Begin a direct upload: get a signed link that sends the bytes straight to the storage.

    1. Send the bytes to `upload.url` with the method and headers (or form fields) in `upload`.
    2. Send `POST` to `complete_url`. The service then verifies and publishes the image.

    The link expires after 15 minutes by default (`PIXDEPOT_UPLOAD_TTL`). Send an `Idempotency-Key` so that a retry
    does not begin a second upload.
    """
    key = call.request.idempotency_key
    body = await read_json(call.request, schemas.UploadBody(partial=call.caller.may_leave_out))
    declared = {name: body.pop(name, None) for name in ("method", "content_type", "file_size", "sha256")}
    expected = Expected(**declared, strip_location=_strips_location(call, body))
    upload, link = await call.services.uploads.begin(_details(call, body), expected, idempotency_key=key)
    return answer(_begun(call, upload, link), 201, {"Location": call.url(f"/uploads/{upload.image_id}")})


async def get_upload(call: Call) -> ApiResponse:
    """Get the status of an upload.

    `pending` waits for its bytes or for `complete`; `ready` is published; `failed` was rejected, with the error in
    `failure`; `expired` was not completed in time.
    """
    upload = await call.services.uploads.status(call.image_id, call.caller.user_id)
    ready = upload.state is State.READY
    document = {
        "image_id": upload.image_id,
        "status": "expired" if call.services.uploads.expired(upload) else upload.state.value,
        "expires_at": instant(upload.expires_at),
        "failure": {"code": upload.failure.code, "detail": upload.failure.detail} if upload.failure else None,
        "image_url": call.url(f"/images/{upload.image_id}") if ready else None,
    }
    return answer(document)


async def sign_upload(call: Call) -> ApiResponse:
    """Sign a new link for a pending or expired upload, and restart its lifetime."""
    upload, link = await call.services.uploads.sign(call.image_id, call.caller.user_id)
    return answer(_begun(call, upload, link))


async def complete_upload(call: Call) -> ApiResponse:
    """Complete an upload: verify the bytes that you sent, and publish the image.

    Safe to retry: it returns the same image or the same error. If the bytes are not a valid image, the upload has
    failed and its bytes are deleted: begin another upload. After `quota_exceeded` the upload stays pending.
    """
    image = await call.services.uploads.complete(call.image_id, call.caller.user_id)
    logs.note(user=image.details.user_id)
    return answer(_published(call, "Image uploaded successfully", image))


async def cancel_upload(call: Call) -> ApiResponse:
    """Cancel an upload that is not published.

    The service deletes its bytes, also if they arrive later. A retry after a success returns 404.
    """
    image_id = call.image_id
    await call.services.uploads.cancel(image_id, call.caller.user_id)
    return answer({"message": "Upload cancelled successfully", "image_id": image_id})


# ---------------------------------------------------------------- the service itself


async def get_health(call: Call) -> ApiResponse:  # noqa: ARG001
    """Check that the service is running (liveness). The check does not call the database or the storage."""
    return answer({"status": "ok"})


async def get_readiness(call: Call) -> ApiResponse:
    """Check that the database and the storage are available (readiness)."""
    states = await call.services.depot.states()
    if set(states.values()) != {"ok"}:
        raise NotReady(states, call.services.depot.pairing.told)
    return answer({"status": "ok", "dependencies": states})


async def get_openapi(call: Call) -> ApiResponse:
    """Get the description of this API as OpenAPI 3.1."""
    return answer(await asyncio.to_thread(call.services.describe))


# ---------------------------------------------------------------- responses


def _published(call: Call, message: str, image: Image) -> dict[str, Any]:
    return {"message": message, "image_id": image.image_id, "metadata": call.metadata(image)}


def _view_etag(image: Image, view: ApiResponse) -> str:
    """Return the ETag of a view: the ETag of its metadata and a digest of the response, because links change."""
    assert isinstance(view.body, bytes)  # noqa: S101 - answer() makes nothing else
    return f'{etag_of(image)[:-1]}/{hashlib.sha256(view.body).hexdigest()[:16]}"'


async def _linker(call: Call) -> Callable[[Image], dict[str, Any]]:
    """Return a function that returns the links of an image and of its variants. It is valid for one response."""
    links = await call.services.images.links()
    expires_at = instant(links.expires_at)

    def linked(image: Image) -> dict[str, Any]:
        variants = {
            each.name: {
                "url": call.url(links.variant(each)),
                "content_type": each.content_type,
                "width": each.width,
                "height": each.height,
            }
            for each in image.variants
        }
        return {"url": call.url(links.original(image)), "url_expires_at": expires_at, "variants": variants}

    return linked


def _begun(call: Call, upload: Upload, link: SignedUpload) -> dict[str, Any]:
    target = {
        "method": link.method,
        "url": call.url(link.url),
        "headers": link.headers,
        "fields": link.fields,
        "expires_at": instant(link.expires_at),
    }
    complete_url = call.url(f"/uploads/{upload.image_id}/complete")
    return {"image_id": upload.image_id, "status": "pending", "upload": target, "complete_url": complete_url}


def answer(document: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> ApiResponse:
    """Return a JSON response."""
    headers = {"Content-Type": "application/json", **(headers or {})}
    return ApiResponse(status, headers, orjson.dumps(document))
