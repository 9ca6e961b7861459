"""A service to fail at: behind a proxy that spoils the steps it is told to, its clock put forward at will."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from multidict import CIMultiDictProxy

from pixdepot import Client
from service.domain import model
from service.runtime import open_service
from service.server import answering, listen
from service.settings import Settings
from tests.servers.proxy import Fault, Proxy, proxied

_STEPS = {
    "begin": r"POST /uploads",
    "put": r"PUT /storage/.+",
    "sign": r"POST /uploads/[^/]+/sign",
    "complete": r"POST /uploads/[^/]+/complete",
    "list": r"GET /images\?.*",
    "download": r"GET /images/[^/]+\?download=true",
    "get": r"GET /images/[^/]+\?metadata_only=true",
    "edit": r"PATCH /images/[^/]+",
    "delete": r"DELETE /images/[^/]+",
    "delete_many": r"POST /images/batch-delete",
}

Before = Callable[[web.Request], Awaitable[None]]


@dataclass
class Depot:
    """The service. `asked` has the header fields of each request, by its step; `url` leads past the proxy."""

    proxy: Proxy
    url: str
    directory: Path
    ahead: timedelta = timedelta()
    asked: dict[str, list[CIMultiDictProxy[str]]] = field(default_factory=dict)
    spoilt: dict[str, list[Fault | Before]] = field(default_factory=dict)

    def spoil(self, step: str, *faults: Fault | Before) -> None:
        """Spoil the next requests that are this step, one with each. What is no fault is done before it."""
        assert step in _STEPS
        self.spoilt[step] = list(faults)

    async def expiring(self, _: web.Request) -> None:
        """Let the time go by that a link works for."""
        self.ahead += timedelta(minutes=16)

    def client(self, **options: Any) -> Client:
        """Return a client, which gives up soon."""
        return Client(self.proxy.url, **{"user_id": "ada", "timeout": 2.0, **options})

    async def accident(self, request: web.Request) -> Fault | None:
        """Write a request down, and return what becomes of it."""
        named = f"{request.method} {request.path_qs}"
        step = next((name for name, pattern in _STEPS.items() if re.fullmatch(pattern, named)), named)
        self.asked.setdefault(step, []).append(request.headers)
        fault = self.spoilt[step].pop(0) if self.spoilt.get(step) else None
        if fault is None or isinstance(fault, Fault):
            return fault
        await fault(request)
        return None


@asynccontextmanager
async def depot(directory: Path, **settings: Any) -> AsyncIterator[Depot]:
    """Run the server on the local backend, and a proxy before it."""
    listening = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with proxied(url) as proxy:
        made = Depot(proxy, url, directory)
        proxy.accident = made.accident
        async with (
            open_service(Settings(data_dir=directory, **settings), lambda: model.now() + made.ahead) as runtime,
            answering(runtime.api, listening),
        ):
            yield made
