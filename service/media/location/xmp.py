"""XMP without the properties that tell of a place (ISO 16684-1)."""

import re
from dataclasses import dataclass
from xml.parsers import expat

from .effort import Effort
from .words import names_place, tells_place

_MOST_BYTES = 2 * 2**20  # of a packet that is taken apart, since expat holds the interpreter meanwhile
_ATTRIBUTE = re.compile(rb"""\s+([^\s=]+)\s*=\s*("[^"]*"|'[^']*')""")
_PICTURES = (
    b"/9j/",
    b"iVBORw0KGgo",
    b"UklGR",
    b"R0lGOD",
)  # in base64: what they say of themselves is not looked at


def without_places(packet: bytes, effort: Effort) -> bytes:
    """Return a packet of the same length: blanks are where a property told of a place.

    One that cannot be read, or is not in UTF-8, is blank as a whole.
    """
    text = packet.rstrip(b"\0")
    try:
        if len(text) > _MOST_BYTES or b"\0" in text or not effort.allows(text.count(b"<") + text.count(b"=")):
            return b" " * len(packet)
        spans = _Reader(text).spans
    except (expat.ExpatError, ValueError):
        return b" " * len(packet)
    clean = bytearray(packet)
    for start, end in spans:
        clean[start:end] = b" " * (end - start)
    return bytes(clean)


@dataclass(slots=True)
class _Element:
    content: int  # where its content begins
    is_leaf: bool = True


class _Reader:
    """Finds what tells of a place: `spans`, of bytes. Raises ExpatError, ValueError.

    expat checks the grammar, in linear time, and tells where tags begin. A well-formed tag is easy to take apart.
    """

    def __init__(self, text: bytes) -> None:
        self.spans: list[tuple[int, int]] = []
        self._text = text
        self._open: list[_Element] = []
        self._inside = 0  # how many elements deep in one that is going to be blank
        self._blank_from = 0
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse  # XMP has none, and entities could be without end
        self._parser.Parse(text, True)

    def _refuse(self, *_: object) -> None:
        raise ValueError

    def _start(self, name: str, _attributes: object) -> None:
        at = self._parser.CurrentByteIndex
        if self._text[at : at + 1] != b"<":
            raise ValueError
        if self._open:
            self._open[-1].is_leaf = False
        if self._inside:
            self._inside += 1
            self._open.append(_Element(at))
            return
        end = at + 1 + len(name.encode())
        blanks = len(self.spans)
        while found := _ATTRIBUTE.match(self._text, end):
            if not found[1].startswith(b"xmlns") and _is_about_place(found[1], found[2][1:-1]):
                self.spans.append((found.start(1), found.end()))
            end = found.end()
        if names_place(name):
            del self.spans[blanks:]
            self._inside, self._blank_from = 1, at
        self._open.append(_Element(self._text.index(b">", end) + 1))

    def _end(self, _name: str) -> None:
        element, at = self._open.pop(), self._parser.CurrentByteIndex
        if self._inside:
            self._inside -= 1
            if not self._inside:
                # An empty-element tag ends where it begins.
                end = element.content if at == self._blank_from else self._text.index(b">", at) + 1
                self.spans.append((self._blank_from, end))
        elif element.is_leaf and element.content < at:
            value = self._text[element.content : at]
            if tells_place(value) or value.lstrip().startswith(_PICTURES):
                self.spans.append((element.content, at))


def _is_about_place(name: bytes, value: bytes) -> bool:
    return names_place(name.decode()) or tells_place(value) or value.startswith(_PICTURES)
