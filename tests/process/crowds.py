"""Many clients at once, and one that only asks whether the server still answers."""

import http.client
import threading
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import aiohttp

from tests.api.client import form, some_details
from tests.photographs import content_type


def clients() -> aiohttp.ClientSession:
    """Return a session in which nobody waits for another's connection."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))


async def upload(session: aiohttp.ClientSession, url: str, filename: str, data: bytes, **fields: str) -> int:
    """Upload a picture as a form to a service, and return the status."""
    kind, body = form(
        {**some_details(filename=filename), **fields}, data, filename=filename, kind=content_type(filename)
    )
    return await sent(session, "POST", f"{url}/images", {"Content-Type": kind}, body)


async def sent(
    session: aiohttp.ClientSession, method: str, url: str, headers: Mapping[str, str], body: bytes
) -> int:
    """Send a body piece by piece, so that the client does not hold two hundred of them; return the status."""

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 2**18):
            yield body[at : at + 2**18]

    headers = {**headers, "Content-Length": str(len(body))}
    async with session.request(method, url, headers=headers, data=pieces()) as response:
        assert response.status != 503 or response.headers["Retry-After"]
        return response.status


@dataclass
class Pulse:
    """Asks for /health all the time, from a thread of its own, each time on a new connection."""

    port: int

    def __enter__(self) -> "Pulse":
        self.seconds: list[float] = []
        self.failures: list[OSError] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._beat)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ending.wait(0.02):
            start = time.perf_counter()
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                connection.request("GET", "/health")
                assert connection.getresponse().status == 200
            except OSError as error:
                self.failures.append(error)
            connection.close()
            self.seconds.append(time.perf_counter() - start)

    @property
    def slowest(self) -> float:
        """Return the 99th percentile, in seconds."""
        return sorted(self.seconds)[len(self.seconds) * 99 // 100]
