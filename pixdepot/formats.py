"""The formats that Pixdepot takes: what they begin with, and the file name extensions that they have."""

from collections.abc import Mapping

HEAD = 64  # bytes, which show what a picture is

# Of each media type, the first being what a file is given that has another. A test holds them to the service's.
_EXTENSIONS: Mapping[str, tuple[str, ...]] = {
    "image/jpeg": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp"),
    "image/png": (".png", ".apng"),
    "image/gif": (".gif",),
    "image/webp": (".webp",),
    "image/avif": (".avif", ".avifs"),
}
_OF_IMAGES = frozenset(
    [each for extensions in _EXTENSIONS.values() for each in extensions]
    + [".avci", ".bmp", ".cur", ".dib", ".dng", ".heic", ".heics", ".heif", ".heifs", ".hif", ".ico", ".j2k"]
    + [".jp2", ".jxl", ".psd", ".svg", ".tif", ".tiff"]
)
_NAME_BYTES = 255  # the most that file systems take


def sniffed(head: bytes) -> str | None:
    """Return the media type that a picture's first 64 bytes show, None where Pixdepot takes no such thing."""
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp":  # a box of brands, four bytes each: its size, "ftyp", the first, a version, the others
        end = int.from_bytes(head[:4], "big")
        brands = {head[at : at + 4] for at in (8, *range(16, min(end, len(head)), 4))}
        return "image/avif" if brands & {b"avif", b"avis"} else None
    return None


def download_name(filename: str, content_type: str) -> str:
    """Return a file name with an extension of this media type, at most 255 bytes long.

    The extension of another image format is replaced; every other one is kept, and followed by the right one. Where
    the media type is new to this version, the name stays as it is.
    """
    right = _EXTENSIONS.get(content_type)
    if right is None:
        return filename
    name = filename.rstrip(". ")  # Windows drops them, and would see another extension
    stem, dot, ending = name.rpartition(".")
    extension = f".{ending.lower()}" if dot else ""
    if extension in right:
        return name
    kept = (stem if extension in _OF_IMAGES else name).encode()[: _NAME_BYTES - len(right[0])]
    return (kept.decode(errors="ignore") or "image") + right[0]
