r"""A strict JSON reader, which decodes an image in base64 while the body arrives.

An image of 10 MiB is 13.3 MiB of base64 in one JSON string. `JsonBody` never holds that string: it scans the
chunks, keeps the JSON *outside* the image's quotes (a few hundred bytes), and decodes the base64 *inside* them
directly into the image. At the end it parses the kept text, in which the image is `""`.

Strict means RFC 8259 in UTF-8 (no UTF-16, UTF-32 or byte order mark), at most 32 levels deep, without duplicate
keys, NaN, Infinity, lone surrogates (`\ud800`), integers over 64 bits, or numbers over a double. The image is RFC
4648 section 4: the standard alphabet, padded, with zero trailing bits and no other characters. JSON escapes in it
(`\/` is common) are decoded first.

The error never depends on how the body was split into chunks:
- Any error between the image's quotes is InvalidBase64, including a newline, an escape or invalid UTF-8.
- `feed` checks the image, sizes, depth and a duplicate image as they arrive, and raises the first error.
- `close` checks the rest: a body that is not JSON raises InvalidJson unless `feed` raised before.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import NoReturn

import pybase64

from service.domain.errors import InvalidBase64, InvalidJson, TooLarge, exact

MAX_DEPTH = 32
TEXT_LIMIT = 64 * 1024

_BLOCK = 256 * 1024  # bytes of base64 to decode at once, so that they fit into the CPU's cache
_OUTSIDE_STRING = re.compile(rb'["{}\[\]]')
_INSIDE_STRING = re.compile(rb'["\\]')
_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_UNFINISHED_ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{0,3})?\Z")
_SURROGATE_ESCAPE = re.compile(r"\\u[Dd][89A-Fa-f]")
# The part of RFC 2397 that images need. RFC 6838 section 4.2 limits names to 127 characters. A browser's FileReader
# uses application/octet-stream if the file name has no known extension.
_DATA_URL = re.compile(
    rb"data:(image/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}|application/octet-stream);base64,", re.IGNORECASE
)
_DATA_URL_MAX = len("data:image/") + 127 + len(";base64,")


@dataclass(frozen=True)
class Base64Image:
    """The bytes of an image, and the media type of its data: prefix in lower case."""

    data: bytes
    declared_type: str | None = None


def loads(document: bytes) -> object:
    """Parse a JSON document in linear time. Raises InvalidJson."""
    body = JsonBody(field=None, limit=0, text_limit=len(document))
    body.feed(document)
    return body.close()


class JsonBody:
    """A JSON body in chunks of any size: call `feed` for each chunk, then `close`.

    A string under the top-level key `field` is a base64 image of at most `limit` decoded bytes. The JSON outside it
    has at most `text_limit` bytes. Without a `field` no image is decoded. The image is written into `buffer` if
    given. Do not use the object after an error.
    """

    def __init__(
        self,
        *,
        field: str | None = "image_data",
        limit: int,
        text_limit: int = TEXT_LIMIT,
        buffer: BytesIO | None = None,
    ) -> None:
        self._field = field
        self._limit = limit
        self._buffer = buffer or BytesIO()
        self._text_limit = text_limit
        self._text = bytearray()  # the JSON outside the image's quotes
        self._at = 0  # position of the scan in the text: one past its end after a final backslash
        self._depth = 0
        self._inside_string = False
        self._string = slice(0, 0)  # the last string with its quotes: the key, when a value begins
        self._reader: _PictureReader | None = None  # set while inside the image's quotes
        self._image: Base64Image | None = None

    def feed(self, chunk: bytes) -> None:
        """Process the next bytes of the body.

        Raises InvalidBase64, TooLarge as soon as the image or the text exceeds its limit, and InvalidJson for a
        body that is nested too deeply or has two images.
        """
        at = 0
        while at < len(chunk):
            reader = self._reader
            at = self._feed_text(chunk, at) if reader is None else self._feed_picture(reader, chunk, at)

    def close(self) -> object:
        """Parse the document and return it. The image is a `Base64Image`; other values are as in `loads`.

        Raises InvalidJson. Its line and column count the image as an empty string.
        """
        document = _parse(self._text)
        if self._image is not None and self._field is not None and isinstance(document, dict):
            document[self._field] = self._image
        return document

    def _feed_text(self, chunk: bytes, at: int) -> int:
        """Keep JSON text from `at`. Return its end: the end of the chunk, or the start of an image."""
        kept = len(self._text)
        if kept >= self._text_limit:
            raise TooLarge(f"The JSON besides {self._field} is too large: the limit is {exact(self._text_limit)}.")
        self._text += chunk[at : at + self._text_limit - kept]
        self._walk()
        if self._reader is not None:
            del self._text[self._at :]
        return at + len(self._text) - kept

    def _feed_picture(self, reader: "_PictureReader", chunk: bytes, at: int) -> int:
        """Decode the image from `at`. Return its end, before the closing quote, which belongs to the text."""
        quote = chunk.find(b'"', at)
        end = len(chunk) if quote < 0 else quote
        reader.feed(chunk, at, end)
        if quote >= 0:
            self._image = reader.close()
            self._reader = None
        return end

    def _walk(self) -> None:
        """Scan strings and nesting in the new text, until its end or the opening quote of an image."""
        while self._reader is None:
            marks = _INSIDE_STRING if self._inside_string else _OUTSIDE_STRING
            mark = marks.search(self._text, self._at)
            if mark is None:
                self._at = max(self._at, len(self._text))
                return
            self._at = mark.end()
            match mark[0]:
                case b'"':
                    self._pass_quote()
                case b"\\":
                    self._at += 1
                case b"{" | b"[" if self._depth == MAX_DEPTH:
                    raise InvalidJson(f"The JSON is nested too deeply: the limit is {MAX_DEPTH} levels.")
                case b"{" | b"[":
                    self._depth += 1
                case _:
                    self._depth -= 1

    def _pass_quote(self) -> None:
        """Begin or end a string. Start the image reader if the new string is the image."""
        self._inside_string = not self._inside_string
        if not self._inside_string:
            self._string = slice(self._string.start, self._at)
            return
        quote = self._at - 1
        if self._field is not None and self._depth == 1 and self._names_field(quote):
            if self._image is not None:
                raise InvalidJson(f"The body contains {self._field} more than once.")
            self._reader = _PictureReader(self._field, self._limit, self._buffer)
        self._string = slice(quote, self._at)

    def _names_field(self, value: int) -> bool:
        """Return whether the last string is the field's name, in any JSON spelling, and the key of `value`."""
        if not _COLON.fullmatch(self._text, self._string.stop, value):
            return False
        try:
            return bool(json.loads(self._text[self._string].decode()) == self._field)
        except ValueError:  # not a JSON string: close() raises the error
            return False


class _PictureReader:
    """Decodes the base64 between the image's quotes as it arrives."""

    def __init__(self, field: str, limit: int, data: BytesIO) -> None:
        self._field = field
        self._limit = limit
        self._capacity = -(-limit // 3) * 4  # maximum number of base64 characters for `limit` bytes
        self._escape = b""  # an incomplete JSON escape
        self._held = b""  # characters not decoded yet: a possible data: prefix, later the last quantum
        self._prefix_possible = True
        self._declared_type: str | None = None
        self._data = data

    def feed(self, chunk: bytes, at: int, end: int) -> None:
        """Decode chunk[at:end], which contains no quote. Raises InvalidBase64 or TooLarge."""
        while at < end:
            # Stop at the limit, so that TooLarge takes precedence over errors beyond it.
            stop = min(end, at + max(1, self._room()), at + _BLOCK)
            self._decode(self._held + self._unescape(self._escape + chunk[at:stop]))
            at = stop

    def close(self) -> Base64Image:
        """Return the complete image. Raises InvalidBase64 or TooLarge."""
        try:
            tail = pybase64.b64decode(self._held, validate=True)
        except ValueError:
            self._refuse("is not padded base64")
        # pybase64 ignores the bits that padding leaves unused, so compare.
        if self._escape or not self._held or pybase64.b64encode(tail) != self._held:
            self._refuse("is empty or ends in the middle of a base64 group")
        self._data.write(tail)
        if self._data.tell() > self._limit:
            self._refuse_size()
        self._data.truncate()
        return Base64Image(self._data.getvalue(), self._declared_type)

    def _room(self) -> int:
        return self._capacity - self._data.tell() // 3 * 4 - len(self._held)

    def _unescape(self, raw: bytes) -> bytes:
        """Decode JSON escapes, and keep an incomplete escape for the next call."""
        self._escape = b""
        if b"\\" not in raw:
            return raw
        if unfinished := _UNFINISHED_ESCAPE.search(raw, max(0, len(raw) - 5)):
            self._escape, raw = unfinished[0], raw[: unfinished.start()]
        try:
            return str(json.loads(f'"{raw.decode("ascii")}"')).encode("ascii")
        except ValueError:
            self._refuse("contains characters that are not base64")

    def _decode(self, characters: bytes) -> None:
        """Decode all but the last quantum, the only one that may be padded. `characters` begin with `_held`."""
        if self._prefix_possible:
            characters = self._strip_prefix(characters)
        self._held = characters
        if self._prefix_possible:
            return
        if self._room() < 0:
            self._refuse_size()
        whole = max(0, len(characters) - 1) // 4 * 4
        try:
            data = pybase64.b64decode(memoryview(characters)[:whole], validate=True)
        except ValueError:
            self._refuse("contains characters that are not base64")
        if len(data) * 4 != whole * 3:
            self._refuse("continues after its padding")
        self._data.write(data)
        self._held = characters[whole:]

    def _strip_prefix(self, characters: bytes) -> bytes:
        """Remove a data: prefix and store its type. Keep an incomplete prefix."""
        if not b"data:".startswith(characters[:5].lower()):
            self._prefix_possible = False
            return characters
        comma = characters.find(b",", 0, _DATA_URL_MAX)
        if comma < 0 and len(characters) < _DATA_URL_MAX:
            return characters
        prefix = _DATA_URL.fullmatch(characters, 0, comma + 1)
        if prefix is None:
            self._refuse("has a prefix other than data:image/...;base64,")
        self._prefix_possible = False
        self._declared_type = prefix[1].decode().lower()
        return characters[prefix.end() :]

    def _refuse(self, problem: str) -> NoReturn:
        raise InvalidBase64(f"The {self._field} {problem}.", {self._field: [f"It {problem}."]})

    def _refuse_size(self) -> NoReturn:
        raise TooLarge(f"The image is too large: the limit is {exact(self._limit)}.")


def _parse(text: bytearray) -> object:
    """Parse JSON text whose depth is already checked. Raises InvalidJson."""
    try:
        source = text.decode()
        document: object = _DECODER.decode(source)
        if _SURROGATE_ESCAPE.search(source):  # rare, so a second pass is acceptable
            json.dumps(document, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        problem = error.msg.partition(":")[0].removesuffix(" at").removesuffix(" starting")
        raise InvalidJson(f"Invalid JSON: {problem}, line {error.lineno}, column {error.colno}.") from None
    except UnicodeDecodeError:
        raise InvalidJson("The body is not valid UTF-8.") from None
    except UnicodeEncodeError:
        raise InvalidJson("A string contains an unpaired surrogate.") from None
    return document


def _object(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise InvalidJson("An object contains the same key more than once.")
    return document


def _integer(digits: str) -> int:
    # Check the length first, because int() takes quadratic time and raises its own error above 4,300 digits.
    if len(digits) > len(str(-(2**63))) or not -(2**63) <= int(digits) < 2**63:
        raise InvalidJson("An integer does not fit in 64 bits.")
    return int(digits)


def _float(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise InvalidJson("A number is too large, NaN or Infinity.")
    return number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_float
)
