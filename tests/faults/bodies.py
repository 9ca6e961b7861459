"""JSON bodies of every kind, cut in every way, and what reading them should give.

Documents are put together as text, so that they may be odd, repeat keys, or be no JSON at all. What comes of them
is held against the standard library, which reads each of them whole: `json.loads` with the rules of our own on top,
and strict base64.
"""

import base64
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import chain
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from service.api import jsonbody
from service.api.jsonbody import MAX_DEPTH, Base64Image, JsonBody, loads
from service.domain.errors import InvalidBase64, InvalidJson, PixdepotError, TooLarge
from tests.faults.tally import Tally

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True)
class Arrival:
    """A body as it is cut, and how it is read. All in bytes.

    `block` is what base64 is decoded in at a time, `room` what a buffer has that is there before: of zeros.
    """

    chunks: Sequence[bytes]
    limit: int = MIB
    text_limit: int = 64 * KIB
    block: int = 256 * KIB
    room: int = 0

    @property
    def body(self) -> bytes:
        """Return it in one piece."""
        return b"".join(self.chunks)

    @property
    def outcome(self) -> object:
        """Return what reading it gives: the document, or the class of the error."""
        buffer = BytesIO(bytes(self.room))
        with mock.patch.object(jsonbody, "_BLOCK", self.block):
            try:
                return read(self.chunks, limit=self.limit, text_limit=self.text_limit, buffer=buffer)
            except PixdepotError as error:
                return type(error)


def cut(body: bytes, size: int) -> list[bytes]:
    """Return the body in pieces of this size."""
    return [body[at : at + size] for at in range(0, len(body), size)]


def feed(body: JsonBody, chunks: Sequence[bytes]) -> None:
    """Let a body arrive."""
    for chunk in chunks:
        body.feed(chunk)


def read(chunks: Sequence[bytes], **options: Any) -> object:
    """Return the document that arrives in these chunks. Raises what `JsonBody` does."""
    body = JsonBody(**{"limit": MIB, "text_limit": 64 * KIB, **options})
    feed(body, chunks)
    return body.close()


TRICKY = [
    "image_data",
    '"image_data":"AAAA"',
    '{"',
    '"}',
    "\\",
    '\\"',
    "/",
    "data:image/png;base64,",
    "é",
    "\U0001f600",
]
strings = st.lists(st.sampled_from(TRICKY) | st.text(max_size=3), max_size=3).map("".join)
numbers = st.integers(-(2**64), 2**64) | st.floats()
values = st.recursive(
    st.none() | st.booleans() | numbers | strings,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3),
    max_leaves=6,
)
blanks = st.text(" \t\r\n", max_size=2)
keys = st.sampled_from(['"image_data"', '"image_data"', '"image\\u005fdata"', '"Image_data"']) | strings.map(
    json.dumps
)


# ---------------------------------------------------------------- what arrives


@st.composite
def base64_texts(draw: st.DrawFn) -> str:
    """Draw the text of a picture as it may stand between quotes, most often a good one."""
    text = base64.b64encode(draw(st.binary(max_size=40))).decode()
    text = (
        draw(st.sampled_from(["", "", "data:image/png;base64,", "Data:Image/x+y;base64,", "data:;base64,"])) + text
    )
    spell = draw(st.sampled_from([("/", "/"), ("/", "\\/"), ("A", "\\u0041"), ("=", "\\u003D"), ("=", "")]))
    return text.replace(*spell)


def rendered(ensure_ascii: bool) -> st.SearchStrategy[str]:
    return values.map(lambda value: json.dumps(value, ensure_ascii=ensure_ascii))


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """Draw a JSON text, most often an object with a picture."""
    plain = rendered(ensure_ascii=True) | rendered(ensure_ascii=False)
    if draw(st.integers(0, 9)) == 0:
        return draw(plain).encode("utf-8", "surrogatepass")
    picture = base64_texts().map('"{}"'.format)
    members = draw(st.lists(st.tuples(keys, blanks, blanks, picture | plain), max_size=4))
    text = ",".join(f"{key}{before}:{after}{value}" for key, before, after, value in members)
    return f"{{{draw(blanks)}{text}}}".encode("utf-8", "surrogatepass")


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw a document in which a few bytes were replaced, removed or put in."""
    body = bytearray(draw(documents()))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(body)))
        junk = st.binary(max_size=2) | st.sampled_from([b'"', b"\\", b"{", b"]", b":", b"=", b"A", b"\xff", b"\n"])
        body[at : at + draw(st.integers(0, 2))] = draw(junk)
    return bytes(body)


@st.composite
def cuts(draw: st.DrawFn, body: bytes) -> list[bytes]:
    """Draw a way to cut the body: byte by byte, or anywhere."""
    if draw(st.booleans()):
        return cut(body, 1)
    ends = sorted(draw(st.lists(st.integers(0, len(body)), max_size=6)))
    return [body[start:end] for start, end in zip([0, *ends], [*ends, len(body)], strict=True)]


@st.composite
def uploads(draw: st.DrawFn) -> Arrival:
    """Draw the body of an upload that is as it should be, its fields in any order."""
    members = [
        *draw(st.dictionaries(strings.filter(lambda name: name != "image_data"), strings, max_size=4)).items()
    ]
    members.insert(
        draw(st.integers(0, len(members))), ("image_data", base64.b64encode(draw(st.binary(min_size=1))))
    )
    spell = json.dumps
    text = ",".join(
        f"{spell(name)}:{spell(value.decode() if isinstance(value, bytes) else value)}" for name, value in members
    )
    return draw(arrivals(st.just(f"{{{text}}}".encode("utf-8", "surrogatepass"))))


@st.composite
def arrivals(draw: st.DrawFn, bodies: st.SearchStrategy[bytes], *, roomy: bool = True) -> Arrival:
    """Draw one of the bodies, a way to cut it, and a way to read it; `roomy` is whether its JSON surely fits."""
    return Arrival(
        draw(cuts(draw(bodies))),
        limit=draw(st.sampled_from([0, 3, 10, 100]) | st.integers(0, 40)),
        text_limit=64 * KIB if roomy else draw(st.integers(0, 80) | st.just(64 * KIB)),
        block=draw(st.sampled_from([1, 2, 3, 4, 5, 8, 13, 256 * KIB])),
        room=draw(st.sampled_from([0, 1, 5, 1000])),
    )


# ---------------------------------------------------------------- what should come of it


def acceptable(value: object, depth: int = 0) -> Iterator[bool]:
    """Tell of each part of a document whether the rules allow it; its objects are tuples of pairs."""
    match value:
        case str():
            yield not re.search("[\ud800-\udfff]", value)
        case bool() | None:
            pass
        case int():
            yield -(2**63) <= value < 2**63
        case float():
            yield math.isfinite(value)
        case tuple():
            yield depth < MAX_DEPTH
            yield len({key for key, _ in value}) == len(value)
            for part in chain.from_iterable(value):
                yield from acceptable(part, depth + 1)
        case list():
            yield depth < MAX_DEPTH
            for part in value:
                yield from acceptable(part, depth + 1)


def loaded_by_the_standard_library(document: bytes) -> object:
    """Return what `loads` should, or InvalidJson."""
    try:
        text = document.decode()
        parts = json.loads(text, object_pairs_hook=tuple)
    except ValueError:
        return InvalidJson
    return json.loads(text) if all(acceptable(parts)) else InvalidJson


def expected_picture(text: str, limit: int) -> object:
    """Return the picture, or the set of errors that are as good as each other."""
    kind = r"image/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}|application/octet-stream"
    prefix = re.match(f"data:({kind});base64,", text, re.IGNORECASE)
    digits = text[prefix.end() :] if prefix else text
    canonical = re.fullmatch(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:[A-Za-z0-9+/]=|==))?", digits)
    data = base64.b64decode(digits) if canonical else b""
    errors: set[type[PixdepotError]] = set()
    if not data or base64.b64encode(data).decode() != digits:
        errors.add(InvalidBase64)
    if len(data) > limit or len(digits.encode()) > math.ceil(limit / 3) * 4:
        errors.add(TooLarge)
    return errors or Base64Image(data, prefix[1].lower() if prefix else None)


def expected(body: bytes, limit: int) -> object:
    """Return what reading the whole body at once gives, or the set of errors one of which it must give."""
    document = loaded_by_the_standard_library(body)
    if document is InvalidJson:
        return {InvalidJson, InvalidBase64, TooLarge} if b"image" in body else {InvalidJson}
    if isinstance(document, dict) and isinstance(document.get("image_data"), str):
        picture = expected_picture(document["image_data"], limit)
        return picture if isinstance(picture, set) else document | {"image_data": picture}
    return document


# ---------------------------------------------------------------- the two held together


def check_document(document: bytes) -> None:
    """`loads` reads what the standard library reads and the rules allow."""
    try:
        result = loads(document)
    except InvalidJson:
        result = InvalidJson
    assert result == loaded_by_the_standard_library(document)


def check_result(arrival: Arrival) -> None:
    """What arrives in pieces gives what the whole should give."""
    wanted, result = expected(arrival.body, arrival.limit), arrival.outcome
    assert result in wanted if isinstance(wanted, set) else result == wanted


def check_cuts(arrival: Arrival) -> None:
    """The pieces, and how they are read, change nothing: not even which of two errors is reported."""
    whole = Arrival([arrival.body], arrival.limit, arrival.text_limit)
    assert arrival.outcome == whole.outcome


CHECKS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], None]]] = {
    "JSON, as the standard library reads it": (documents() | mutated(), check_document),
    "uploads, their fields in any order": (uploads(), check_result),
    "JSON with pictures, as it is read whole": (arrivals(documents() | mutated()), check_result),
    "the same error for any pieces": (arrivals(mutated(), roomy=False), check_cuts),
}


async def measure(number: int, count: int) -> list[Tally]:
    """Hold so many of each kind against what they should give."""
    return [held(what, number, count) for what in CHECKS]


def held(what: str, number: int, count: int) -> Tally:
    """Try one check on so many examples; the same `number` chooses equally."""
    examples, check = CHECKS[what]
    tally = Tally(f"bodies: {what}")

    @seed(number)
    @settings(max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(example=examples)
    def every(example: Any) -> None:
        tally.count += 1
        try:
            check(example)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}: {example!r}") from error

    with tally.timed():
        try:
            every()
        except AssertionError as violation:
            tally.violations.append(str(violation))
    return tally
