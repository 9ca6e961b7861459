"""multipart/form-data as it streams in (RFC 7578). Nothing is kept but what the reader keeps."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from .errors import InvalidRequest, TooLarge, UnsupportedMediaType
from .http import ApiRequest
from .model import ByteStream

_FIELD_BYTES = 64 * 1024  # a text field
_PARTS = 100


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form. Read its `chunks` before asking for the next part."""

    name: str
    filename: str | None
    content_type: str | None
    chunks: ByteStream

    async def text(self) -> str:
        """Return the part as text. Raises TooLarge past 64 KiB, InvalidRequest unless it is UTF-8."""
        value = bytearray()
        async for chunk in self.chunks:
            value += chunk
            if len(value) > _FIELD_BYTES:
                raise TooLarge(f"A field of the form may have {_FIELD_BYTES:,} bytes.")
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest("A field of the form is not UTF-8.") from error


async def form_parts(request: ApiRequest) -> AsyncIterator[Part]:
    """Yield the parts of a form in their order.

    Raises InvalidRequest for a body that is not well-formed, UnsupportedMediaType without a boundary.
    """
    events = _events(request)
    async for event in events:
        if isinstance(event, MultipartSegment):
            part = Part(event.name or "", event.filename, event.content_type, _until_end(events))
            yield part
            async for _ in part.chunks:  # what the reader did not want
                pass


async def _until_end(events: AsyncIterator[MultipartSegment | bytes | None]) -> AsyncIterator[bytes]:
    async for event in events:
        if not isinstance(event, bytes | bytearray):
            return
        yield bytes(event)


async def _events(request: ApiRequest) -> AsyncIterator[MultipartSegment | bytes | None]:
    boundary = media_type(request.headers.get("content-type", ""))[1].get("boundary", "")
    if not boundary:
        raise UnsupportedMediaType("multipart/form-data needs a boundary.")
    try:
        with PushMultipartParser(boundary, max_segment_count=_PARTS) as parser:
            async for chunk in request.body:
                for event in parser.parse(chunk):
                    yield event
                if parser.closed:
                    break
    except (MultipartError, ValueError) as error:
        raise InvalidRequest("The body is not well-formed multipart/form-data.") from error


def media_type(value: str) -> tuple[str, dict[str, str]]:
    """Return a Content-Type's lower-case type and its parameters (RFC 9110 section 8.3)."""
    kind, parameters = parse_options_header(value)
    return kind.strip().lower(), {name.lower(): text for name, text in parameters.items()}
