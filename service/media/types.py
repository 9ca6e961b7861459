"""The table of image formats: media types with aliases, file name extensions and magic numbers.

All uploads use this table. The bytes decide the format (`sniff`). The client's declaration must match them
(`check_declared`); a file name declares nothing. Pure functions.
"""

from collections.abc import Mapping
from mimetypes import MimeTypes
from types import MappingProxyType

from service.domain.errors import TypeMismatch

# Media types, the extensions that each may have (the first is given to what has a wrong one), and aliases.
_FORMATS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        "image/jpeg": (
            (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp"),
            ("image/jpg", "image/jpe", "image/jfif", "image/pjpeg", "image/pipeg", "image/x-jpeg", "image/x-jpg"),
        ),
        "image/png": ((".png", ".apng"), ("image/apng", "image/vnd.mozilla.apng", "image/x-png", "image/x-apng")),
        "image/gif": ((".gif",), ("image/x-gif",)),
        "image/webp": ((".webp",), ("image/x-webp",)),
        "image/avif": ((".avif", ".avifs"), ("image/avif-sequence", "image/x-avif")),
    }
)
IMAGE_TYPES: Mapping[str, str] = MappingProxyType({name: known[0][0] for name, known in _FORMATS.items()})
UNKNOWN_TYPE = "application/octet-stream"  # what is signed and stored where nobody has declared a type

_ALIASES = {alias: name for name, (_, aliases) in _FORMATS.items() for alias in (name, *aliases)}
_TABLES = MimeTypes()  # Python's own: what the machine's /etc/mime.types adds stays out of this one
_BY_EXTENSION: Mapping[str, str] = MappingProxyType(
    {extension.lower(): f"application/{name}" for extension, name in _TABLES.encodings_map.items()}
    | _TABLES.types_map[False]
    | _TABLES.types_map[True]
    | {extension: name for name, (extensions, _) in _FORMATS.items() for extension in extensions}
)
_OTHER_TYPES = frozenset(_BY_EXTENSION.values()) - {UNKNOWN_TYPE}
_IMAGE_EXTENSIONS = frozenset(
    [each for extensions, _ in _FORMATS.values() for each in extensions]
    + [".avci", ".bmp", ".cur", ".dib", ".dng", ".heic", ".heics", ".heif", ".heifs", ".hif", ".ico", ".j2k"]
    + [".jp2", ".jxl", ".psd", ".svg", ".tif", ".tiff"]
)
_NAME_BYTES = 255  # the most that file systems take


def sniff(head: bytes) -> str | None:
    """Detect the media type by magic number. Return None unless it is one of IMAGE_TYPES.

    It needs the first 32 bytes, or 64 for an AVIF that lists other brands before its own.
    """
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":  # ISO/IEC 14496-12 section 4.3: size, type, major brand, version, other brands
        end = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[at : at + 4] for at in (8, *range(16, end, 4))}
        return "image/avif" if brands & {b"avif", b"avis"} else None
    return None


def declared_type(content_type: str | None, filename: str | None = None) -> str | None:
    """Normalize a declared media type to one of IMAGE_TYPES, or to another known type.

    Return None if it declares nothing: it is empty, generic (`application/octet-stream`) or unknown. Case and
    parameters (RFC 9110 section 8.3) are ignored. With a `filename`, a type that only follows from its extension
    also returns None, because browsers and curl derive the type of a form's file from its name.
    """
    plain = (content_type or "").partition(";")[0].strip().lower()
    known = _ALIASES.get(plain, plain if plain in _OTHER_TYPES else None)
    if filename is not None and known == _BY_EXTENSION.get(_extension(filename)):
        return None
    return known


def _extension(filename: str) -> str:
    """Return what follows the last dot of a file name, with the dot and in lower case; "" if there is no dot."""
    _, dot, ending = filename.rpartition(".")
    return f".{ending.lower()}" if dot else ""


def check_declared(picture_type: str, content_type: str | None) -> None:
    """Raise TypeMismatch if the declared media type differs from the image's type."""
    if declared_type(content_type) not in {None, picture_type}:
        raise TypeMismatch(
            f"The image is {picture_type}, but another type was declared: declare {picture_type}, or no type."
        )


def download_name(filename: str, picture_type: str) -> str:
    """Return an image's file name with an extension of its media type, at most 255 bytes long.

    Replace the extension of another image format. Append to any other extension, so that a browser never saves an
    image uploaded as `page.html` as a web page.
    """
    name = filename.rstrip(". ")  # Windows drops them, and would see another extension
    stem, extension = name.rpartition(".")[0], _extension(name)
    right, _ = _FORMATS[picture_type]
    if extension in right:
        return name
    kept = (stem if extension in _IMAGE_EXTENSIONS else name).encode()[: _NAME_BYTES - len(right[0])]
    return (kept.decode(errors="ignore") or "image") + right[0]
