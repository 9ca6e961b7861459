"""What happens without a request: bytes that arrive in storage, and the time to sweep."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest

from bootstrap.emulator import AccessKey
from bootstrap.processes import free_port
from lambda_adapter.environment import Environment
from lambda_adapter.events import EventHandler
from service.errors import Unavailable
from service.model import Details, Expected
from service.settings import Settings
from tests.api.client import some_details
from tests.api.gateway import Context
from tests.aws.stand_in import sdk_environment
from tests.pictures import picture, sha256_of

DATA = picture(size=(64, 48), seed=12)
NOBODY = "01994d3c-8d00-7abc-8def-0123456789ab"
SCHEDULED = {"version": "0", "source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


def event(*keys: str) -> dict[str, Any]:
    """Return what S3 says when objects were created."""
    bucket = {"name": "pixdepot", "arn": "arn:aws:s3:::pixdepot"}
    return {
        "Records": [
            {"eventName": "ObjectCreated:Put", "s3": {"bucket": bucket, "object": {"key": key, "size": 1}}}
            for key in keys
        ]
    }


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

    def on(self, *keys: str) -> dict[str, int]:
        """Return what the function did about objects under these keys."""
        return self.handle(event(*keys), Context())  # type: ignore[arg-type]

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


@pytest.mark.parametrize("happened", [event(f"uploads/{NOBODY}", f"uploads/{NOBODY[:-1]}0"), SCHEDULED])
def test_a_backend_that_does_not_answer_is_raised_so_that_the_event_comes_again(
    unreachable: Environment, happened: dict[str, Any]
) -> None:
    with pytest.raises(Unavailable):
        EventHandler(unreachable)(happened, Context())  # type: ignore[arg-type]


# ---------------------------------------------------------------- the schedule


def test_the_schedule_sweeps(uploads: Uploads) -> None:
    image_id = uploads.arrived()
    uploads.on(f"uploads/{image_id}")
    uploads.environment.run(uploads.services.images.delete(image_id, "ada", viewer=None))
    database = uploads.services.settings.data_dir / "pixdepot.db"
    with closing(sqlite3.connect(database)) as records, records:  # as if its time had come
        records.execute("UPDATE images SET deadline = 0 WHERE image_id = ?", [image_id])
    assert uploads.handle(SCHEDULED, Context()) == {"removed": 1, "failed": 0}  # type: ignore[arg-type]
    assert uploads.handle(SCHEDULED, Context()) == {"removed": 0, "failed": 0}  # type: ignore[arg-type]
