"""A local link takes bytes that began in time, for as long as sweep still comes to them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from service.api.http import ApiRequest
from service.connections import Deadlines
from service.domain.errors import Forbidden
from service.domain.model import GRACE, Expected
from service.local.disk import Disk
from service.local.files import LocalObjectStore
from service.local.links import LinkSigner
from service.local.storage import StorageRoutes
from service.settings import Settings

KEY = "uploads/one"
START = datetime(2026, 1, 1, tzinfo=UTC)
EXPIRES = START + timedelta(minutes=15)
LAST_MOMENT = EXPIRES - timedelta(seconds=1)


class Site:
    """The storage's routes, at a time that goes by as bytes come in."""

    def __init__(self, directory: Path) -> None:
        self.now = LAST_MOMENT
        self.signer = LinkSigner(b"secret", lambda: self.now)
        disk = Disk(directory, 0)
        disk.prepare()
        self.objects = LocalObjectStore(disk, self.signer)
        self.routes = StorageRoutes(self.objects, self.signer, 100)

    async def chunks(self, *chunks: bytes, ends_at: datetime) -> AsyncIterator[bytes]:
        for chunk in chunks[:-1]:
            yield chunk
        self.now = ends_at
        yield chunks[-1]

    async def send(self, method: Literal["PUT", "POST"], ends_at: datetime) -> int:
        """Send ten bytes, the first in time and the last at `ends_at`."""
        link = self.signer.upload(KEY, Expected(method, "image/jpeg", 10), 100, EXPIRES)
        if method == "POST":
            boundary = "b"
            fields = "".join(
                f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                for name, value in link.fields.items()
            )
            head = f'{fields}--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            body = self.chunks(head.encode() + b"12345", f"67890\r\n--{boundary}--\r\n".encode(), ends_at=ends_at)
            headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
            return (await self.routes.post(ApiRequest("POST", "/storage", body, headers=headers))).status
        query = tuple(tuple(pair.split("=")) for pair in link.url.partition("?")[2].split("&"))
        query = tuple((name, value.replace("%2F", "/")) for name, value in query)
        headers = {name.lower(): value for name, value in link.headers.items()} | {"content-length": "10"}
        body = self.chunks(b"12345", b"67890", ends_at=ends_at)
        request = ApiRequest("PUT", link.url, body, query=query, headers=headers, parameters={"key": KEY})
        return (await self.routes.put(request)).status

    async def stored(self) -> list[str]:
        return [each.key async for each in self.objects.list("")]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_bytes_that_began_in_time_may_come_until_shortly_before_the_sweep(
    site: Site, method: Literal["PUT", "POST"]
) -> None:
    assert await site.send(method, EXPIRES + GRACE - timedelta(seconds=90)) in {200, 204}
    assert await site.stored() == [KEY]


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_bytes_that_take_longer_are_refused_and_leave_nothing(
    site: Site, method: Literal["PUT", "POST"]
) -> None:
    with pytest.raises(Forbidden):
        await site.send(method, EXPIRES + GRACE)
    assert await site.stored() == []


def test_the_slowest_client_that_is_served_has_time_for_a_picture_of_the_default_limit() -> None:
    deadlines, settings = Deadlines(), Settings()
    longest = deadlines.slack + settings.max_image_bytes / deadlines.rate
    assert timedelta(seconds=longest) < timedelta(seconds=settings.upload_ttl) + GRACE
