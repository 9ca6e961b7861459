"""Removal of the GPS location from an image's metadata, without changes to its pixels.

Each container is parsed into parts. Parts that are needed to show the image do not change. EXIF, XMP, IPTC and text
are cleaned (`exif`, `xmp`, `iptc`, `words`). All other parts are blanked or removed, because a camera or a program
can store a location in a proprietary format.

Offsets do not change in JPEG, WebP and AVIF. The time is linear in the size for any input: each part is read once,
and the number of small parts (segments, directories, boxes, XMP tags) is limited (`effort`).
"""

from collections.abc import Iterator

from service.domain.errors import InvalidImage
from service.media import Bytes

from .boxes import clean_avif
from .effort import Effort
from .jpeg import clean_jpeg, clean_tail
from .others import clean_gif, clean_png, clean_webp


def without_location(data: Bytes, content_type: str) -> bytes:
    """Remove the GPS location from the metadata of a verified image. Its pixels do not change.

    Raises InvalidImage if it cannot be sure that the location is removed.
    """
    try:
        return b"".join(_cleaned(memoryview(bytearray(data)), content_type))
    except InvalidImage:
        raise
    except Exception as damage:
        raise InvalidImage(
            "The location cannot be removed: the image's metadata is damaged. "
            "Remove the metadata first, or upload with strip_location false."
        ) from damage


def _cleaned(view: memoryview, content_type: str) -> Iterator[bytes | memoryview]:
    """Yield what is left of a file, in its order."""
    effort = Effort()
    match content_type:
        case "image/png":
            yield from clean_png(view, effort)
            return
        case "image/gif":
            yield from clean_gif(view, effort)
            return
        case "image/jpeg":
            clean_jpeg(view, effort)
        case "image/webp":
            clean_webp(view, effort)
        case "image/avif":
            clean_tail(view[clean_avif(view, effort) :], effort)
    yield view
