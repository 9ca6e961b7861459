"""Uploads as most services take them: the body is read, parsed and decoded whole, then sent to S3 and DynamoDB."""

import base64
import io
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aioboto3
from aiohttp import web
from PIL import Image

MOST = 20 * 2**20  # bytes of a body
BUCKET, TABLE = "images", "image-metadata"


@asynccontextmanager
async def application() -> AsyncIterator[web.Application]:
    """Open the clients, and yield what serves `POST /images` and `GET /images/{image_id}`."""
    session = aioboto3.Session()
    async with session.client("s3") as s3, session.client("dynamodb") as dynamodb:

        async def upload(request: web.Request) -> web.Response:
            asked = json.loads(await request.read())
            data = base64.b64decode(asked["image_data"], validate=True)
            with Image.open(io.BytesIO(data)) as picture:
                picture.load()
                size, kind = picture.size, Image.MIME[picture.format or ""]
            image_id = str(uuid.uuid4())
            key = f"images/{image_id}/{asked['filename']}"
            await s3.put_object(Bucket=BUCKET, Key=key, Body=data, ContentType=kind)
            item = {
                **{name: {"S": asked[name]} for name in ("user_id", "title", "filename")},
                "image_id": {"S": image_id},
                "s3_key": {"S": key},
                "content_type": {"S": kind},
                "file_size": {"N": str(len(data))},
                "width": {"N": str(size[0])},
                "height": {"N": str(size[1])},
                "created_at": {"S": datetime.now(UTC).isoformat()},
            }
            await dynamodb.put_item(TableName=TABLE, Item=item)
            return web.json_response({"image_id": image_id, "metadata": _plain(item)}, status=201)

        async def read(request: web.Request) -> web.Response:
            key = {"image_id": {"S": request.match_info["image_id"]}}
            found = await dynamodb.get_item(TableName=TABLE, Key=key)
            if "Item" not in found:
                raise web.HTTPNotFound
            return web.json_response(_plain(dict(found["Item"])))

        app = web.Application(client_max_size=MOST)
        app.router.add_post("/images", upload)
        app.router.add_get("/images/{image_id}", read)
        yield app


def _plain(item: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {name: value for name, attribute in item.items() for value in attribute.values()}
