"""What EXIF says of how a picture is turned. Pure; bad EXIF never makes a picture bad."""

import struct
from struct import unpack_from


def exif_orientation(exif: object) -> int:
    """Return the orientation in an EXIF block, 1 to 8 (EXIF 2.32 section 4.6.4); 1 where it says none.

    The block may begin with "Exif" and two zeros, as in a JPEG.
    """
    tiff = exif.removeprefix(b"Exif\0\0") if isinstance(exif, bytes) else b""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (at,) = unpack_from(order + "I", tiff, 4)
        (entries,) = unpack_from(order + "H", tiff, at)
        for entry in range(at + 2, at + 2 + 12 * entries, 12):
            tag, _type, _count, value = unpack_from(order + "HHIH", tiff, entry)
            if tag == 0x0112:
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
