"""S3 and DynamoDB as far as an upload needs them, in a process of their own, taking as long as they are told to.

Objects are thrown away as they come, items are kept to be read again; every other call is simply well. It costs
both sides of a benchmark the same.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from bootstrap.processes import LOOPBACK, free_port, path_variable, running_child

_ALIVE = "/alive"


@asynccontextmanager
async def stand_in(place: Path, delay: timedelta = timedelta()) -> AsyncIterator[str]:
    """Run it for the length of the block, its log in a directory; yield its URL. Each call takes `delay`."""
    port = free_port()
    command = (sys.executable, "-m", __name__, str(port), str(delay.total_seconds()))
    async with running_child(command, env=path_variable(), log=place / "stand-in.log") as child:
        await child.until_answers(f"http://{LOOPBACK}:{port}{_ALIVE}")
        yield f"http://{LOOPBACK}:{port}"


def _application(delay: float) -> web.Application:
    items: dict[str, Any] = {}

    async def storage(request: web.Request) -> web.Response:
        async for _ in request.content.iter_any():
            pass
        await asyncio.sleep(delay)
        return web.Response(headers={"ETag": '"0"'})

    async def database(request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        await asyncio.sleep(delay)
        answer = {}
        match request.headers["X-Amz-Target"].partition(".")[2]:
            case "PutItem":
                items[_key(asked["Item"])] = asked["Item"]
            case "GetItem" if _key(asked["Key"]) in items:
                answer = {"Item": items[_key(asked["Key"])]}
        return web.json_response(answer, content_type="application/x-amz-json-1.0")

    app = web.Application(client_max_size=2**24)
    app.router.add_get(_ALIVE, lambda _: web.Response())
    app.router.add_post("/", database)
    app.router.add_route("*", "/{key:.+}", storage)
    return app


def _key(item: dict[str, Any]) -> str:
    """Return what an item is kept under: its id, if it has one, or what a row of a list has for it."""
    return json.dumps([item.get(name) for name in ("image_id", "term", "position")])


if __name__ == "__main__":
    web.run_app(_application(float(sys.argv[2])), host=LOOPBACK, port=int(sys.argv[1]), access_log=None)
