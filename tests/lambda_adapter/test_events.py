"""What happens without a request: bytes that arrive in storage, and the time to sweep."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote

import pytest

from bootstrap.emulator import AccessKey
from bootstrap.processes import free_port
from lambda_adapter.environment import Environment
from lambda_adapter.events import EventHandler
from lambda_adapter.senders import UnsupportedEvent
from service.domain.errors import Unavailable
from service.domain.model import Details, Expected
from service.settings import Settings
from tests.api.client import some_details
from tests.api.gateway import Context
from tests.aws.stand_in import sdk_environment
from tests.lambda_adapter import shapes
from tests.pictures import picture, sha256_of

DATA = picture(size=(64, 48), seed=12)
NOBODY = "01994d3c-8d00-7abc-8def-0123456789ab"


class Uploads:
    """Direct uploads, and what the function does on events about them."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.handle = EventHandler(environment)
        self.services = environment.runtime.api.services

    def begun(self, data: bytes = DATA) -> str:
        """Return the id of an upload whose bytes have not arrived."""
        details = Details(**some_details(description="", tags=()))
        upload, _ = self.environment.run(
            self.services.uploads.begin(details, Expected("PUT", "image/jpeg", len(data)))
        )
        return upload.image_id

    def arrive(self, image_id: str, data: bytes = DATA) -> None:
        """Put an upload's bytes into the storage."""
        objects = self.services.depot.objects
        self.environment.run(objects.put(f"uploads/{image_id}", data, "image/jpeg"))

    def arrived(self, data: bytes = DATA) -> str:
        """Return the id of an upload whose bytes are there."""
        image_id = self.begun(data)
        self.arrive(image_id, data)
        return image_id

    def on(self, *keys: str) -> dict[str, Any]:
        """Return what the function did about objects under these keys."""
        return self.told(shapes.s3(*keys))

    def told(self, event: Any) -> dict[str, Any]:
        """Return what the function did on an event."""
        return self.handle(event, Context())  # type: ignore[arg-type]

    def due(self) -> str:
        """Return the id of a deleted image whose time to be swept has come."""
        image_id = self.arrived()
        self.on(f"uploads/{image_id}")
        self.environment.run(self.services.images.delete(image_id, "ada", viewer=None))
        with self._records() as records:
            records.execute("UPDATE images SET deadline = 0 WHERE image_id = ?", [image_id])
        return image_id

    def is_kept(self, image_id: str) -> bool:
        """Return whether the deleted image still has its record."""
        with self._records() as records:
            found = records.execute("SELECT deadline FROM images WHERE image_id = ?", [image_id]).fetchone()
        return found is not None and found[0] is not None

    @contextmanager
    def _records(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.services.settings.data_dir / "pixdepot.db")) as records, records:
            yield records

    def state(self, image_id: str) -> str:
        """Return how far an upload is."""
        return self.environment.run(self.services.uploads.status(image_id, None)).state.value


@pytest.fixture(scope="module")
def uploads(environment: Environment) -> Uploads:
    """Return uploads in an environment that the tests share."""
    return Uploads(environment)


# ---------------------------------------------------------------- bytes that arrive


def test_an_upload_is_published_when_its_bytes_arrive(uploads: Uploads) -> None:
    image_id = uploads.arrived()
    assert uploads.on(f"uploads/{image_id}") == {"published": 1, "refused": 0}
    image = uploads.environment.run(uploads.services.images.image(image_id, None))
    assert image.content.sha256 == sha256_of(DATA)


def test_keys_come_url_encoded(uploads: Uploads) -> None:
    image_id = uploads.arrived()
    assert uploads.on(quote(f"uploads/{image_id}", safe="")) == {"published": 1, "refused": 0}


def test_one_event_may_tell_of_several_objects(uploads: Uploads) -> None:
    ids = [uploads.arrived(picture(seed=seed)) for seed in range(3)]
    assert uploads.on(*(f"uploads/{image_id}" for image_id in ids)) == {"published": 3, "refused": 0}
    assert {uploads.state(image_id) for image_id in ids} == {"ready"}


def test_an_event_that_comes_twice_changes_nothing(uploads: Uploads) -> None:
    key = f"uploads/{uploads.arrived()}"
    assert uploads.on(key, key) == {"published": 1, "refused": 0}
    first = uploads.environment.run(uploads.services.images.image(key.removeprefix("uploads/"), None))
    assert uploads.on(key) == {"published": 1, "refused": 0}
    assert uploads.environment.run(uploads.services.images.image(first.image_id, None)) == first


def test_an_event_that_comes_before_the_bytes_can_be_seen_leaves_the_upload_open(uploads: Uploads) -> None:
    image_id = uploads.begun()
    assert uploads.on(f"uploads/{image_id}") == {"published": 0, "refused": 1}
    assert uploads.state(image_id) == "pending"
    uploads.arrive(image_id)
    assert uploads.on(f"uploads/{image_id}") == {"published": 1, "refused": 0}


def test_an_event_that_comes_after_the_upload_was_completed_by_hand_gives_the_same_image(uploads: Uploads) -> None:
    image_id = uploads.arrived()
    by_hand = uploads.environment.run(uploads.services.uploads.complete(image_id, None))
    assert uploads.on(f"uploads/{image_id}") == {"published": 1, "refused": 0}
    assert uploads.environment.run(uploads.services.images.image(image_id, None)) == by_hand


def test_bytes_that_are_no_picture_are_recorded_on_the_upload(uploads: Uploads) -> None:
    image_id = uploads.arrived(b"%PDF-1.7 not a picture")
    assert uploads.on(f"uploads/{image_id}") == {"published": 0, "refused": 1}
    upload = uploads.environment.run(uploads.services.uploads.status(image_id, None))
    assert upload.failure
    assert upload.failure.code == "unsupported_image"


def test_one_refusal_does_not_keep_others_from_being_published(uploads: Uploads) -> None:
    good, bad = uploads.arrived(), uploads.arrived(b"GIF89a broken")
    assert uploads.on(f"uploads/{bad}", f"uploads/{good}") == {"published": 1, "refused": 1}


@pytest.mark.parametrize(
    "key",
    [
        f"uploads/{NOBODY}", f"uploads/{NOBODY}/more", f"uploads/{NOBODY.upper()}", f"images/{NOBODY}/original",
        "uploads/", "uploads/readme.txt", "uploads/%00", "functions.zip",
    ],
)  # fmt: skip
def test_objects_that_are_nobody_s_upload_are_no_failure(uploads: Uploads, key: str) -> None:
    assert uploads.on(key)["published"] == 0


def test_a_cancelled_upload_does_not_come_back(uploads: Uploads) -> None:
    image_id = uploads.begun()
    uploads.environment.run(uploads.services.uploads.cancel(image_id, None))
    uploads.arrive(image_id)
    assert uploads.on(f"uploads/{image_id}") == {"published": 0, "refused": 1}


# ---------------------------------------------------------------- what is tried again


@pytest.fixture
def unreachable() -> Iterator[Environment]:
    """Return an environment whose backend does not answer."""
    with sdk_environment(f"http://127.0.0.1:{free_port()}", AccessKey("nobody", "nothing")):
        environment = Environment(Settings(backend="aws"))
        environment.runtime  # noqa: B018 - the SDK reads its settings now
    yield environment
    environment.close()


@pytest.mark.parametrize("happened", [shapes.s3(f"uploads/{NOBODY}"), shapes.schedule()])
def test_a_backend_that_does_not_answer_is_raised_so_that_the_event_comes_again(
    unreachable: Environment, happened: dict[str, Any]
) -> None:
    with pytest.raises(Unavailable):
        EventHandler(unreachable)(happened, Context())  # type: ignore[arg-type]


# ---------------------------------------------------------------- by which ways

Way = Callable[[str], dict[str, Any]]
WAYS: dict[str, Way] = {
    "direct": shapes.s3,
    "SNS": lambda key: shapes.sns(shapes.s3(key)),
    "EventBridge": shapes.event_bridge,
    "EventBridge to SNS": lambda key: shapes.sns(shapes.event_bridge(key)),
}
QUEUED: dict[str, Way] = {
    "direct": shapes.s3,
    "SNS": lambda key: shapes.sns_in_queue(shapes.s3(key)),
    "EventBridge": shapes.event_bridge,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_an_upload_is_published_by_whichever_way_its_event_comes(uploads: Uploads, way: Way) -> None:
    image_id = uploads.arrived()
    assert uploads.told(way(f"uploads/{image_id}")) == {"published": 1, "refused": 0}
    assert uploads.state(image_id) == "ready"


@pytest.mark.parametrize("way", QUEUED.values(), ids=QUEUED.keys())
def test_an_upload_is_published_by_whichever_message_a_queue_has(uploads: Uploads, way: Way) -> None:
    ids = [uploads.arrived(picture(seed=seed)) for seed in range(2)]
    batch = shapes.sqs(*(way(f"uploads/{image_id}") for image_id in ids))
    assert uploads.told(batch) == {"batchItemFailures": []}
    assert {uploads.state(image_id) for image_id in ids} == {"ready"}


@pytest.mark.parametrize(
    "event",
    [
        shapes.s3_test(), shapes.sns(shapes.s3_test()),
        shapes.s3(f"uploads/{NOBODY}", name="ObjectRemoved:Delete"),
        shapes.event_bridge(f"uploads/{NOBODY}", kind="Object Deleted"),
    ],
)  # fmt: skip
def test_what_tells_of_no_new_object_is_passed_over(uploads: Uploads, event: dict[str, Any]) -> None:
    assert uploads.told(event) == {"published": 0, "refused": 0}
    assert (
        uploads.told(shapes.sqs(event if "Sns" not in str(event) else shapes.s3_test()))["batchItemFailures"] == []
    )


def test_of_a_batch_only_the_messages_that_failed_come_again(uploads: Uploads) -> None:
    image_id = uploads.arrived()
    batch = shapes.sqs("no JSON", shapes.s3(f"uploads/{image_id}"), shapes.other_on_bus())
    failed = [{"itemIdentifier": "message-0"}, {"itemIdentifier": "message-2"}]
    assert uploads.told(batch) == {"batchItemFailures": failed}
    assert uploads.state(image_id) == "ready"


def test_a_batch_that_failed_as_a_whole_is_raised(unreachable: Environment) -> None:
    batch = shapes.sqs(*(shapes.s3(f"uploads/{NOBODY[:-1]}{n}") for n in range(2)))
    with pytest.raises(Unavailable):
        EventHandler(unreachable)(batch, Context())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "event",
    [
        {}, [], None, "sweep", {"Records": []}, {"Records": [{"eventSource": "aws:kinesis"}]},
        shapes.other_on_bus(), shapes.rest("GET", "/images"), shapes.http("GET", "/images"),
        shapes.load_balancer(), shapes.sns("no event"), shapes.sns(shapes.sns_in_queue(shapes.sns_in_queue({}))),
        {"source": "aws.events"}, {"detail-type": "Scheduled Event"},
    ],
)  # fmt: skip
def test_an_event_of_another_kind_is_told_and_sweeps_nothing(uploads: Uploads, event: Any) -> None:
    image_id = uploads.due()
    with pytest.raises(UnsupportedEvent, match=r"events function takes|not the JSON"):
        uploads.told(event)
    assert uploads.is_kept(image_id)


# ---------------------------------------------------------------- the schedule


@pytest.mark.parametrize("event", [shapes.schedule(), shapes.scheduler()], ids=["rule", "scheduler"])
def test_the_schedule_sweeps(uploads: Uploads, event: dict[str, Any]) -> None:
    uploads.told(shapes.schedule())
    image_id = uploads.due()
    assert uploads.told(event) == {"removed": 1, "failed": 0}
    assert not uploads.is_kept(image_id)
    assert uploads.told(event) == {"removed": 0, "failed": 0}
