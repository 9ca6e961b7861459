"""As much of AWS as lists, views and uploads need: canned answers, the same and as quick for whoever asks.

It checks nothing and keeps nothing. The table has two users with a page of images each: `photos`, with both
variants, and `plain`, with none. `running_stub` has it in a process of its own.
"""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web

from benchmarks.library import dynamodb_item, library, with_variants
from bootstrap.emulator import AccessKey
from bootstrap.processes import LOOPBACK, free_port, path_variable, running_child
from service.domain.model import Image
from service.settings import Settings

PAGE = 50
PHOTOS, PLAIN = "photos", "plain"

_KEY = AccessKey("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
_SECRET = {"Item": {"value": {"B": base64.b64encode(b"k" * 32).decode()}}}


@cache
def images(user: str) -> list[Image]:
    """Return a user's images, newest first."""
    some = library(PAGE, seed=len(user))
    found = list(with_variants(some) if user == PHOTOS else some)[::-1]
    return [replace(each, details=replace(each.details, user_id=user)) for each in found]


class _Tables:
    """DynamoDB's answers, ready-made."""

    def __init__(self) -> None:
        items = {user: [dynamodb_item(each) for each in images(user)] for user in (PHOTOS, PLAIN)}
        every = [item for user in items for item in items[user]]
        self._pages = {user: _json(_page(found)) for user, found in items.items()}
        self._items = {item["image_id"]["S"]: _json({"Item": item}) for item in every}

    def answer(self, operation: str, asked: bytes) -> bytes:
        """Return the body of an answer."""
        if operation == "Query":
            values = json.loads(asked)["ExpressionAttributeValues"].values()
            pages = (self._pages[each["S"]] for each in values if each.get("S") in self._pages)
            return next(pages, _json(_page([])))
        if operation == "GetItem":
            key = json.loads(asked)["Key"]
            return self._items.get(key["image_id"]["S"], b"{}") if "image_id" in key else _json(_SECRET)
        # A write, done. Of what it changed only the nonces are asked for.
        changed = json.loads(asked).get("ExpressionAttributeNames", {}).values()
        return _json({"Attributes": {name: {"L": []} for name in changed if name.endswith("_nonces")}})


def _page(items: list[Any]) -> dict[str, Any]:
    return {"Items": items, "Count": len(items), "ScannedCount": len(items)}


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode()


async def _serve(port: int, delay: float) -> None:
    tables = _Tables()

    async def answer(request: web.Request) -> web.Response:
        target = request.headers.get("X-Amz-Target")
        if target is None:  # S3: an object is put, or somebody looks whether anybody is there
            async for _ in request.content.iter_any():
                pass
            await asyncio.sleep(delay)
            return web.Response(headers={"ETag": '"e"'})
        answered = tables.answer(target.rpartition(".")[2], await request.read())
        await asyncio.sleep(delay)
        return web.Response(body=answered, content_type="application/x-amz-json-1.0")

    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    await asyncio.Event().wait()


@asynccontextmanager
async def running_stub(directory: Path, delay: timedelta = timedelta()) -> AsyncIterator[dict[str, str]]:
    """Run it for the length of the block; yield the environment in which the SDK, and the service, find it.

    Each call takes `delay` more.
    """
    port = free_port()
    command = (sys.executable, "-m", "benchmarks.stub", str(port), str(delay.total_seconds()))
    async with running_child(command, env=path_variable(), log=directory / "stub.log") as child:
        await child.until_answers(f"http://{LOOPBACK}:{port}/")
        yield {
            "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{port}",
            "AWS_ACCESS_KEY_ID": _KEY.access_key,
            "AWS_SECRET_ACCESS_KEY": _KEY.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            **Settings(backend="aws", sweep_interval=3600).environment(),
        }


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
