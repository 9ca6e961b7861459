"""Taking out where a picture was made, without touching a pixel.

Each container is taken apart. The parts that a picture is shown by stay as they are; EXIF, XMP, IPTC and text are
cleaned (`exif`, `xmp`, `iptc`, `words`); any other part is blank afterwards, or gone, because a camera's maker or
another program may keep a place in a format of its own.

Nothing moves in JPEG, WebP and AVIF. Time is linear in the size, whatever the bytes: every part is looked at once,
and the small ones (segments, directories, boxes, tags of XMP) are limited in number (`effort`).
"""

from collections.abc import Iterator

from service.domain.errors import InvalidImage
from service.media import Bytes

from .boxes import clean_avif
from .effort import Effort
from .jpeg import clean_jpeg, clean_tail
from .others import clean_gif, clean_png, clean_webp


def without_location(data: Bytes, content_type: str) -> bytes:
    """Return the picture with no place in its metadata, its pixels as they were. Repeatable.

    `data` must have been verified. Raises InvalidImage where it cannot be told what would be left.
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
