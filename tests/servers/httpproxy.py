"""A proxy for HTTP: it takes absolute URLs and CONNECT, and finds every name on this machine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bootstrap.processes import LOOPBACK


@dataclass
class HttpProxy:
    """Carries each connection to its port here; notes what was asked for, and with which authorization."""

    requests: list[tuple[str, str]] = field(default_factory=list)
    authorizations: set[str] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one request, and its answer, or a tunnel."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, version = head[0].split(" ")
            headers = [each for each in head[1:-2] if not each.lower().startswith(("proxy-", "connection:"))]
            self.authorizations |= {
                each.split(": ", 1)[1] for each in head if each.lower().startswith("proxy-auth")
            }
            self.requests.append((method, target))
            url = urlsplit(f"//{target}" if method == "CONNECT" else target)
            from_server, to_server = await asyncio.open_connection(LOOPBACK, url.port)
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                path = url._replace(scheme="", netloc="").geturl()
                lines = [f"{method} {path} {version}", *headers, "Connection: close", "", ""]
                to_server.write("\r\n".join(lines).encode("latin-1"))
            await asyncio.gather(_carry(reader, to_server), _carry(from_server, writer))
        writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(16 * 1024):
        writer.write(chunk)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def proxying() -> AsyncIterator[tuple[HttpProxy, str]]:
    """Run a proxy; yield it and where it listens, as host and port."""
    proxy = HttpProxy()
    server = await asyncio.start_server(proxy.serve, LOOPBACK, 0)
    async with server:
        yield proxy, f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
