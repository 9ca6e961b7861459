"""Pictures that are made to cost the service more than they cost whoever sends them."""

import io
import struct
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping

from PIL import Image

from tests.pictures import chunk, picture, segment

SIDE = (8160, 6120)  # 49.9 megapixels, of which the JPEGs have 780,300 blocks in each component
_BLOCKS = (SIDE[0] // 8) * (SIDE[1] // 8)
_XMP = b"http://ns.adobe.com/xap/1.0/\0"


def unclosed_xmp() -> bytes:
    """Return a JPEG whose XMP opens 41,000 elements and closes none."""
    plain, tags = picture(), b"<exif:GPSa " * 5_910
    return plain[:2] + 7 * segment(0xE1, _XMP + tags[:65_000]) + plain[2:]


def unclosed_xmp_png() -> bytes:
    """Return a PNG with the same in one chunk."""
    plain, head = picture("PNG"), b"XML:com.adobe.xmp\0\0\0\0\0"
    return plain[:33] + chunk(b"iTXt", head + b"<exif:GPSa" * 40_000) + plain[33:]


def overlapping_directories() -> bytes:
    """Return a PNG whose EXIF has 65,535 pointers to GPS directories, each within the next."""
    count, length = 65_535, 8_192
    area = 8 + 2 + 12 * count + 4  # where they lie, one every second byte: each begins with its number of entries
    pointers = b"".join(struct.pack("<HHII", 0x8825, 4, 1, area + 2 * n) for n in reversed(range(count)))
    entries = struct.pack("<H", length) * (count + 6 * length + 6)
    exif = b"II*\0" + struct.pack("<IH", 8, count) + pointers + bytes(4) + entries
    plain = picture("PNG")
    return plain[:33] + chunk(b"eXIf", exif) + plain[33:]


def _bits(bits: str) -> bytes:
    """Return entropy-coded data (ITU-T T.81 section F.1.2.3): filled up with ones, and zeros stuffed after FF."""
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")


def _jpeg(frame: int, tables: Iterable[tuple[int, int]], scans: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return a JPEG of three components; its Huffman tables each have one symbol, whose code is 0."""
    components = b"".join(bytes((n, 0x11, 0)) for n in (1, 2, 3))
    parts = [b"\xff\xd8", segment(0xDB, b"\0" + b"\1" * 64)]
    parts.append(segment(frame, struct.pack(">BHHB", 8, SIDE[1], SIDE[0], 3) + components))
    parts += (segment(0xC4, bytes((place, 1)) + bytes(15) + bytes((symbol,))) for place, symbol in tables)
    for head, data in scans:
        parts += (segment(0xDA, head), data)
    return b"".join([*parts, b"\xff\xd9"])


def multi_scan_baseline() -> bytes:
    """Return a baseline JPEG with a scan for each component: decoders hold all coefficients of those."""
    data = bytes(2 * _BLOCKS // 8 + 1)  # each block: no difference, no coefficients
    return _jpeg(0xC0, [(0x00, 0), (0x10, 0)], [(bytes((1, n, 0, 0, 63, 0)), data) for n in (1, 2, 3)])


def huffman_scan_bomb() -> bytes:
    """Return a progressive JPEG of 64 scans, each of which passes over 50 megapixels for 50 bytes."""
    runs = _bits(("0" + "1" * 14) * (_BLOCKS // 32_767 + 1))  # of 32,767 blocks without coefficients (EOB14)
    first = [(bytes((3, 1, 0, 2, 0, 3, 0, 0, 0, 0)), bytes(3 * _BLOCKS // 8 + 1))]
    passes = [(bytes((1, 1 + n % 3, 0, 1, 63, 0)), runs) for n in range(63)]
    return _jpeg(0xC2, [(0x00, 0), (0x10, 0xE0)], first + passes)


def arithmetic_scan_bomb() -> bytes:
    """Return an arithmetic-coded JPEG of 50 megapixels, four components and 64 scans, which has 4,791 bytes."""
    return zlib.decompress(b64decode(_ARITHMETIC))


_ARITHMETIC = (
    "eNr7f+P/OwY+x5T8pFSGFAYQ+H+bwZlBgJuHj4dLgI+XT0hQQFhCQ0pCTEzCUFlVVsPK2NbG0tjC3MEjxs/BJdzV3CIgNzA8Pik9"
    "I93Ot7CyIKUiJjU9+f9JBhEO6RnSC1icBRl8BRkiBRm8BRn+n2FgYxAQYP1/i4GD0ZmBwZ7B+xjYToYtVgxQwPTcwXyLZk2sicp6"
    "xn1a6stOfdgiKJGT+o/3Qm3/T+eeL6419myx4ldQjPKlnlGR1DPKmzKjbjHwsTgz+DJEMowaNGrQqEGjBo0aNGrQqEGjBo0aNGrQ"
    "qEGjBo0aNGrQqEGjBo08g24CAPKBw+A="
)


def _flat(kind: str, size: tuple[int, int], **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, kind, **options)
    return file.getvalue()


def png_bomb() -> bytes:
    """Return a PNG of 50 megapixels that are all black."""
    return _flat("PNG", SIDE, compress_level=9)


def large_avif() -> bytes:
    """Return an AVIF of 25 megapixels that are all black."""
    return _flat("AVIF", (5760, 4320), speed=10)


def gif_of_many_frames() -> bytes:
    """Return a GIF of 12,000 frames, each as large as the picture."""
    still = picture("GIF", (64, 64))
    frame = still.index(b"\x2c\0\0\0\0")
    return still[:frame] + 12_000 * still[frame:-1] + b";"


def webp_of_many_frames() -> bytes:
    """Return a WebP of 2,000 frames, each as large as the picture."""
    file, frames = io.BytesIO(), [Image.new("RGB", (320, 320), (n, n, n)) for n in (0, 200)]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    moving = file.getvalue()
    last = moving.rindex(b"ANMF")
    body = moving[12:last] + 1_999 * moving[last:]
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


HOSTILE: Mapping[str, Callable[[], bytes]] = {
    "xmp.jpg": unclosed_xmp,
    "xmp.png": unclosed_xmp_png,
    "directories.png": overlapping_directories,
    "arithmetic.jpg": arithmetic_scan_bomb,
    "scans.jpg": huffman_scan_bomb,
    "multi-scan.jpg": multi_scan_baseline,
    "bomb.png": png_bomb,
    "frames.gif": gif_of_many_frames,
    "frames.webp": webp_of_many_frames,
    "large.avif": large_avif,
}
