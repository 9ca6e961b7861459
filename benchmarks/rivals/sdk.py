"""An upload as the SDK's guides show it: clients as they come, with pools of 10, and one call after the other."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aioboto3


@dataclass(frozen=True, slots=True)
class Uploads:
    """Where uploads go."""

    s3: Any
    dynamodb: Any
    bucket: str
    table: str
    index_table: str

    async def upload(self, details: Mapping[str, str], terms: list[str], data: bytes) -> str:
        """Store the object, a pending record and the rows that lists need, then publish; return the id."""
        image_id, now = str(uuid4()), datetime.now(UTC).isoformat()
        key = f"images/{image_id}/original"
        item = {name: {"S": value} for name, value in details.items()}
        position = {"position": {"S": f"{now}#{image_id}"}}
        rows = [{"PutRequest": {"Item": {"term": {"S": term}, **position, **item}}} for term in terms]
        await self.s3.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType="image/jpeg")
        await self.dynamodb.put_item(
            TableName=self.table,
            Item={**item, "image_id": {"S": image_id}, "state": {"S": "pending"}, "created_at": {"S": now}},
            ConditionExpression="attribute_not_exists(image_id)",
        )
        await self.dynamodb.batch_write_item(RequestItems={self.index_table: rows})
        await self.dynamodb.update_item(
            TableName=self.table,
            Key={"image_id": {"S": image_id}},
            UpdateExpression="SET #state = :ready, s3_key = :key, file_size = :size",
            ConditionExpression="#state = :pending",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues={
                ":ready": {"S": "ready"},
                ":pending": {"S": "pending"},
                ":key": {"S": key},
                ":size": {"N": str(len(data))},
            },
        )
        return image_id


@asynccontextmanager
async def opened(bucket: str, table: str, index_table: str) -> AsyncIterator[Uploads]:
    """Open the clients, with what AWS_* says and the SDK's defaults."""
    session = aioboto3.Session()
    async with session.client("s3") as s3, session.client("dynamodb") as dynamodb:
        yield Uploads(s3, dynamodb, bucket, table, index_table)
