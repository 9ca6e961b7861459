"""The heaviest upload there is: 10 MiB of base64 for a picture of few pixels, so that decoding costs nothing.

What fills it is XMP, as phones write it for depth maps and the like: in segments of 64 KiB each.
"""

import io
import json
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import pack
from tempfile import TemporaryDirectory

import aiohttp
import pybase64
from PIL import Image

from service.settings import Settings

from .stub import running_stub
from .watched import OURS, Served, serving

SIZE = 10 * 2**20  # bytes
LOCAL = "ours, on local files"
_SEGMENT = 65_535 + 2  # bytes, with its marker
_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_PIECE = 256 * 1024  # bytes


def picture(size: int = SIZE) -> bytes:
    """Return a JPEG of 64 x 48 pixels and of so many bytes."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 80, 9)).save(file, "JPEG")
    plain = file.getvalue()
    left, segments = size - len(plain), []
    while left > 0:
        length = left if left <= _SEGMENT else min(_SEGMENT, left - len(_XMP) - 4)  # the last has room for its name
        segments.append(b"\xff\xe1" + pack(">H", length - 2) + _XMP + secrets.token_bytes(length - 4 - len(_XMP)))
        left -= length
    return b"".join([plain[:2], *segments, plain[2:]])


def as_json(data: bytes) -> bytes:
    """Return the body of a request that uploads a picture."""
    details = {"user_id": "ada", "title": "A photo", "filename": "photo.jpg"}
    return json.dumps({**details, "image_data": pybase64.b64encode_as_string(data)}).encode()


@dataclass(frozen=True, slots=True)
class Site:
    """Servers that run, and a client of theirs."""

    servers: Mapping[str, Served]
    http: aiohttp.ClientSession

    async def upload(self, name: str, body: bytes) -> str:
        """Send an upload to one of the servers, and return the image's id once it is published."""

        async def pieces() -> AsyncIterator[bytes]:
            for at in range(0, len(body), _PIECE):
                yield body[at : at + _PIECE]

        headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        async with self.http.post(f"{self.servers[name].url}/images", data=pieces(), headers=headers) as answer:
            published = await answer.json()
            assert answer.status == 201, published
            return str(published["image_id"])


@asynccontextmanager
async def site(*names: str) -> AsyncIterator[Site]:
    """Run servers by these names: OURS, LOCAL (the same without S3 and DynamoDB), rivals."""
    async with AsyncExitStack() as stack:
        place = Path(stack.enter_context(TemporaryDirectory()))
        aws = await stack.enter_async_context(running_stub(place))
        local = Settings(data_dir=place / "data").environment()
        servers = {}
        for name in names:
            run, environment = (OURS, local) if name == LOCAL else (name, aws)
            servers[name] = await stack.enter_async_context(serving(run, place / name, **environment))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Site(servers, http)
