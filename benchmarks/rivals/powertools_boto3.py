"""A function that lists a user's images with links, as one writes it with Powertools and boto3."""

import os
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.metrics import MetricUnit
from boto3.dynamodb.conditions import Key
from botocore.config import Config

BUCKET, TABLE = os.environ["PIXDEPOT_BUCKET"], os.environ["PIXDEPOT_TABLE"]

app = APIGatewayHttpResolver()
logger, metrics = Logger(service="rival"), Metrics(namespace="Rival", service="rival")
s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
table = boto3.resource("dynamodb").Table(TABLE)


@app.get("/images")
def list_images() -> dict[str, Any]:
    user = app.current_event.get_query_string_value("user_id")
    found = table.query(
        IndexName="user-id-index", KeyConditionExpression=Key("user_id").eq(user), ScanIndexForward=False, Limit=50
    )
    images = [shown(item) for item in found["Items"]]
    logger.info("answered", extra={"operation": "list_images"})
    metrics.add_metric("Requests", MetricUnit.Count, 1)
    return {"images": images, "count": len(images)}


def shown(item: dict[str, Any]) -> dict[str, Any]:
    texts = ("image_id", "user_id", "title", "description", "tags", "filename", "content_type", "created_at")
    numbers = {name: int(item[name]) for name in ("file_size", "width", "height")}
    variants = {each["name"]: link(each["s3_key"]) for each in item["variants"]}
    return {name: item[name] for name in texts} | numbers | {"url": link(item["s3_key"]), "variants": variants}


def link(key: str) -> str:
    params = {"Bucket": BUCKET, "Key": key}
    url: str = s3.generate_presigned_url("get_object", Params=params, ExpiresIn=7200)
    return url


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return app.resolve(event, context)
