"""What happens without a request: an upload's bytes have arrived (S3), or it is time to sweep (a schedule).

Set as the function's handler: `lambda_adapter.events.handler`.
"""

import asyncio
import re
from typing import Any
from urllib.parse import unquote_plus

from aws_lambda_powertools.utilities.typing import LambdaContext

from service.errors import PixdepotError, Unavailable
from service.uploads import UploadService

from .environment import Environment
from .logs import logger

# Which upload an object belongs to; anything else below the prefix is none of ours.
_UPLOAD_KEY = re.compile(r"uploads/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


class EventHandler:
    """Runs the service's own operations on events. Events may come twice, late, and in any order."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def __call__(self, event: dict[str, Any], _: LambdaContext) -> dict[str, int]:
        """Return what was done. Raises for what should be tried again; S3 and the schedule do."""
        runtime = self._environment.runtime
        if "Records" in event:
            return self._environment.run(_complete(runtime.api.services.uploads, event["Records"]))
        swept = self._environment.run(runtime.sweeper.sweep())
        return {"removed": swept.removed, "failed": swept.failed}


async def _complete(uploads: UploadService, records: list[dict[str, Any]]) -> dict[str, int]:
    keys = dict.fromkeys(unquote_plus(each["s3"]["object"]["key"]) for each in records)
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


_act = EventHandler(Environment())


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, int]:
    """Act on one event. Opens the service on the first."""
    return _act(event, context)
