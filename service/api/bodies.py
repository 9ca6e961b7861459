"""Request bodies: JSON documents, and images in JSON or in forms, read as streams."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from marshmallow import Schema

from service.domain.errors import InvalidRequest, TooLarge, UnsupportedMediaType, exact
from service.media import declared_type

from .forms import Part, form_parts, media_type
from .http import ApiRequest
from .jsonbody import Base64Image, JsonBody, loads
from .schemas import ImageBody, ImageForm, load, split_tags

_FORM_FIELDS = tuple(ImageForm().fields)
_SEE_ERRORS = "Some fields are invalid: see `errors`."
DOCUMENT_BYTES = 64 * 1024  # limit of JSON or form fields, without the image


async def read_json(request: ApiRequest, schema: Schema) -> dict[str, Any]:
    """Read a JSON body and validate it with a schema. The limit is 64 KiB.

    Raises UnsupportedMediaType, TooLarge, InvalidJson and the errors of `schemas.load`.
    """
    if _body_type(request) != "application/json":
        raise UnsupportedMediaType("Send the body as application/json.")
    return load(schema, loads(await request.read(DOCUMENT_BYTES)))


def check_picture(request: ApiRequest, max_bytes: int) -> None:
    """Raise UnsupportedMediaType or TooLarge if the headers show that `read_picture` would fail. Reads nothing."""
    kind = _body_type(request)
    if kind not in {"application/json", "multipart/form-data"}:
        raise UnsupportedMediaType("Send the body as application/json or multipart/form-data.")
    request.refuse_over(((max_bytes + 2) // 3 * 4 if kind == "application/json" else max_bytes) + DOCUMENT_BYTES)


async def read_picture(
    request: ApiRequest, max_bytes: int, partial: Sequence[str]
) -> tuple[dict[str, Any], Base64Image]:
    """Read an upload: return its metadata, and its image of at most `max_bytes` bytes.

    Call `check_picture` first. The body may omit the fields in `partial`. Memory holds the image only once. Raises
    InvalidBase64 and the errors of `read_json`.
    """
    if _body_type(request) == "application/json":
        loaded = load(ImageBody(partial=partial), await _read_base64(request, max_bytes))
        return loaded, loaded.pop("image_data")
    loaded = load(ImageForm(partial=partial), await _read_form(request, max_bytes))
    return loaded, loaded.pop("file")


def _body_type(request: ApiRequest) -> str:
    """Return the body's media type. Without a Content-Type it is JSON, the default of this API."""
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("Send the body without Content-Encoding.")
    kind, parameters = media_type(request.headers.get("content-type") or "application/json")
    if parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMediaType("Send the body in UTF-8.")
    return kind


class _Buffer(BytesIO):
    """A buffer that doubles its capacity when it is full, up to `most` bytes.

    BytesIO grows by only an eighth and copies its content each time. Allocating the full size at once would block
    the event loop when many uploads begin at the same time.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most, self._room = most, 0

    def write(self, data: Any) -> int:
        """Append data and return its length."""
        at = self.tell()
        end = at + len(data)
        if end > self._room:
            self._room = max(end, min(2 * self._room, self._most))
            self.seek(self._room - 1)
            super().write(b"\0")
            self.seek(at)
        return super().write(data)


def _buffer(request: ApiRequest, max_bytes: int) -> BytesIO:
    """Return a buffer for the image in a request."""
    return _Buffer(min(request.content_length or max_bytes, max_bytes))


async def _read_base64(request: ApiRequest, max_bytes: int) -> object:
    reader = JsonBody(limit=max_bytes, buffer=_buffer(request, max_bytes))
    async for chunk in request.body:
        reader.feed(chunk)
    return reader.close()


async def _read_form(request: ApiRequest, max_bytes: int) -> dict[str, Any]:
    form: dict[str, Any] = {}
    filename: str | None = None
    tags: list[str] = []
    async for part in form_parts(request):
        if part.name not in _FORM_FIELDS:
            raise _misplaced(part)
        if part.name in form:
            raise InvalidRequest(_SEE_ERRORS, {part.name: ["Must not be repeated."]})
        if part.name == "file":
            filename = part.filename
            form["file"] = await _read_file(part, _buffer(request, max_bytes), max_bytes)
        elif part.name == "tags":
            tags += split_tags(await part.text())
        else:
            form[part.name] = await part.text()
    return {
        **({"filename": filename} if filename is not None else {}),
        **form,
        **({"tags": tags} if tags else {}),
    }


def _misplaced(part: Part) -> InvalidRequest:
    """Return the error for a part with an unknown name. Do not read the part, because it may be a large image."""
    errors = {"_unknown": [f"The request has unknown fields. Known fields: {', '.join(_FORM_FIELDS)}."]}
    if part.filename is not None:
        errors["file"] = ["Send the image in the form field `file`."]
    return InvalidRequest(_SEE_ERRORS, errors)


async def _read_file(part: Part, buffer: BytesIO, max_bytes: int) -> Base64Image:
    async for chunk in part.chunks:
        buffer.write(chunk)
        if buffer.tell() > max_bytes:
            raise TooLarge(f"The image is too large: the limit is {exact(max_bytes)}.")
    buffer.truncate()
    return Base64Image(buffer.getvalue(), declared_type(part.content_type, part.filename))
