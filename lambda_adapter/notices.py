"""What an event tells the events function, through whichever service it came.

S3 notifies functions, topics (SNS), queues (SQS) and an event bus (EventBridge); a topic may deliver to a queue,
and a bus to either. So a notice may be wrapped twice; what is inside is the same.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventNotifications.html
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools.utilities.data_classes import (
    S3Event,
    S3EventBridgeNotificationEvent,
    SNSEvent,
    SQSEvent,
)

from .senders import UnsupportedEvent, described

_SCHEDULERS = frozenset({"aws.events", "aws.scheduler"})  # an EventBridge rule, and EventBridge Scheduler
_WRAPPINGS = 3  # more than AWS's services make


@dataclass(frozen=True, slots=True)
class Arrived:
    """An object was created under this key, which is URL-encoded."""

    key: str


@dataclass(frozen=True, slots=True)
class SweepDue:
    """The schedule says that it is time to sweep."""


Notice = Arrived | SweepDue


def notices(event: Any) -> list[Notice]:
    """Return what an event tells; nothing for S3's test event and for other changes of objects.

    Raises UnsupportedEvent for an event of another kind.
    """
    return list(_read(event, _WRAPPINGS))


def queue_messages(event: Any) -> dict[str, str] | None:
    """Return the messages of a queue's batch by their IDs; None for any other event."""
    if not (isinstance(event, dict) and _from(event, "aws:sqs")):
        return None
    return {each.message_id: each.body for each in SQSEvent(event).records}


def wrapped(message: str) -> Any:
    """Return the event that a message carries. Raises UnsupportedEvent where it carries none."""
    try:
        return json.loads(message)
    except ValueError as error:
        raise UnsupportedEvent("The message is not an event in JSON.") from error


def _read(event: Any, wrappings: int) -> Iterator[Notice]:
    if not (isinstance(event, dict) and wrappings):
        raise _unsupported(event)
    if _from(event, "aws:sns"):
        for each in SNSEvent(event).records:
            yield from _read(wrapped(each.sns.message), wrappings - 1)
    elif event.get("Type") == "Notification" and isinstance(event.get("Message"), str):  # of a topic, in a queue
        yield from _read(wrapped(event["Message"]), wrappings - 1)
    elif _from(event, "aws:s3"):
        created = (each for each in S3Event(event).records if "ObjectCreated:" in each.event_name)
        yield from (Arrived(each.s3.get_object.key) for each in created)
    elif event.get("Event") == "s3:TestEvent":
        # S3 sends it to topics and queues when they are set up.
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
        return
    elif "detail-type" in event:
        yield from _on_bus(event)
    else:
        raise _unsupported(event)


def _on_bus(event: dict[str, Any]) -> Iterator[Notice]:
    source, kind = event.get("source"), event["detail-type"]
    if source in _SCHEDULERS and kind == "Scheduled Event":
        yield SweepDue()
    elif source != "aws.s3":
        raise _unsupported(event)
    elif kind == "Object Created":
        yield Arrived(S3EventBridgeNotificationEvent(event).detail.object["key"])


def _from(event: dict[str, Any], source: str) -> bool:
    """Return whether an event is a batch of records from a service. SNS writes the field's name its own way."""
    records = event.get("Records")
    if not (isinstance(records, list) and records):
        return False
    sources = {each.get("eventSource", each.get("EventSource")) for each in records if isinstance(each, dict)}
    return sources == {source}


def _unsupported(event: Any) -> UnsupportedEvent:
    return UnsupportedEvent(
        "The events function takes S3's notifications (direct, or through SNS, SQS or EventBridge) "
        f"and the schedule's event. This event {described(event)}."
    )
