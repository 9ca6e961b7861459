"""Reads and conditional writes of records in the image table, with safe retries.

The SDK retries a write whose response was lost, and the condition of the retry then fails. So each write stores a
nonce, and a failed condition counts as a success if the record has the write's own nonce.
"""

import logging
import secrets
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from service.domain.errors import Unavailable, explained
from service.domain.model import State

from .items import Attributes, Item, text
from .session import error_code, translated

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

logger = logging.getLogger(__name__)

FAILED_CONDITION = "ConditionalCheckFailedException"
FORGOTTEN = "forgotten"  # the state of an item that keeps only the ID of a deleted image
_NONCES = 32  # kept of each kind of transition, at least: more than come between a write and its retry


class Records:
    """The records of the image table."""

    def __init__(self, dynamodb: "DynamoDBClient", table: str) -> None:
        self._dynamodb, self._table = dynamodb, table

    async def item(self, image_id: str) -> Item | None:
        """Return a record, or None. Also return None if only the ID of a deleted image remains."""
        item = await self.stored(image_id)
        return None if item and item.get("state") == text(FORGOTTEN) else item

    async def stored(self, image_id: str) -> Item | None:
        """Return the item with this ID, also the remains of a deleted image, or None."""
        with translated():
            found = await self._dynamodb.get_item(
                TableName=self._table, Key={"image_id": text(image_id)}, ConsistentRead=True
            )
        return found.get("Item")

    async def transition(
        self,
        name: str,
        image_id: str,
        states: Collection[State],
        changes: Mapping[str, Mapping[str, Any] | None],
        further: tuple[str, Attributes] | None = None,
    ) -> bool:
        """Update attributes (None removes one) of a record in one of `states`; otherwise return False."""
        nonce, nonces = text(secrets.token_urlsafe(6)), f"{name}_nonces"
        sets = [f"#{key} = :{key}" for key, value in changes.items() if value is not None]
        sets.append(f"#{nonces} = list_append(:nonce, if_not_exists(#{nonces}, :none))")
        removes = [f"#{key}" for key, value in changes.items() if value is None]
        values = {f":{key}": dict(value) for key, value in changes.items() if value is not None}
        values |= {":nonce": {"L": [nonce]}, ":none": {"L": []}}
        values |= {f":in_{each}": text(each) for each in states}
        condition = f"#state IN ({', '.join(f':in_{each}' for each in states)})"
        if further:
            condition, values = f"{condition} AND {further[0]}", {**values, **further[1]}
        expression = f"SET {', '.join(sets)}" + (f" REMOVE {', '.join(removes)}" if removes else "")
        names = {f"#{key}": key for key in (*changes, nonces, "state", "updated_at", "deadline")}
        used = {alias: key for alias, key in names.items() if alias in f"{expression} {condition}"}
        with translated():
            try:
                done: Any = await self._dynamodb.update_item(
                    TableName=self._table,
                    Key={"image_id": text(image_id)},
                    UpdateExpression=expression,
                    ConditionExpression=condition,
                    ExpressionAttributeNames=used,
                    ExpressionAttributeValues=values,
                    ReturnValues="UPDATED_NEW",
                )
            except ClientError as error:
                if error_code(error) != FAILED_CONDITION:
                    raise
                item = await self.item(image_id)
                return item is not None and nonce in item.get(nonces, {"L": []})["L"]
        await self._drop_old_nonces(image_id, nonces, len(done["Attributes"][nonces]["L"]))
        return True

    async def _drop_old_nonces(self, image_id: str, name: str, found: int) -> None:
        """Keep the newest of a record's nonces, which come first, where there are too many. It may fail."""
        if found < 2 * _NONCES:  # one further write for so many
            return
        try:
            with translated():
                await self._dynamodb.update_item(
                    TableName=self._table,
                    Key={"image_id": text(image_id)},
                    # Whatever has been added meanwhile, as many of the newest stay.
                    UpdateExpression="REMOVE " + ", ".join(f"#nonces[{n}]" for n in range(_NONCES, found)),
                    ConditionExpression="attribute_exists(#nonces)",
                    ExpressionAttributeNames={"#nonces": name},
                )
        except (Unavailable, ClientError) as error:
            logger.warning(
                "cannot delete old nonces of a record; the next transition retries: %s", explained(error)
            )
