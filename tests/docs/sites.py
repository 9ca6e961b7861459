"""Folders of files, served as anybody would serve them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from service.server import listen


@asynccontextmanager
async def serving_files(directory: Path) -> AsyncIterator[str]:
    """Serve a folder on a free port, and yield its URL."""
    listening = listen("127.0.0.1", 0)
    app = web.Application()
    app.router.add_static("/", directory)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        await runner.cleanup()
