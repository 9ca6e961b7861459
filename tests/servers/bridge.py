"""An HTTP server in front of what is called otherwise, such as a Lambda function: for tools that speak HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from multidict import CIMultiDict

from bootstrap.processes import LOOPBACK
from tests.api.client import Send

_MADE_BY_HTTP = ("Content-Length", "Transfer-Encoding")


@asynccontextmanager
async def bridged(send: Send, base_url: str) -> AsyncIterator[str]:
    """Hand every request to `send`, with its URL below `base_url`, for the length of the block; yield our URL."""

    async def forward(request: web.BaseRequest) -> web.Response:
        answer = await send(request.method, base_url + request.raw_path, request.headers, await request.read())
        headers = CIMultiDict(answer.headers)
        for name in _MADE_BY_HTTP:
            headers.popall(name, None)
        return web.Response(status=answer.status, headers=headers, body=answer.body)

    # No application: its router knows paths that are none.
    runner = web.ServerRunner(web.Server(forward, access_log=None, auto_decompress=False))
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        yield f"http://{LOOPBACK}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
