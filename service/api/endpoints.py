"""What each operation of the API does with its request: load, one operation of a service, dump."""

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
_LONGEST_LINK = 3_000  # characters: proxies have 4 KB for a whole head
_DECIDED_WITHIN = 8.0  # seconds: in a batch, what is not decided by then is answered as unavailable


# ---------------------------------------------------------------- images


async def upload_image(call: Call) -> ApiResponse:
    """Upload a picture as base64 in JSON, or as a form, and publish it."""
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
    """Take from what was said whether the place shall go out of the picture; if nothing, a setting decides."""
    return bool(said.pop("strip_location", call.services.settings.strip_location))


def _details(call: Call, said: Mapping[str, Any]) -> Details:
    return Details(**{**said, "user_id": call.writer(said.get("user_id"))})


async def list_images(call: Call) -> ApiResponse:
    """List images, newest first, by user, tags, title and dates."""
    asked, after = _image_query(call.query, call.caller), None
    secret = call.services.depot.records.secret  # only for cursors: most lists come and go without one
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
    """Return the Link to the next page: with the filters, or by the cursor alone, or none where it is too long."""
    kept = [(name, value) for name, value in call.request.query if name != "cursor"]
    for pairs in (kept, [(name, value) for name, value in kept if name == "limit"]):
        link = f'<{call.url("/images")}?{urlencode([*pairs, ("cursor", cursor)])}>; rel="next"'
        if len(link) <= _LONGEST_LINK:
            return {"Link": link}
    return {}


async def get_image(call: Call) -> ApiResponse:
    """Look at one image: its metadata and its picture; or download the bytes themselves."""
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
    """Return an answer with the picture in it, which is encoded as it is read: it is never here whole."""
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
    """Go to the picture, or to a smaller one of it: what an `<img>` points at."""
    image = await call.services.images.image(call.image_id, call.caller.user_id)
    # An image that has none is shown as it is.
    variant = next((each for each in image.variants if each.name == call.query["variant"]), None)
    links = await call.services.images.links()
    link = links.variant(variant) if variant else links.original(image)
    depot = call.services.depot
    # As long as the next request would be sent to the same link.
    left = (links.expires_at - depot.clock()).total_seconds() - depot.settings.url_ttl
    headers = {"Location": call.url(link), "Cache-Control": f"private, max-age={max(int(left), 0)}"}
    return ApiResponse(302, {**headers, "X-Content-Type-Options": "nosniff"})


async def edit_image(call: Call) -> ApiResponse:
    """Change an image's title, description, tags or visibility."""
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
    """Delete an image, for good."""
    image_id = call.image_id
    owner, viewer = await _owner(call), call.caller.user_id
    condition = call.unchanged if "if-match" in call.request.headers else None
    await call.services.images.delete(image_id, owner, viewer=viewer, unless_changed=condition)
    return answer({"message": "Image deleted successfully", "image_id": image_id})


async def delete_images(call: Call) -> ApiResponse:
    """Delete several images, for good. Each has a result of its own."""
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
    """Return who is asking, by the query, the body or the token."""
    said = call.query
    if "user_id" not in said and call.request.has_body:
        said = await read_json(call.request, schemas.OwnerBody(partial=call.caller.may_leave_out))
    return call.writer(said.get("user_id"))


# ---------------------------------------------------------------- uploads


async def begin_upload(call: Call) -> ApiResponse:
    """Ask for a link to send a picture's bytes to, straight into storage."""
    key = call.request.idempotency_key
    body = await read_json(call.request, schemas.UploadBody(partial=call.caller.may_leave_out))
    declared = {name: body.pop(name, None) for name in ("method", "content_type", "file_size", "sha256")}
    expected = Expected(**declared, strip_location=_strips_location(call, body))
    upload, link = await call.services.uploads.begin(_details(call, body), expected, idempotency_key=key)
    return answer(_begun(call, upload, link), 201, {"Location": call.url(f"/uploads/{upload.image_id}")})


async def get_upload(call: Call) -> ApiResponse:
    """Tell how far an upload is."""
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
    """Ask for a new link for an upload that is still pending."""
    upload, link = await call.services.uploads.sign(call.image_id, call.caller.user_id)
    return answer(_begun(call, upload, link))


async def complete_upload(call: Call) -> ApiResponse:
    """Verify the bytes that were sent, and publish the image."""
    image = await call.services.uploads.complete(call.image_id, call.caller.user_id)
    logs.note(user=image.details.user_id)
    return answer(_published(call, "Image uploaded successfully", image))


async def cancel_upload(call: Call) -> ApiResponse:
    """Give an upload up."""
    image_id = call.image_id
    await call.services.uploads.cancel(image_id, call.caller.user_id)
    return answer({"message": "Upload cancelled successfully", "image_id": image_id})


# ---------------------------------------------------------------- the service itself


async def get_health(call: Call) -> ApiResponse:  # noqa: ARG001
    """Tell that the service is alive; asks nothing of its backends."""
    return answer({"status": "ok"})


async def get_readiness(call: Call) -> ApiResponse:
    """Tell whether the backends do their work."""
    states = await call.services.depot.states()
    if set(states.values()) != {"ok"}:
        raise NotReady(states, call.services.depot.pairing.told)
    return answer({"status": "ok", "dependencies": states})


async def get_openapi(call: Call) -> ApiResponse:
    """Describe the API, as OpenAPI 3.1."""
    return answer(await asyncio.to_thread(call.services.describe))


# ---------------------------------------------------------------- answers


def _published(call: Call, message: str, image: Image) -> dict[str, Any]:
    return {"message": message, "image_id": image.image_id, "metadata": call.metadata(image)}


def _view_etag(image: Image, view: ApiResponse) -> str:
    """Return the ETag of a view: that of its metadata, and a digest of all it says, for its links come and go."""
    assert isinstance(view.body, bytes)  # noqa: S101 - answer() makes nothing else
    return f'{etag_of(image)[:-1]}/{hashlib.sha256(view.body).hexdigest()[:16]}"'


async def _linker(call: Call) -> Callable[[Image], dict[str, Any]]:
    """Return what tells an image's links, to itself and to its variants, for this one answer."""
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
    """Return a JSON answer."""
    headers = {"Content-Type": "application/json", **(headers or {})}
    return ApiResponse(status, headers, orjson.dumps(document))
