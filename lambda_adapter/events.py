"""What happens without a request: an upload's bytes have arrived (S3), or it is time to sweep (a schedule).

Set as the function's handler: `lambda_adapter.events.handler`.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus

from aws_lambda_powertools.utilities.typing import LambdaContext

from service.domain.errors import PixdepotError, Unavailable
from service.operations.uploads import UploadService
from service.runtime import Runtime

from .environment import Environment
from .logs import logger
from .notices import Arrived, Notice, SweepDue, notices, queue_messages, wrapped

# Which upload an object belongs to; anything else below the prefix is none of ours.
_UPLOAD_KEY = re.compile(r"uploads/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


class EventHandler:
    """Runs the service's own operations on events. Events may come twice, late, and in any order."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def __call__(self, event: Any, _: LambdaContext) -> dict[str, Any]:
        """Return what was done, or for a queue's batch which messages failed.

        Raises for what should be tried again: S3, SNS, EventBridge and the schedule do. Raises UnsupportedEvent for
        an event of another kind.
        """
        runtime = self._environment.runtime
        messages = queue_messages(event)
        work = _act(runtime, notices(event)) if messages is None else _act_on_batch(runtime, messages)
        return self._environment.run(work)


async def _act(runtime: Runtime, told: Sequence[Notice]) -> dict[str, Any]:
    """Sweep or complete uploads, as the notices say, and return how much was done."""
    if SweepDue() in told:
        swept = await runtime.sweeper.sweep()
        return {"removed": swept.removed, "failed": swept.failed}
    return await _complete(runtime.api.services.uploads, [each.key for each in told if isinstance(each, Arrived)])


async def _act_on_batch(runtime: Runtime, messages: Mapping[str, str]) -> dict[str, Any]:
    """Act on each message of a queue, by its ID, and return which have failed: only those come again.

    Where all have failed the last error is raised, which counts whatever the queue's mapping asks for.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    failed: dict[str, Exception] = {}
    for message_id, body in messages.items():
        try:
            await _act(runtime, notices(wrapped(body)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other messages have nothing to do with it
            logger.exception("message failed", message_id=message_id)
            failed[message_id] = error
    if len(failed) == len(messages):
        raise next(reversed(failed.values()))
    return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}


async def _complete(uploads: UploadService, encoded_keys: Sequence[str]) -> dict[str, int]:
    keys = dict.fromkeys(unquote_plus(each) for each in encoded_keys)
    ids = [found[1] for key in keys if (found := _UPLOAD_KEY.fullmatch(key))]
    completes = (_complete_one(uploads, image_id) for image_id in ids)
    # All run to their end even when one fails: nothing may be under way when the environment is frozen.
    outcomes = await asyncio.gather(*completes, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return {"published": outcomes.count(True), "refused": outcomes.count(False)}


async def _complete_one(uploads: UploadService, image_id: str) -> bool:
    """Return whether the upload is published now. Raises Unavailable, to be tried again."""
    try:
        await uploads.complete(image_id, None)
    except Unavailable:
        raise
    except PixdepotError as error:
        # Refused bytes are on the upload's record; cancelled, expired and swept uploads are nobody's any more.
        logger.info("not published", image_id=image_id, code=error.code)
        return False
    return True


_act_on = EventHandler(Environment())


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Act on one event. Opens the service on the first."""
    return _act_on(event, context)
