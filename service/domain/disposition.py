"""Content-Disposition: under which name a browser saves what it downloads. Pure."""

import re
from functools import lru_cache
from urllib.parse import quote


@lru_cache(maxsize=4096)  # the same file names keep coming back
def content_disposition(kind: str, filename: str) -> str:
    """Return a Content-Disposition value that gives the filename back safely (RFC 6266, RFC 8187).

    Old readers get an ASCII approximation in `filename`, all others the exact name in `filename*`.
    """
    fallback = re.sub(r'[^ -~]|["\\%]', "_", filename)
    return f"{kind}; filename=\"{fallback}\"; filename*=UTF-8''{quote(filename, safe='')}"
