"""Whatever form a place is written in, it goes by what it means; what tells of none stays."""

import io
import struct
import zlib
from xml.etree import ElementTree

import pytest
from PIL import Image

from service.domain.errors import InvalidImage
from service.media import inspect, without_location
from tests.pictures import chunk, picture, segment
from tests.unit.media.test_location import located

AT_HOME = b"48 deg 8' 14.25\" N, 11 deg 34' 31.5\" E"
PREFIXES = (
    *("x", "rdf", "xmp", "dc", "dwc", "geo", "cell", "photoshop", "Camera", "drone-dji", "drone-parrot"),
    *("Iptc4xmpCore", "Iptc4xmpExt"),
)


def tiff(*entries: tuple[int, int, int, int], order: str = "<", more: bytes = b"") -> bytes:
    """Return EXIF of one directory, its entries (tag, type, count, value) as given, and what follows it."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    body = b"".join(struct.pack(order + "HHII", *entry) for entry in entries)
    return head + struct.pack(order + "IH", 8, len(entries)) + body + bytes(4) + more


def in_jpeg(marker: int, *bodies: bytes) -> bytes:
    """Return a JPEG with these segments, right at its beginning."""
    plain = picture("JPEG")
    return plain[:2] + b"".join(segment(marker, body) for body in bodies) + plain[2:]


def in_png(*chunks: bytes) -> bytes:
    """Return a PNG with these chunks behind its header."""
    plain = picture("PNG")
    return plain[:33] + b"".join(chunks) + plain[33:]


def in_webp(kind: bytes, body: bytes) -> bytes:
    """Return a WebP with one chunk more, at its end."""
    data = picture("WEBP") + kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(data) - 8) + data[8:]


def exif_cleaned(block: bytes) -> bytes:
    """Return what becomes of EXIF in a JPEG."""
    data = in_jpeg(0xE1, b"Exif\0\0" + block)
    clean = without_location(data, "image/jpeg")
    assert len(clean) == len(data)
    assert inspect(clean, max_pixels=10_000) == inspect(data, max_pixels=10_000)
    return clean[12 : 12 + len(block)]


def xmp_cleaned(packet: bytes) -> bytes:
    """Return what becomes of XMP in a PNG."""
    data = in_png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet))
    clean = without_location(data, "image/png")
    assert len(clean) == len(data)
    inspect(clean, max_pixels=10_000)
    at = data.index(packet)
    return clean[at : at + len(packet)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "count"), [(3, 2), (4, 1), (4, 2), (7, 4), (9, 1), (13, 1), (13, 7), (16, 1), (0, 0)]
)
def test_a_pointer_to_coordinates_goes_whatever_its_type(order: str, kind: int, count: int) -> None:
    gps = struct.pack(order + "HHHII", 1, 29, 2, len(AT_HOME), 68) + bytes(4) + AT_HOME
    turned = (0x0112, 3, 1, 6 if order == "<" else 6 << 16)
    block = tiff((0x8825, kind, count, 50), turned, order=order, more=bytes(12) + gps)
    assert exif_cleaned(block) == tiff(turned, order=order).ljust(len(block), b"\0")


# GPS, a maker's notes, a comment, GeoTIFF twice, a tag that nobody knows, a description.
@pytest.mark.parametrize("tag", [0x8825, 0x927C, 0x9286, 0x8482, 0x87B0, 0x9999, 0x010E])
def test_notes_and_text_of_a_place_go(tag: int) -> None:
    block = tiff((0x0112, 3, 1, 6), (tag, 2, len(AT_HOME), 50), more=bytes(12) + AT_HOME)
    assert AT_HOME[:10] not in exif_cleaned(block)


@pytest.mark.parametrize("tag", [0x010E, 0x8298, 0x9286, 0xA420, 0xA434])
def test_text_of_no_place_stays(tag: int) -> None:
    text = b"On the shore, in the rain\0"
    block = tiff((tag, 2, len(text), 26), more=text)
    assert exif_cleaned(block) == block


def test_places_of_thumbnails_and_of_all_directories_go() -> None:
    thumbnail, base = located("JPEG"), 8 + 2 + 12 * 3 + 4
    pointers = [(0x014A, 4, 1, base), (0x0201, 4, 1, base + 18), (0x0202, 4, 1, len(thumbnail))]
    below = struct.pack("<HHHIII", 1, 0x8825, 4, 1, 8, 0)
    clean = exif_cleaned(tiff(*pointers, more=below + thumbnail))
    assert struct.pack("<H", 0x8825) not in clean[: base + 18]
    shown = Image.open(io.BytesIO(clean[base + 18 :]))
    assert not shown.getexif()
    assert shown.tobytes() == Image.open(io.BytesIO(thumbnail)).tobytes()


def test_directories_that_lead_to_each_other_stay_as_they_are() -> None:
    block = tiff((0x0112, 3, 1, 6), (0x014A, 4, 1, 8), (0x8769, 4, 1, 8), (0xA005, 4, 1, 20))
    again = block[:-4] + struct.pack("<I", 8)  # the first is the next as well
    assert exif_cleaned(again) == again


def endless(times: int = 2) -> bytes:
    """Return a PNG that says how it is turned behind 65,534 entries of EXIF; twice is more than is looked at."""
    return in_png(*[chunk(b"eXIf", tiff(*[(0x8825, 4, 1, 8)] * 65_534, (0x0112, 3, 1, 6)))] * times)


def test_exif_that_has_more_entries_than_are_looked_at_is_refused_where_that_would_turn_the_picture() -> None:
    assert len(without_location(endless(1), "image/png")) == len(endless(1))
    with pytest.raises(InvalidImage, match=r"location cannot be removed.*strip_location false"):
        without_location(endless(2), "image/png")


def test_damage_that_leaves_it_unclear_is_refused() -> None:
    with pytest.raises(InvalidImage, match=r"location cannot be removed.*strip_location false"):
        without_location(picture("PNG")[:-12], "image/png")


FORMS = {
    "attribute": b"<rdf:Description xmp:Rating='5' %(name)b = '%(value)b'><xmp:Label>a &gt; b</xmp:Label>",
    "element": b"<rdf:Description xmp:Rating='5'><xmp:Label>a &gt; b</xmp:Label><%(name)b>%(value)b</%(name)b >",
    "structure": b"<rdf:Description xmp:Rating='5'><%(name)b rdf:parseType='Resource'><x:is y='>'/>"
    b"<x:at>%(value)b</x:at></%(name)b><xmp:Label>a &gt; b</xmp:Label>",
    "list": b"<rdf:Description xmp:Rating='5'><%(name)b><rdf:Bag><rdf:li>%(value)b</rdf:li></rdf:Bag></%(name)b>"
    b"<xmp:Label>a &gt; b</xmp:Label>",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("drone-dji:GpsLatitude", "48.1373"),
        ("drone-dji:GpsLongtitude", "11.5754"),  # as they spell it
        ("drone-parrot:SensorLatitude", "48.1373"),
        ("Camera:GPSAltitude", "519.1"),
        ("dwc:decimalLatitude", "48.1373"),
        ("dwc:stateProvince", "Bavaria"),
        ("photoshop:City", "Munich"),
        ("photoshop:State", "Bavaria"),
        ("Iptc4xmpCore:CountryCode", "DEU"),
        ("Iptc4xmpExt:LocationShown", "Munich"),
        ("geo:lat", "48.1373"),
        ("cell:lac", "4236"),
        ("dc:source", "at +48.1373+011.5754/"),
        ("dc:description", "48.1373, 11.5754"),
    ],
)
def test_properties_of_xmp_go_by_their_meaning(name: str, value: str, form: str) -> None:
    prefixes = b" ".join(b'xmlns:%b="urn:%b"' % (each.encode(), each.encode()) for each in PREFIXES)
    start, end = b"<?xpacket begin='\xef\xbb\xbf'?><x:xmpmeta %b>" % prefixes, b"</rdf:Description></x:xmpmeta>  "
    clean = xmp_cleaned(start + FORMS[form] % {b"name": name.encode(), b"value": value.encode()} + end)
    assert value.encode() not in clean
    left = ElementTree.fromstring(clean)
    assert left[0].attrib["{urn:xmp}Rating"] == "5"
    assert left.findtext(".//{urn:xmp}Label") == "a > b"


@pytest.mark.parametrize(
    "name", ["tiff:Model", "rdf:Alt", "crs:Opacity", "x:Velocity", "xmpMM:placedXResolution", "crs:LongExposure"]
)
def test_properties_of_something_else_stay(name: str) -> None:
    packet = b"<a xmlns:%b='urn:gps' %b='+5' %b2='1.25'/>" % (name.partition(":")[0].encode(), *[name.encode()] * 2)
    assert xmp_cleaned(packet) == packet


@pytest.mark.parametrize(
    "packet",
    [
        b"<x:xmpmeta><exif:GPSLatitude>48,8.2375N",
        b"<!DOCTYPE x [<!ENTITY gps '48,8.2375N'>]><x>&gps;</x>",
        '<?xml version="1.0" encoding="UTF-16"?><x GPSLatitude="48,8.2375N"/>'.encode("utf-16"),
        b"<x>" + b"<a/>" * 200_000 + b"<GPSLatitude/></x>",
        b"<a>" * 50_000,
    ],
    ids=["cut off", "entities", "UTF-16", "many tags", "deep"],
)
def test_xmp_that_cannot_be_taken_apart_is_blank(packet: bytes) -> None:
    assert xmp_cleaned(packet).strip() == b""


def test_xmp_in_several_segments_is_read_as_one() -> None:
    whole = b"<a xmlns:x='x'><x:b>" + b"kept " * 100 + b"</x:b><x:GPSLatitude>48,8.2375N</x:GPSLatitude></a>"
    head = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32
    parts = [head + struct.pack(">II", len(whole), at) + whole[at : at + 40] for at in range(0, len(whole), 40)]
    data = in_jpeg(0xE1, *reversed(parts))
    clean = without_location(data, "image/jpeg")
    assert len(clean) == len(data)
    bodies = clean.split(head)[1:]
    joined = b"".join(body[8:48] for body in sorted(bodies, key=lambda body: body[4:8]))[: len(whole)]
    assert joined == whole.replace(b"<x:GPSLatitude>48,8.2375N</x:GPSLatitude>", b" " * 41)


KEYS = [b"Location", b"GPSLatitude", b"exif:GPSLatitude", b"geo:lat", b"Country", b"Raw profile type iptc"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
def test_text_of_a_png_goes_by_its_key(kind: bytes, key: bytes) -> None:
    body = {b"tEXt": b"\0Munich", b"zTXt": b"\0\0" + zlib.compress(b"Munich"), b"iTXt": b"\0\0\0\0\0Munich"}[kind]
    assert without_location(in_png(chunk(kind, key + body)), "image/png") == picture("PNG")


@pytest.mark.parametrize(
    "found",
    [chunk(b"tEXt", b"Comment\0" + AT_HOME), chunk(b"iTXt", b'Author\0\0\0\0\0{"lat": 48}'), chunk(b"caBX", b"x")],
)
def test_chunks_of_a_png_go_that_tell_of_a_place_or_are_of_no_standard(found: bytes) -> None:
    assert without_location(in_png(found), "image/png") == picture("PNG")


def resource(number: int, data: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + bytes(len(data) % 2)


def dataset(number: int, data: bytes) -> bytes:
    return struct.pack(">BBBH", 0x1C, 2, number, len(data)) + data


def test_datasets_of_iptc_about_a_place_go_and_others_stay() -> None:
    title, places = dataset(5, b"A title"), b"".join(dataset(n, b"Munich") for n in (26, 27, 90, 92, 95, 100, 101))
    block = resource(0x03ED, b"odd") + resource(0x0404, places + title) + resource(4001, b"a plug-in's")
    data = in_jpeg(0xED, b"Photoshop 3.0\0" + block[:50], b"Photoshop 3.0\0" + block[50:])
    clean = without_location(data, "image/jpeg")
    assert len(clean) == len(data)
    assert b"Munich" not in clean
    assert b"plug-in" not in clean
    assert title in clean[20:]
    assert b"odd" in clean


@pytest.mark.parametrize(
    ("marker", "body"),
    [(0xE6, b"GoPro\0GPS5"), (0xEB, b"JP\0\1c2pa"), (0xE1, b"FLIR\0"), (0xFE, AT_HOME), (0xE2, b"FPXR\0")],
)
def test_segments_that_nobody_needs_to_show_the_picture_are_blank(marker: int, body: bytes) -> None:
    assert without_location(in_jpeg(marker, body), "image/jpeg") == in_jpeg(marker, bytes(len(body)))


@pytest.mark.parametrize(
    ("marker", "body"),
    [(0xE2, b"MPF\0II*\0"), (0xE2, b"ICC_PROFILE\0\1\1gps"), (0xEE, b"Adobe\0d"), (0xFE, b"At the lake")],
)
def test_segments_of_no_place_stay(marker: int, body: bytes) -> None:
    assert without_location(in_jpeg(marker, body), "image/jpeg") == in_jpeg(marker, body)


def test_bytes_between_the_segments_of_a_jpeg_become_fill() -> None:
    plain = picture("JPEG")
    clean = without_location(plain[:2] + b"48.1373" + plain[2:], "image/jpeg")
    assert clean == plain[:2] + b"\xff" * 7 + plain[2:]
    assert inspect(clean, max_pixels=10_000) == inspect(plain, max_pixels=10_000)


def test_chunks_of_a_webp_of_no_standard_are_blank() -> None:
    assert without_location(in_webp(b"GPS ", b"48.1373"), "image/webp") == in_webp(b"GPS ", bytes(7))


def in_gif(label: int, *blocks: bytes, raw: bytes = b"") -> bytes:
    """Return a GIF with an extension more, before its end."""
    return picture("GIF")[:-1] + bytes([0x21, label]) + b"".join(bytes([len(b)]) + b for b in blocks) + raw + b"\0;"


TRAILER = bytes([1, *range(255, -1, -1)])


def test_xmp_of_a_gif_is_cleaned_in_its_place() -> None:
    packet = b"<a xmlns:x='x' x:b='kept'><x:GPSLatitude>48,8.2375N</x:GPSLatitude></a>"
    data = in_gif(0xFF, b"XMP DataXMP", raw=packet + TRAILER)
    gone = packet.replace(b"<x:GPSLatitude>48,8.2375N</x:GPSLatitude>", b" " * 41)
    clean = without_location(data, "image/gif")
    assert clean == in_gif(0xFF, b"XMP DataXMP", raw=gone + TRAILER)
    assert inspect(clean, max_pixels=10_000) == inspect(data, max_pixels=10_000)


@pytest.mark.parametrize(
    "found",
    [
        in_gif(0xFE, b"at 48.1373, ", b"11.5754"),
        in_gif(0xFF, b"MGKIPTC0000", b"Munich"),
        in_gif(0xFF, b"XMP DataXMP", b"not as it should be"),
    ],
)
def test_other_extensions_of_a_gif_about_a_place_go(found: bytes) -> None:
    assert without_location(found, "image/gif") == picture("GIF")


@pytest.mark.parametrize("stays", [in_gif(0xFE, b"At the lake"), in_gif(0xFF, b"NETSCAPE2.0", b"\1\0\0")])
def test_loops_and_comments_of_a_gif_stay(stays: bytes) -> None:
    assert without_location(stays, "image/gif") == stays
