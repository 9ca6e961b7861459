"""The examples of requests and responses in the OpenAPI document: one small image, from upload to deletion.

A test sends every request to a real server and compares the responses, except for IDs, times and links.
"""

import json
from collections.abc import Mapping
from typing import Any

from service.domain import errors
from service.domain.errors import PixdepotError

from .problems import problem

IMAGE_ID = "0199ac4e-9a3b-7c11-8f52-3d1f0a6b7c8d"
UPLOAD_ID = "0199ac51-02d4-7e36-9b1a-55c0d2e4f617"
REQUEST_ID = "5e0f6d0c9d1b2a34"

_HERE = "https://pictures.example"
_LINK = f"{_HERE}/storage/images/{IMAGE_ID}/f5851ffc3a4c0c02"
_SIGNED = "expires=1759316400&type=image%2F{}&signature=44FIVa-Me9g7IlRtnNfaT95G3zX6TOYgnM313eXKeJQ"
_UPLOADED = "2025-10-01T10:12:31.419Z"
LOCATION = f"{_HERE}/images/{IMAGE_ID}"
LINK = f'<{_HERE}/images?limit=50&cursor=Zm9yIGEgdGVzdA>; rel="next"'
ETAG = f'"{_UPLOADED}"'

_EDITED = "2025-10-01T10:15:02.870Z"
_EXPIRES = "2025-10-01T11:00:00.000Z"
_PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAGCAIAAABxZ0isAAAAFUlEQVR42mP8Nc2GARtgefNRbsAkAOjIC8ld4LOaAAAAAElFTkSuQmCC"
)
_BYTES = 78
_SHA256 = "75b0fff3048776e6956d1118bb982ee44b1355d151adc3802d4a7cce3305104f"

_DETAILS = {"user_id": "ada", "title": "Sunset", "tags": ["beach", "Évora"], "filename": "sunset.png"}
_OWNER = {"user_id": "ada"}
_TOLD = {"content_type": "image/png", "file_size": _BYTES, "sha256": _SHA256}
_METADATA = {
    "image_id": IMAGE_ID,
    **_DETAILS,
    **_TOLD,
    "description": "",
    "visibility": "public",
    "created_at": _UPLOADED,
    "updated_at": _UPLOADED,
    "width": 8,
    "height": 6,
    "placeholder": "LuNa0~s:fQs:}goJfQoJs;jtfQjt",
}
_SIZES = {
    name: {"url": f"{_LINK}/{name}?{_SIGNED.format('webp')}", "content_type": "image/webp", "width": 8, "height": 6}
    for name in ("thumb", "display")
}
_LINKS = {"url": f"{_LINK}/original?{_SIGNED.format('png')}", "url_expires_at": _EXPIRES, "variants": _SIZES}
_PUBLISHED = {"message": "Image uploaded successfully", "image_id": IMAGE_ID, "metadata": _METADATA}
_EDIT = {"title": "Sunset at the beach"}
_BEGUN: Mapping[str, Any] = {
    "image_id": UPLOAD_ID,
    "status": "pending",
    "upload": {
        "method": "PUT",
        "url": f"{_HERE}/storage/uploads/{UPLOAD_ID}?{_SIGNED.format('png')}",
        "headers": {
            "Content-Type": "image/png",
            "x-amz-checksum-sha256": "dbD/8wSHduaVbREYu5gu5EsTVdFRrcOALUp8zjMFEE8=",
            "If-None-Match": "*",
        },
        "fields": {},
        "expires_at": "2025-10-01T10:30:00.000Z",
    },
    "complete_url": f"{_HERE}/uploads/{UPLOAD_ID}/complete",
}

# By operation, then by the name of the example.
JSON_BODIES: Mapping[str, Mapping[str, Any]] = {
    "upload_image": {"a picture": {**_DETAILS, "image_data": _PICTURE}},
    "begin_upload": {
        "PUT": {**_DETAILS, **_TOLD},
        "POST": {**_DETAILS, "content_type": "image/png", "method": "POST"},
    },
    "edit_image": {"another title": {**_OWNER, **_EDIT}, "no tags": {**_OWNER, "tags": []}},
    "delete_image": {"by its owner": _OWNER},
    "delete_images": {"two": {**_OWNER, "image_ids": [IMAGE_ID, UPLOAD_ID]}},
}
FORMS: Mapping[str, Mapping[str, Any]] = {
    "upload_image": {"a picture": {**_DETAILS, "tags": ["beach,Évora"], "file": "the picture's bytes"}}
}
QUERIES: Mapping[str, Mapping[str, Any]] = {
    "list_images": {
        "user_id": "ada",
        "tags": "beach,évora",
        "title": "sun",
        "date_from": "2025-10-01",
        "date_to": "2025-10-01T12:00:00Z",
        "limit": 50,
    },
    "get_image": {"metadata_only": True, "download": False},
    "get_content": {"variant": "thumb"},
    "delete_image": {"user_id": "ada"},
}
ANSWERS: Mapping[str, Any] = {
    "upload_image": _PUBLISHED,
    "list_images": {"images": [{**_METADATA, **_LINKS}], "count": 1, "next_cursor": None},
    "get_image": {"image_id": IMAGE_ID, "metadata": _METADATA, **_LINKS, "image_data": _PICTURE},
    "edit_image": {
        "message": "Image updated successfully",
        "image_id": IMAGE_ID,
        "metadata": {**_METADATA, **_EDIT, "updated_at": _EDITED},
    },
    "delete_image": {"message": "Image deleted successfully", "image_id": IMAGE_ID},
    "delete_images": {
        "results": [
            {"image_id": IMAGE_ID, "status": 200, "code": None},
            {"image_id": UPLOAD_ID, "status": 404, "code": "not_found"},
        ]
    },
    "begin_upload": _BEGUN,
    "get_upload": {
        "image_id": UPLOAD_ID,
        "status": "pending",
        "expires_at": _BEGUN["upload"]["expires_at"],
        "failure": None,
        "image_url": None,
    },
    "cancel_upload": {"message": "Upload cancelled successfully", "image_id": UPLOAD_ID},
    "sign_upload": _BEGUN,
    "complete_upload": {**_PUBLISHED, "image_id": UPLOAD_ID, "metadata": {**_METADATA, "image_id": UPLOAD_ID}},
    "get_health": {"status": "ok"},
    "get_readiness": {"status": "ok", "dependencies": {"database": "ok", "storage": "ok"}},
    "get_openapi": {"openapi": "3.1.0", "info": {"title": "Pixdepot", "version": "0.1.0"}, "paths": {}},
}

_COMPLAINTS: Mapping[type[errors.InvalidRequest], Mapping[str, list[str]]] = {
    errors.InvalidRequest: {"title": ["Must not be blank."]},
    errors.InvalidBase64: {"image_data": ["Not strict base64 (RFC 4648)."]},
    errors.InvalidFilename: {"filename": ["Must be a name, not a path."]},
    errors.InvalidTags: {"tags": ["There may be 20 tags."]},
    errors.InvalidParameter: {"limit": ["Must be greater than or equal to 1 and less than or equal to 100."]},
}


def failure(kind: type[PixdepotError]) -> PixdepotError:
    """Return an example error of this class."""
    carried: Mapping[type[PixdepotError], tuple[Any, ...]] = {
        errors.MethodNotAllowed: (["GET", "HEAD", "OPTIONS"],),
        errors.NotReady: ({"database": "ok", "storage": "unavailable"},),
        errors.RangeNotSatisfiable: (_BYTES,),
        **{each: ("See errors for what is wrong with each field.", said) for each, said in _COMPLAINTS.items()},
    }
    return kind(*carried.get(kind, ()))


def of_failure(kind: type[PixdepotError]) -> dict[str, Any]:
    """Return the problem document of an example error of this class."""
    body = problem(failure(kind), REQUEST_ID).body
    assert isinstance(body, bytes)  # noqa: S101 - problem() makes nothing else
    document: dict[str, Any] = json.loads(body)
    return document
