"""What an operation is called with: the services, the request and its query, and who is calling."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.domain.errors import NotFound
from service.domain.model import Image, is_image_id
from service.operations.depot import Depot
from service.operations.images import ImageService
from service.operations.limits import RateLimiter
from service.operations.uploads import UploadService
from service.settings import Settings
from service.telemetry import logs

from . import answers
from .fields import instant
from .http import ApiRequest, if_match
from .identity import Caller, Identity

_OF_A_VIEW = re.compile('/[0-9a-f]{16}"')
_metadata = answers.dumper(answers.Metadata)


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the operations need."""

    images: ImageService
    uploads: UploadService
    depot: Depot
    identity: Identity
    describe: Callable[[], Mapping[str, Any]]  # the API, as OpenAPI
    rates: RateLimiter

    @property
    def settings(self) -> Settings:
        """Return the service's settings."""
        return self.depot.settings


@dataclass(frozen=True, slots=True)
class Call:
    """A request to one operation, its query already loaded."""

    services: Services
    request: ApiRequest
    caller: Caller
    query: Mapping[str, Any]

    @property
    def image_id(self) -> str:
        """Return the id in the path. Raises NotFound unless it is a UUID."""
        return image_id_of(self.request.parameters["image_id"])

    def writer(self, said: str | None) -> str:
        """Return who does what the request asks for; `said` is its own word. The log knows from then on.

        Raises what `Caller.acting_as` raises, and TooManyRequests.
        """
        user = self.caller.acting_as(said)
        logs.note(user=user)
        self.services.rates.admit(user)
        return user

    def metadata(self, image: Image) -> dict[str, Any]:
        """Return an image's metadata as this caller sees it: without tokens every image is public in effect."""
        return _metadata(image) | ({"visibility": "public"} if self.caller.user_id is None else {})

    def unchanged(self, image: Image) -> bool:
        """Return whether If-Match is absent or names an ETag of the image as it is.

        The links of a view change by the hour. That is another representation, and no change of the image.
        """
        condition = _OF_A_VIEW.sub('"', self.request.headers.get("if-match", "*"))
        return if_match({"if-match": condition}, etag_of(image))

    def url(self, path: str) -> str:
        """Return a URL of this service, or of its local storage."""
        return self.request.base_url + path if path.startswith("/") else path


def image_id_of(text: str) -> str:
    """Return an id as it is stored. Raises NotFound unless it is a UUID."""
    if not is_image_id(image_id := text.lower()):
        raise NotFound("No image or upload has this ID: IDs are UUIDs.")
    return image_id


def etag_of(image: Image) -> str:
    """Return the ETag of an image's metadata: every state of it has a time of its own."""
    return f'"{instant(image.updated_at)}"'
