"""The least that an upload can cost: read the body and forget it, and send as many bytes of a picture to S3."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

_PICTURE = memoryview(bytes(10 * 2**20))
_PIECE = 256 * 1024  # bytes


@asynccontextmanager
async def application() -> AsyncIterator[web.Application]:
    """Open a session, and yield what serves `POST /images`."""
    async with aiohttp.ClientSession(os.environ["AWS_ENDPOINT_URL"]) as session:

        async def upload(request: web.Request) -> web.Response:
            async for _ in request.content.iter_any():
                pass
            headers = {"Content-Length": str(len(_PICTURE))}
            async with session.put("/images/a-picture", data=_pieces(), headers=headers) as answer:
                answer.raise_for_status()
            return web.json_response({"image_id": ""}, status=201)

        app = web.Application()
        app.router.add_post("/images", upload)
        yield app


async def _pieces() -> AsyncIterator[memoryview]:
    for at in range(0, len(_PICTURE), _PIECE):
        yield _PICTURE[at : at + _PIECE]
