"""JPEG: what its segments tell before anything is decoded, and whether its scans hold all that they should.

Browsers show 8-bit baseline, extended and progressive pictures in Huffman coding, and so does this service. The
work of a decode is counted first, in blocks of 8 x 8 samples: each scan passes over all blocks of its components,
however few bytes it has. The memory is that of all coefficients wherever libjpeg expects more than one scan.

libjpeg decodes whatever it is given: where a scan runs out of data it warns, which Pillow does not pass on, and
goes on in grey. So `decode_scans` gives it each stretch of a scan without the marker that ends it, and one-bits
instead. A decoder that has all of its stretch then looks for a marker, and skips the ones. One that lacks data
takes them for data: no Huffman code is all ones (ITU-T T.81 section C.2), so it gets nowhere, and asks for more.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from struct import unpack_from

from service.domain.errors import InvalidImage

from .surveys import check_size

MAX_SEGMENTS = 500  # before the pixels, and among them
_MAX_BLOCKS = 2**25  # that all scans pass over: at most 70 ns each. 67 megapixels need 25 million at most, as saved

_PROGRESSIVE = 0xC2
_FRAMES = frozenset({0xC0, 0xC1, _PROGRESSIVE})  # baseline, extended
_RESTARTS = range(0xD0, 0xD8)
_EOI, _SOS, _DRI, _DHP = 0xD9, 0xDA, 0xDD, 0xDE
_OTHER_FRAMES = (frozenset(range(0xC3, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {_DHP}  # all that no browser shows

_ONES = b"\xff\x00"  # 8 one-bits, as coded data has them
_READ_AHEAD = 8  # bytes that libjpeg wants to have in hand before it decodes: its bit buffer has 64 bits
_MAX_STRETCHES = 10_000  # that are looked at one by one, 4 us each; a decoder of a scan with more sees it at once
_PADDING = 1024  # bytes that may be left over behind a scan: cameras and old encoders write some
_PADDING_AT_END = 16  # the same where the file ends without a marker

# The next marker from a position on: not stuffed zeros and fill, which stand for nothing.
_any_marker = re.compile(rb"\xff[\x01-\xfe]").search
jpeg_marker = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]").search  # the same, outside of scans: not restarts either


_TRUNCATED = "The image is truncated or damaged: some of its pixels are missing."


@dataclass(frozen=True, slots=True)
class Frame:
    """What a frame header says (T.81 section B.2.2): how large it is; each component's id and sampling factors."""

    width: int
    height: int
    progressive: bool
    identities: tuple[int, ...]
    sampling: tuple[tuple[int, int], ...]

    @classmethod
    def read(cls, view: memoryview, at: int, code: int) -> "Frame":
        """Read the frame header of this marker whose length stands at a position. Raises struct.error."""
        if code in _OTHER_FRAMES:
            raise InvalidImage("The JPEG is lossless, hierarchical or arithmetic-coded: save it as baseline JPEG.")
        _, precision, height, width, components = unpack_from(">HBHHB", view, at)
        if precision != 8:
            raise InvalidImage(f"The JPEG has {precision} bits per sample: save it with 8 bits.")
        if components not in {1, 3, 4}:
            raise InvalidImage(f"The JPEG has {components} components: it must have 1, 3 or 4.")
        read = [unpack_from("BB", view, at + 8 + 3 * number) for number in range(components)]
        sampling = tuple((factors >> 4, factors & 15) for _, factors in read)
        if not all(1 <= factor <= 4 for factor in chain(*sampling)):
            raise InvalidImage("The JPEG's frame header is invalid.")
        return cls(width, height, code == _PROGRESSIVE, tuple(identity for identity, _ in read), sampling)

    def units(self, components: Collection[int]) -> tuple[int, int]:
        """Return how many units a scan of these components has, and blocks in each (T.81 section A.2)."""
        across, down = self._largest
        if len(components) > 1:
            return self._interleaved(components)
        h, v = self.sampling[next(iter(components))]
        return _over(_over(self.width * h, across), 8) * _over(_over(self.height * v, down), 8), 1

    @property
    def coefficients(self) -> int:
        """Return how many bytes libjpeg takes to hold all coefficients, of 16 bits, in whole units."""
        count, blocks = self._interleaved(range(len(self.sampling)))
        return count * blocks * 64 * 2

    @property
    def _largest(self) -> tuple[int, int]:
        return max(h for h, _ in self.sampling), max(v for _, v in self.sampling)

    def _interleaved(self, components: Iterable[int]) -> tuple[int, int]:
        across, down = self._largest
        blocks = sum(self.sampling[component][0] * self.sampling[component][1] for component in components)
        return _over(self.width, 8 * across) * _over(self.height, 8 * down), blocks


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan header says (T.81 section B.2.3): components, coefficients, how many of their bits are left."""

    components: tuple[int, ...]  # by their places in the frame, which differ where ids do not
    band: range
    low: int

    @classmethod
    def read(cls, view: memoryview, at: int, frame: Frame) -> "Scan":
        """Read the scan header whose length stands at a position. Raises struct.error."""
        (count,) = unpack_from("B", view, at + 2)
        components: list[int] = []
        for number in range(count):
            (identity,) = unpack_from("B", view, at + 3 + 2 * number)
            places = (place for place, each in enumerate(frame.identities) if each == identity)
            components += islice((place for place in places if place not in components), 1)
        if not 1 <= count == len(components):
            raise InvalidImage("A scan header of the JPEG is invalid.")
        start, end, bits = unpack_from("BBB", view, at + 3 + 2 * count)
        band, low = (range(start, min(end, 63) + 1), bits & 15) if frame.progressive else (range(64), 0)
        return cls(tuple(components), band, low)

    def is_all_of(self, frame: Frame) -> bool:
        """Return whether it would be the only scan that libjpeg reads, if it comes first."""
        return not frame.progressive and len(self.components) == len(frame.sampling)


@dataclass(slots=True)
class Coverage:
    """Which coefficients have come, of each component, and how many of their bits are still to come."""

    frame: Frame
    left: list[list[int | None]] = field(init=False)

    def __post_init__(self) -> None:
        self.left = [[None] * 64 for _ in self.frame.sampling]

    def add(self, scan: Scan) -> None:
        """Count in what a scan brings."""
        for component in scan.components:
            for coefficient in scan.band:
                self.left[component][coefficient] = scan.low

    def check(self, *, ended: bool) -> None:
        """Raise InvalidImage unless every component is there and, where no end says so, in full."""
        if ended and all(left[0] is not None for left in self.left):
            return  # a progression may be ended early
        if any(each != 0 for each in chain(*self.left)):
            raise InvalidImage(_TRUNCATED)


@dataclass(frozen=True, slots=True)
class Header:
    """What comes before the first scan: the frame, how many units a restart interval has (0: there are none)."""

    frame: Frame
    interval: int
    end: int  # where the marker of the first scan stands

    @classmethod
    def read(cls, view: memoryview) -> "Header":
        """Read a picture's segments to its first scan, or to the end. Raises struct.error where bytes run out."""
        frames, interval, end = [], 0, len(view)
        for segments, (code, body) in enumerate(segments_of(view, 2)):
            if segments > MAX_SEGMENTS:
                raise InvalidImage(f"The JPEG has more than {MAX_SEGMENTS} segments before its pixels.")
            if code == _SOS:
                end = body - 2
                break
            if code == _DRI:
                (interval,) = unpack_from(">H", view, body + 2)
            if code in _FRAMES or code in _OTHER_FRAMES:
                frames.append(Frame.read(view, body, code))
        if len(frames) != 1:
            raise InvalidImage("The image is truncated or damaged: the JPEG must have exactly one frame header.")
        return cls(frames[0], interval, end)


def survey_jpeg(view: memoryview, max_pixels: int) -> int:
    """Return the picture's area in pixels, having counted what its scans will cost. Decodes nothing.

    Of a picture in one scan it looks at headers only. Raises InvalidImage, or struct.error where bytes run out.
    """
    header = Header.read(view)
    frame = header.frame
    check_size(frame.width, frame.height, max_pixels)
    blocks = 0
    for segments, (code, body) in enumerate(segments_of(view, header.end)):
        if segments > MAX_SEGMENTS:
            raise InvalidImage(f"The JPEG has more than {MAX_SEGMENTS} segments among its scans.")
        if code == _SOS:
            scan = Scan.read(view, body, frame)
            units, each = frame.units(scan.components)
            blocks += units * each
            if scan.is_all_of(frame):
                break
        if blocks > _MAX_BLOCKS:
            raise InvalidImage(
                f"The JPEG's scans cover more than {_MAX_BLOCKS:,} blocks of 8 x 8: save it with fewer scans."
            )
    if not blocks:
        raise InvalidImage("The image is truncated: it has no pixels.")
    return frame.width * frame.height


def memory_of(view: memoryview) -> tuple[tuple[int, int], int]:
    """Return width and height, and how many bytes of coefficients libjpeg will hold. Looks at headers only."""
    header = Header.read(view)
    frame = header.frame
    alone = Scan.read(view, header.end + 2, frame).is_all_of(frame)
    return (frame.width, frame.height), 0 if alone else frame.coefficients


def segments_of(view: memoryview, at: int) -> Iterator[tuple[int, int]]:
    """Yield the code of each marker, and where its length stands, to the end of the picture (T.81 section B.1)."""
    while (marker := jpeg_marker(view, at)) and (code := view[marker.end() - 1]) != _EOI:
        yield code, marker.end()
        (length,) = unpack_from(">H", view, marker.end())
        at = marker.end() + length


def _over(count: int, size: int) -> int:
    return -(-count // size)


# ---------------------------------------------------------------- decoding

Decode = Callable[[bytes | memoryview], tuple[int, int]]  # as Pillow's decoders: bytes taken (-1: done), an error


class Feed:
    """Gives a decoder its data stretch by stretch."""

    def __init__(self, decode: Decode) -> None:
        """Give it to Pillow's decoder of JPEGs."""
        self._decode, self._left = decode, b""
        self.done = False

    def give(self, data: bytes | memoryview) -> None:
        """Let it decode what it can. Raises OSError where it cannot at all."""
        if self.done or not data:
            return
        whole = self._left + data if self._left else data
        taken, error = self._decode(whole)
        if error:
            raise OSError(error)
        self.done = taken < 0
        self._left = b"" if self.done else bytes(whole[taken:])

    def takes_all(self, byte: bytes | memoryview, again: bytes | memoryview) -> bool:
        """Return whether it takes each of two bytes as it comes, as only a decoder does that looks for a marker.

        One that decodes fills its bit buffer, with five bytes or more, or takes none.
        """
        self.give(byte)
        took = not self._left
        self.give(again)
        return took and not self._left

    def has_all(self) -> bool:
        """Return whether it has had all data of a stretch that ends here, but for two or three blocks."""
        self.give(_ONES * _READ_AHEAD)
        return self.done or (self.takes_all(_ONES, _ONES) and not self.done)


def decode_scans(decode: Decode, head: bytes, coded: memoryview) -> None:
    """Give a decoder a whole picture: what it has to see before the first scan, and all that begins with that.

    Raises InvalidImage where a scan has less data than pixels, or much more; OSError where the decoder fails.
    """
    header = Header.read(memoryview(head))
    frame, interval = header.frame, header.interval
    feed, coverage = Feed(decode), Coverage(frame)
    feed.give(head)
    at = given = 0
    ended = False
    while not feed.done and not ended and (marker := jpeg_marker(coded, at)):
        code, body = coded[marker.end() - 1], marker.end()
        ended = code == _EOI
        if ended:
            break
        (length,) = unpack_from(">H", coded, body)
        at = body + length
        if code == _DRI:
            (interval,) = unpack_from(">H", coded, body + 2)
        elif code == _SOS:
            scan = Scan.read(coded, body, frame)
            coverage.add(scan)
            feed.give(coded[given:at])
            units, _ = frame.units(scan.components)
            at = given = _decode_scan(feed, coded, at, _over(units, interval or units))
    if not feed.done:
        coverage.check(ended=ended)
        feed.give(bytes((0xFF, _EOI)))
    if not feed.done:
        raise InvalidImage(_TRUNCATED)


def _decode_scan(feed: Feed, view: memoryview, start: int, intervals: int) -> int:
    """Give a decoder the data of a scan of so many restart intervals; return where it ends."""
    ends: list[int] = []
    at = start
    while (marker := _any_marker(view, at)) and view[marker.end() - 1] in _RESTARTS and len(ends) <= intervals:
        at = marker.end()
        ends.append(marker.start())
    end = marker.start() if marker else len(view)
    # Some encoders write a restart behind the last interval too.
    if len(ends) + 1 != intervals and not (len(ends) == intervals and end == at):
        raise InvalidImage("The image is truncated or damaged: restart markers are missing or superfluous.")
    at = start
    for stretch in ends if len(ends) < _MAX_STRETCHES else ():
        feed.give(view[at:stretch])
        if not feed.has_all():
            raise InvalidImage(_TRUNCATED)
        at = stretch
    _decode_last(feed, view[at:end], _PADDING if marker else _PADDING_AT_END)
    return end


def _decode_last(feed: Feed, data: memoryview, padding: int) -> None:
    """Give a decoder the last stretch of a scan, which may have so many bytes more than are needed."""
    cut, given = len(data) - padding - 2, 0
    if cut > 0 and data[cut - 1] != 0xFF:
        feed.give(data[:cut])
        given = cut + 2
        if (feed.done or feed.takes_all(data[cut : cut + 1], data[cut + 1 : given])) and not _is_fill(data[cut:]):
            raise InvalidImage("The image is damaged: a scan has more data than pixels.")
    feed.give(data[given:])
    if not feed.has_all():
        raise InvalidImage(_TRUNCATED)


def _is_fill(data: memoryview) -> bool:
    return data == bytes(data[:1]) * len(data)
