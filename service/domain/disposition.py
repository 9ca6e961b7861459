"""The Content-Disposition header: the name under which a browser saves a download. Pure."""

import re
from functools import lru_cache
from urllib.parse import quote


@lru_cache(maxsize=4096)  # because lists repeat the same file names
def content_disposition(kind: str, filename: str) -> str:
    """Return a Content-Disposition value for a file name (RFC 6266, RFC 8187).

    `filename` has an ASCII approximation for old clients; `filename*` has the exact name.
    """
    fallback = re.sub(r'[^ -~]|["\\%]', "_", filename)
    return f"{kind}; filename=\"{fallback}\"; filename*=UTF-8''{quote(filename, safe='')}"
