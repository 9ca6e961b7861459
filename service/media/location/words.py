"""Which names and texts are about a place. Pure.

Programs and makers invent properties as they like (`drone-dji:GpsLongtitude`, `dwc:decimalLatitude`), so a name is
judged by the words in it, not looked up in a list of names.
"""

import re

# Words that mean a place wherever they stand in a name, in lower case.
_ANYWHERE = (
    *("latitude", "longitude", "longtitude", "altitude", "elevation", "gps", "iso6709", "coordinate", "location"),
    *("locality", "geotag", "geoloc", "geohash", "geocod", "georef", "geodetic", "geograph", "footprint"),
    *("country", "province", "municipality", "waterbody", "cellid"),
)
# Short ones, which are a part of other words too: as a word of a name, and as the whole of it. A phone's cell, and
# the area and network that it is in, are places too.
_AS_WORD = frozenset({"city", "county", "continent", "island", "place", "places", "venue", "geo"})
_AS_NAME = frozenset(
    {"lat", "lon", "lng", "long", "latlong", "latlng", "state", "coverage", "spatial", "lac", "mcc", "mnc"}
)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_IN_TEXT = tuple(b'latitude longitude longtitude gps iso6709 geotag "location" "lat" "lng"'.split())  # some JSON's
# Of ISO 6709, or with degrees. All is possessive: nothing is tried twice, so that no text takes long.
_DEGREES = rb"(?<!\d)\d{1,3}+(?:\.\d{1,15}+)?+\s?+(?:\xc2?+\xb0|deg)"
_NUMBERS = re.compile(
    rb"[+-]\d{2,6}+(?:\.\d{1,15}+)?+[+-]\d{3,7}+(?:\.\d{1,15}+)?+(?:[+-][\d.]{1,16}+)?+(?:CRS[\w:]{1,20}+)?+/"
    rb"|" + _DEGREES + rb"[^NSEWnsew]{0,24}+[NSns]\W{1,4}+" + _DEGREES
)
_PAIR = re.compile(rb"(?<![\d.])\d{1,2}+\.\d{3,15}+\s?+,\s?+[+-]?+\d{1,3}+\.\d{3,15}+")
_SHORT = 256  # bytes of a text in which two numbers are taken for a place, not for some program's data
_PIECE, _OVERLAP = 64 * 1024, 256  # bytes: a search holds the interpreter until it is over


def names_place(name: str) -> bool:
    """Return whether a property or key of this name tells of a place; a prefix before a colon is no part of it."""
    local = name.rpartition(":")[2][:256]
    lower = local.lower()
    return (
        lower in _AS_NAME
        or any(word in lower for word in _ANYWHERE)
        or any(word.lower() in _AS_WORD for word in _WORD.findall(local))
    )


def tells_place(text: bytes) -> bool:
    """Return whether a text has coordinates in it, or says that it is about them."""
    if len(text) <= _SHORT and _PAIR.search(text):
        return True
    return any(_piece_tells(text[at : at + _PIECE + _OVERLAP]) for at in range(0, len(text), _PIECE))


def _piece_tells(piece: bytes) -> bool:
    lower = piece.lower()
    return any(word in lower for word in _IN_TEXT) or _NUMBERS.search(piece) is not None
