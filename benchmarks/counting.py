"""A proxy in front of DynamoDB that counts what is read and written, and asks for the capacity it took."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession, web

_WRITES = {"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"}
_HEADERS = ("X-Amz-Target", "Content-Type", "Authorization", "X-Amz-Date")


@dataclass
class Count:
    """What went through: requests, items that were looked at, and capacity units by what they were taken from."""

    requests: int = 0
    items: int = 0
    units: float = 0.0
    write_units: float = 0.0  # those of them that were for writing

    def add(self, operation: str, asked: dict[str, Any], answer: dict[str, Any]) -> None:
        """Count one request. Items are counted before any filter, and keys whether anything was there or not."""
        self.requests += 1
        self.items += answer.get("ScannedCount", 0)
        if operation == "BatchGetItem":
            self.items += sum(len(each["Keys"]) for each in asked["RequestItems"].values())
        self.items += operation == "GetItem"
        answered = answer.get("ConsumedCapacity", [])
        taken = sum(each["CapacityUnits"] for each in ([answered] if isinstance(answered, dict) else answered))
        self.units += taken
        if operation in _WRITES:
            self.write_units += taken


@asynccontextmanager
async def counting(upstream: str) -> AsyncIterator[tuple[str, Count]]:
    """Run the proxy for the length of the block; yield its URL and the count, which may be set back to nothing.

    It changes requests, so it is for servers that check no signature.
    """
    count = Count()
    async with ClientSession() as session:

        async def forward(request: web.Request) -> web.Response:
            asked = {**json.loads(await request.read()), "ReturnConsumedCapacity": "TOTAL"}
            headers = {name: request.headers[name] for name in _HEADERS if name in request.headers}
            async with session.post(upstream, data=json.dumps(asked), headers=headers) as answer:
                body = await answer.read()
            if answer.status == 200:
                count.add(request.headers["X-Amz-Target"].rpartition(".")[2], asked, json.loads(body))
            return web.Response(status=answer.status, body=body, content_type="application/x-amz-json-1.0")

        application = web.Application(client_max_size=2**24)
        application.router.add_post("/", forward)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}", count
        finally:
            await runner.cleanup()
