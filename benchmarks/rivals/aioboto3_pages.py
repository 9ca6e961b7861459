"""A page of images with links, as one writes it with aiohttp and aioboto3: clients that the process keeps."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aioboto3
from aiohttp import web
from boto3.dynamodb.conditions import Key
from botocore.config import Config

BUCKET, TABLE, INDEX = "pixdepot", "image-metadata", "user-id-index"
CONFIG = Config(signature_version="s3v4", s3={"addressing_style": "path"}, max_pool_connections=100)
CACHE = "private, max-age=86400, immutable"

S3 = web.AppKey("S3", Any)
IMAGES = web.AppKey("IMAGES", Any)


async def opened(app: web.Application) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        session = aioboto3.Session()
        app[S3] = await stack.enter_async_context(session.client("s3", config=CONFIG))
        dynamodb = await stack.enter_async_context(session.resource("dynamodb", config=CONFIG))
        app[IMAGES] = await dynamodb.Table(TABLE)
        yield


async def health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def list_images(request: web.Request) -> web.Response:
    found = await request.app[IMAGES].query(
        IndexName=INDEX,
        KeyConditionExpression=Key("user_id").eq(request.query["user_id"]),
        ScanIndexForward=False,
        Limit=50,
    )
    images = [await shown(request.app[S3], item) for item in found["Items"]]
    return web.json_response({"images": images, "count": len(images)})


async def shown(s3: Any, item: dict[str, Any]) -> dict[str, Any]:
    """Return an image's metadata, and links to it and to its variants."""
    named = f'inline; filename="{item["filename"]}"'
    variants = {
        each["name"]: {
            "url": await link(s3, each["s3_key"], each["content_type"], "inline"),
            "content_type": each["content_type"],
            "width": int(each["width"]),
            "height": int(each["height"]),
        }
        for each in item["variants"]
    }
    return metadata(item) | {
        "url": await link(s3, item["s3_key"], item["content_type"], named),
        "variants": variants,
    }


async def link(s3: Any, key: str, content_type: str, disposition: str) -> str:
    params = {"Bucket": BUCKET, "Key": key, "ResponseContentType": content_type}
    params |= {"ResponseContentDisposition": disposition, "ResponseCacheControl": CACHE}
    url: str = await s3.generate_presigned_url("get_object", Params=params, ExpiresIn=7200)
    return url


def metadata(item: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of an image: the resource gives numbers as Decimals."""
    texts = ("image_id", "user_id", "title", "description", "filename", "content_type", "sha256", "placeholder")
    numbers = ("file_size", "width", "height")
    return {
        **{name: item[name] for name in texts},
        **{name: int(item[name]) for name in numbers},
        "tags": item["tags"],
        "created_at": item["created_at"],
        "updated_at": item["updated_at"],
    }


def application() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(opened)
    app.router.add_get("/health", health)
    app.router.add_get("/images", list_images)
    return app


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=int(sys.argv[1]), print=None)
