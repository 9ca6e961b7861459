r"""JSON bodies, read strictly; and the one body that carries a picture, decoded while it arrives.

A picture of 10 MiB is 13.3 MiB of base64 in one JSON string. `JsonBody` never holds that string: it walks the
chunks, keeps the JSON *outside* the picture's quotes (a few hundred bytes), and decodes what is *inside* them
straight into the picture. At the end the kept text, in which the picture is `""`, is parsed as usual.

Strict means RFC 8259 in UTF-8 (UTF-16, UTF-32 and a byte order mark are refused), at most 32 levels deep,
with no duplicate key in any object, no NaN or Infinity, no lone surrogate (`\ud800`), no integer beyond
64 bits, no number beyond a double; and, for the picture, RFC 4648 section 4: the standard alphabet, padded,
with zero trailing bits and nothing beside it. JSON escapes in it (`\/` is common) are undone first.

Which error wins never depends on how the body was cut into chunks:
- Whatever is wrong between the picture's quotes is InvalidBase64, be it a newline, an escape or bad UTF-8.
- The picture, sizes, depth and a second picture are judged as they arrive: `feed` raises the first of these.
- All else is judged by `close`: a body that is not JSON is InvalidJson unless `feed` met something before.
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

_BLOCK = 256 * 1024  # base64 is decoded in blocks that fit the CPU's cache, whatever the size of the chunks
_OUTSIDE_STRING = re.compile(rb'["{}\[\]]')
_INSIDE_STRING = re.compile(rb'["\\]')
_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_UNFINISHED_ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{0,3})?\Z")
_SURROGATE_ESCAPE = re.compile(r"\\u[Dd][89A-Fa-f]")
# RFC 2397, as far as pictures need it; RFC 6838 section 4.2 has the names, and their 127 characters. A browser's
# FileReader calls a file octets where the name tells it no type.
_DATA_URL = re.compile(
    rb"data:(image/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}|application/octet-stream);base64,", re.IGNORECASE
)
_DATA_URL_MAX = len("data:image/") + 127 + len(";base64,")


@dataclass(frozen=True)
class Base64Image:
    """A picture's bytes, and the media type its data: prefix declared, in lower case."""

    data: bytes
    declared_type: str | None = None


def loads(document: bytes) -> object:
    """Return what a JSON document says; raise InvalidJson, in time linear in its size."""
    body = JsonBody(field=None, limit=0, text_limit=len(document))
    body.feed(document)
    return body.close()


class JsonBody:
    """A JSON body that arrives in chunks of any size: `feed` each of them, then `close`.

    A string under the top-level key `field` is a base64 picture of at most `limit` bytes (decoded); the JSON
    outside its quotes has at most `text_limit` bytes. Without a `field` there is no picture.
    The picture is written into `buffer`, where one is given. After an error the body is of no further use.
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
        self._text = bytearray()  # the JSON outside the picture's quotes
        self._at = 0  # how far the text has been walked: one past its end after a final backslash
        self._depth = 0
        self._inside_string = False
        self._string = slice(0, 0)  # the latest string, with its quotes: the key, when a value begins
        self._reader: _PictureReader | None = None  # while inside the picture's quotes
        self._image: Base64Image | None = None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body.

        Raises InvalidBase64; TooLarge, as soon as the picture or the text passes its limit; InvalidJson, for
        nesting too deep and for a second picture.
        """
        at = 0
        while at < len(chunk):
            reader = self._reader
            at = self._feed_text(chunk, at) if reader is None else self._feed_picture(reader, chunk, at)

    def close(self) -> object:
        """Return the document, in which a picture is a `Base64Image` and all else is as `loads` returns it.

        Raises InvalidJson. The line and column it names count the picture as an empty string.
        """
        document = _parse(self._text)
        if self._image is not None and self._field is not None and isinstance(document, dict):
            document[self._field] = self._image
        return document

    def _feed_text(self, chunk: bytes, at: int) -> int:
        """Keep JSON text from `at` on; return where it ends: with the chunk, or where a picture begins."""
        kept = len(self._text)
        if kept >= self._text_limit:
            raise TooLarge(f"The JSON besides {self._field} is too large: the limit is {exact(self._text_limit)}.")
        self._text += chunk[at : at + self._text_limit - kept]
        self._walk()
        if self._reader is not None:
            del self._text[self._at :]
        return at + len(self._text) - kept

    def _feed_picture(self, reader: "_PictureReader", chunk: bytes, at: int) -> int:
        """Have the picture read from `at` on; return where it ends. Its closing quote is left to the text."""
        quote = chunk.find(b'"', at)
        end = len(chunk) if quote < 0 else quote
        reader.feed(chunk, at, end)
        if quote >= 0:
            self._image = reader.close()
            self._reader = None
        return end

    def _walk(self) -> None:
        """Follow strings and nesting through the new text, up to its end or a picture's opening quote."""
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
        """Begin or end a string; open the reader where the string that begins is the picture."""
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
        """Tell whether the latest string is the field's name, spelled in any way, and the key to `value`."""
        if not _COLON.fullmatch(self._text, self._string.stop, value):
            return False
        try:
            return bool(json.loads(self._text[self._string].decode()) == self._field)
        except ValueError:  # it is no JSON string, as close() will say
            return False


class _PictureReader:
    """Decodes what stands between the picture's quotes as it arrives."""

    def __init__(self, field: str, limit: int, data: BytesIO) -> None:
        self._field = field
        self._limit = limit
        self._capacity = -(-limit // 3) * 4  # the most base64 characters that may decode to `limit` bytes
        self._escape = b""  # the beginning of a JSON escape
        self._held = b""  # characters not decoded yet: a possible data: prefix, later the latest quantum
        self._prefix_possible = True
        self._declared_type: str | None = None
        self._data = data

    def feed(self, chunk: bytes, at: int, end: int) -> None:
        """Take chunk[at:end], which holds no quote; raise InvalidBase64 or TooLarge."""
        while at < end:
            # Never past the limit in one step: what is wrong beyond it must not win over TooLarge.
            stop = min(end, at + max(1, self._room()), at + _BLOCK)
            self._decode(self._held + self._unescape(self._escape + chunk[at:stop]))
            at = stop

    def close(self) -> Base64Image:
        """Return the whole picture; raise InvalidBase64 or TooLarge."""
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
        """Return the characters that JSON text stands for, and keep the beginning of an escape for later."""
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
        """Decode all but the last quantum, which alone may be padded; `characters` begin with those held."""
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
        """Note and remove a data: prefix; while there may yet be one, return the characters as they are."""
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
    """Return what JSON text says, its depth being checked already; raise InvalidJson."""
    try:
        source = text.decode()
        document: object = _DECODER.decode(source)
        if _SURROGATE_ESCAPE.search(source):  # rare, so that it may cost a second pass
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
    # The length goes first: int() takes quadratic time, and refuses 4,301 digits with an error of its own.
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
