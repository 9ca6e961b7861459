"""File names as a service takes them: text without control characters, good on every system."""

import os
import re
import unicodedata
from pathlib import PurePath

_BYTES = 255  # of UTF-8
_BIDI_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)  # on Windows


def sendable(name: str) -> str:
    """Return a file's name as the service takes it; most are taken as they are.

    Bytes that are not UTF-8 are read as Windows-1252, which has Latin-1 in it. Control characters and path
    separators become "_", a name that Windows reserves gets one before it, and a long one is cut before its ending.
    Empty where nothing is left.
    """
    text = unicodedata.normalize("NFC", _decoded(name))
    text = "".join("_" if _is_refused(each) else each for each in text).strip()
    if _RESERVED.fullmatch(text):
        text = f"_{text}"
    return "" if text in {".", ".."} else _shortened(text)


def _decoded(name: str) -> str:
    """Return the text that a name's bytes are: Python has what is not UTF-8 as halves of surrogate pairs."""
    try:
        name.encode()
    except UnicodeEncodeError:
        try:
            stored = os.fsencode(name)
        except UnicodeEncodeError:  # it is no file's
            return name.encode(errors="replace").decode()
        try:
            return stored.decode()
        except UnicodeDecodeError:
            return stored.decode("cp1252", "replace")
    return name


def _is_refused(character: str) -> bool:
    return character in "/\\" or character in _BIDI_CONTROLS or unicodedata.category(character) in {"Cc", "Cs"}


def _shortened(name: str) -> str:
    if len(name.encode()) <= _BYTES:
        return name
    ending = PurePath(name).suffix.encode()[:_BYTES]
    stem = name.encode()[: _BYTES - len(ending)].decode(errors="ignore").rstrip()
    return f"{stem}{ending.decode(errors='ignore')}"
