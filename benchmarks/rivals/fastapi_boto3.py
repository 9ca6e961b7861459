"""Lists, views and uploads as one writes them with FastAPI and boto3: plain functions, in its threadpool."""

import base64
import hashlib
import io
import sys
import uuid
from datetime import UTC, datetime
from typing import Any

import boto3
import uvicorn
from boto3.dynamodb.conditions import Key
from botocore.config import Config
from fastapi import FastAPI, HTTPException
from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel

BUCKET, TABLE, INDEX = "pixdepot", "image-metadata", "user-id-index"
CONFIG = Config(signature_version="s3v4", s3={"addressing_style": "path"}, max_pool_connections=100)
CACHE = "private, max-age=86400, immutable"
SIZES = {"thumb": 320, "display": 1080}

app = FastAPI()
s3 = boto3.client("s3", config=CONFIG)
table = boto3.resource("dynamodb", config=CONFIG).Table(TABLE)


class Metadata(BaseModel):
    image_id: str
    user_id: str
    title: str
    description: str = ""
    tags: list[str] = []
    filename: str
    content_type: str
    file_size: int
    created_at: str
    updated_at: str
    sha256: str
    width: int
    height: int
    placeholder: str = ""


class Variant(BaseModel):
    url: str
    content_type: str
    width: int
    height: int


class Item(Metadata):
    url: str
    variants: dict[str, Variant]


class Listing(BaseModel):
    images: list[Item]
    count: int


class View(BaseModel):
    image_id: str
    metadata: Metadata
    url: str
    variants: dict[str, Variant]


class Upload(BaseModel):
    user_id: str
    title: str
    description: str = ""
    tags: list[str] = []
    filename: str
    image_data: str


class Published(BaseModel):
    message: str
    image_id: str
    metadata: Metadata


@app.get("/health")
def get_health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/images")
def list_images(user_id: str) -> Listing:
    found = table.query(
        IndexName=INDEX, KeyConditionExpression=Key("user_id").eq(user_id), ScanIndexForward=False, Limit=50
    )
    images = [Item(**item | links(item)) for item in found["Items"]]
    return Listing(images=images, count=len(images))


@app.get("/images/{image_id}")
def get_image(image_id: str, metadata_only: bool = False) -> View:  # noqa: ARG001 - the same route as ours
    item = table.get_item(Key={"image_id": image_id}, ConsistentRead=True).get("Item")
    if item is None:
        raise HTTPException(404)
    return View(image_id=image_id, metadata=Metadata(**item), **links(item))


@app.post("/images", status_code=201)
def upload_image(upload: Upload) -> Published:
    data, image_id = base64.b64decode(upload.image_data, validate=True), str(uuid.uuid4())
    try:
        picture = Image.open(io.BytesIO(data))
        picture.load()
    except (UnidentifiedImageError, OSError) as error:
        raise HTTPException(422) from error
    content_type, place = Image.MIME[picture.format or ""], f"images/{image_id}"
    s3.put_object(Bucket=BUCKET, Key=f"{place}/original", Body=data, ContentType=content_type)
    variants = [variant(picture, name, f"{place}/{name}") for name in SIZES]
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    item = {
        **upload.model_dump(exclude={"image_data"}),
        "image_id": image_id,
        "content_type": content_type,
        "file_size": len(data),
        "created_at": now,
        "updated_at": now,
        "sha256": hashlib.sha256(data).hexdigest(),
        "width": picture.width,
        "height": picture.height,
        "s3_key": f"{place}/original",
        "variants": variants,
    }
    table.put_item(Item=item)
    return Published(message="Image uploaded successfully", image_id=image_id, metadata=Metadata(**item))


def variant(picture: Image.Image, name: str, key: str) -> dict[str, Any]:
    """Make a smaller picture and store it."""
    smaller, encoded = picture.copy(), io.BytesIO()
    smaller.thumbnail((SIZES[name], SIZES[name]))
    smaller.save(encoded, "WEBP")
    s3.put_object(Bucket=BUCKET, Key=key, Body=encoded.getvalue(), ContentType="image/webp")
    size = {"width": smaller.width, "height": smaller.height}
    return {"name": name, "s3_key": key, "content_type": "image/webp", **size}


def links(item: dict[str, Any]) -> dict[str, Any]:
    """Return links to an image and to its variants."""
    variants = {
        each["name"]: {**each, "url": link(each["s3_key"], each["content_type"], "inline")}
        for each in item["variants"]
    }
    named = f'inline; filename="{item["filename"]}"'
    return {"url": link(item["s3_key"], item["content_type"], named), "variants": variants}


def link(key: str, content_type: str, disposition: str) -> str:
    params = {"Bucket": BUCKET, "Key": key, "ResponseContentType": content_type}
    params |= {"ResponseContentDisposition": disposition, "ResponseCacheControl": CACHE}
    url: str = s3.generate_presigned_url("get_object", Params=params, ExpiresIn=7200)
    return url


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False, timeout_keep_alive=75
    )
