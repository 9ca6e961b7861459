"""One image's metadata and links by FastAPI on uvicorn, with what each request of ours has as well.

That is: an id taken or made and given back, CORS, a line of JSON in the log, a deadline, and links signed by HMAC.
The middleware is plain ASGI, since Starlette's BaseHTTPMiddleware costs more; models are Pydantic's, as usual.
"""

import asyncio
import hmac
import json
import logging
import sys
import time
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.middleware.cors import CORSMiddleware
from pydantic import BaseModel

from benchmarks.without_backend import ORIGIN, image

logger = logging.getLogger("rival")


class Metadata(BaseModel):
    image_id: str
    user_id: str
    title: str
    description: str
    tags: list[str]
    filename: str
    visibility: str
    content_type: str
    file_size: int
    created_at: datetime
    updated_at: datetime
    sha256: str
    width: int
    height: int
    placeholder: str


class Variant(BaseModel):
    url: str
    content_type: str
    width: int
    height: int


class View(BaseModel):
    image_id: str
    metadata: Metadata
    url: str
    url_expires_at: datetime
    variants: dict[str, Variant]


class Requests:
    """Gives each request an id and a deadline, and logs a line for it."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = next((value.decode() for name, value in scope["headers"] if name == b"x-request-id"), None)
        request_id, status, started = given or uuid.uuid4().hex, 0, time.perf_counter()

        async def answer(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", request_id.encode()))
            await send(message)

        async with asyncio.timeout(12):
            await self.app(scope, receive, answer)
        spent = round((time.perf_counter() - started) * 1000, 1)
        facts = {"message": "answered", "request_id": request_id, "method": scope["method"], "status": status}
        logger.info(json.dumps({"time": datetime.now(UTC).isoformat(), "level": "INFO", **facts, "ms": spent}))


app = FastAPI()
app.add_middleware(Requests)
app.add_middleware(CORSMiddleware, allow_origins=[ORIGIN], expose_headers=["ETag", "X-Request-ID"])
known = {image().image_id: image()}


@app.get("/health")
async def get_health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/images/{image_id}")
async def get_image(image_id: str, metadata_only: bool = False) -> View:  # noqa: ARG001 - the same route as ours
    found = known.get(image_id)
    if found is None:
        raise HTTPException(404)
    ends = int(time.time()) // 3600 * 3600 + 7200
    said, content = found.details, found.content
    return View(
        image_id=image_id,
        metadata=Metadata(
            image_id=image_id,
            user_id=said.user_id,
            title=said.title,
            description=said.description,
            tags=list(said.tags),
            filename=said.filename,
            visibility="public",  # as ours says where callers are not told apart
            content_type=content.content_type,
            file_size=content.file_size,
            created_at=found.created_at,
            updated_at=found.updated_at,
            sha256=content.sha256,
            width=content.width,
            height=content.height,
            placeholder=content.placeholder,
        ),
        url=link(found.object_key, content.content_type, f'inline; filename="{said.filename}"', ends),
        url_expires_at=datetime.fromtimestamp(ends, UTC),
        variants={
            each.name: Variant(
                url=link(each.object_key, each.content_type, "inline", ends),
                content_type=each.content_type,
                width=each.width,
                height=each.height,
            )
            for each in found.variants
        },
    )


def link(key: str, content_type: str, disposition: str, ends: int) -> str:
    query = urlencode({"disposition": disposition, "expires": ends, "type": content_type, "version": 2})
    path = f"/storage/{quote(key)}?{query}"
    signature = hmac.digest(b"k" * 32, path.encode(), "sha256").hex()
    return f"http://127.0.0.1{path}&signature={signature}"


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False, timeout_keep_alive=75
    )
