"""A streaming reader of multipart/form-data (RFC 7578). It buffers no parts."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import unquote

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from service.domain.errors import InvalidFilename, InvalidRequest, TooLarge, UnsupportedMediaType, exact
from service.domain.model import ByteStream

from .http import ApiRequest

_FIELD_BYTES = 64 * 1024  # limit of a text field
_PARTS = 100
# An unterminated quote matches the rest, so that the search takes linear time.
_PARAMETER = re.compile(r';\s*([\w*-]+)\s*=\s*("(?:\\.|[^"\\])*"?|[^;"\s]*)', re.ASCII)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form. Read its `chunks` before you request the next part."""

    name: str
    filename: str | None
    content_type: str | None
    chunks: ByteStream

    async def text(self) -> str:
        """Return the part as text. Raises TooLarge above 64 KiB, and InvalidRequest unless it is UTF-8."""
        value = bytearray()
        async for chunk in self.chunks:
            value += chunk
            if len(value) > _FIELD_BYTES:
                raise TooLarge(f"A form field is too large: the limit is {exact(_FIELD_BYTES)}.")
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest("A form field is not valid UTF-8.") from error


async def form_parts(request: ApiRequest) -> AsyncIterator[Part]:
    """Yield the parts of a form in order.

    Raises InvalidRequest for a malformed body, and UnsupportedMediaType without a boundary.
    """
    events = _events(request)
    async for event in events:
        if isinstance(event, MultipartSegment):
            part = Part(event.name or "", _filename(event), event.content_type, _until_end(events))
            yield part
            async for _ in part.chunks:  # skip what the caller did not read
                pass


def _filename(segment: MultipartSegment) -> str | None:
    """Return the file name of a part, or None without one. Raises InvalidFilename.

    RFC 7578 section 4.2 forbids `filename*`, but .NET and old versions of urllib3 send it for names outside ASCII,
    with or without an approximation in `filename`. So `filename*` takes precedence, as in RFC 6266 section 4.3.
    """
    disposition = dict(segment.headerlist).get("Content-Disposition", "")
    parameters: dict[str, str] = {name.lower(): value for name, value in _PARAMETER.findall(disposition)}
    extended = parameters.get("filename*")
    if extended is None:
        filename: str | None = segment.filename
        return filename
    charset, _, encoded = extended.strip('"').partition("'")
    try:
        if charset.lower() in {"utf-8", "iso-8859-1"}:  # RFC 8187 section 3.2.1
            return unquote(encoded.partition("'")[2], charset, "strict")
    except UnicodeDecodeError:
        pass
    message = "Encode filename* as RFC 8187 requires, such as UTF-8''photo%20%C3%A9.jpg."
    raise InvalidFilename("Some fields are invalid: see `errors`.", {"filename": [message]})


async def _until_end(events: AsyncIterator[MultipartSegment | bytes | None]) -> AsyncIterator[bytes]:
    async for event in events:
        if not isinstance(event, bytes | bytearray):
            return
        yield bytes(event)


async def _events(request: ApiRequest) -> AsyncIterator[MultipartSegment | bytes | None]:
    boundary = media_type(request.headers.get("content-type", ""))[1].get("boundary", "")
    if not boundary:
        raise UnsupportedMediaType("Send multipart/form-data with its boundary parameter.")
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
    """Parse a Content-Type into its media type in lower case and its parameters (RFC 9110 section 8.3)."""
    kind, parameters = parse_options_header(value)
    return kind.strip().lower(), {name.lower(): text for name, text in parameters.items()}
