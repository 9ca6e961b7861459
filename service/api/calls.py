"""The arguments of an endpoint: the services, the request, its query and its caller."""

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
    """The services that the endpoints use."""

    images: ImageService
    uploads: UploadService
    depot: Depot
    identity: Identity
    describe: Callable[[], Mapping[str, Any]]  # returns the OpenAPI document
    rates: RateLimiter

    @property
    def settings(self) -> Settings:
        """Return the service's settings."""
        return self.depot.settings


@dataclass(frozen=True, slots=True)
class Call:
    """A request to one operation, with its loaded query."""

    services: Services
    request: ApiRequest
    caller: Caller
    query: Mapping[str, Any]

    @property
    def image_id(self) -> str:
        """Return the image ID in the path. Raises NotFound unless it is a UUID."""
        return image_id_of(self.request.parameters["image_id"])

    def writer(self, said: str | None) -> str:
        """Return the user ID for a request that writes, add it to the log, and count the write.

        `said` is the `user_id` in the request. Raises TooManyRequests and the errors of `Caller.acting_as`.
        """
        user = self.caller.acting_as(said)
        logs.note(user=user)
        self.services.rates.admit(user)
        return user

    def metadata(self, image: Image) -> dict[str, Any]:
        """Return an image's metadata for this caller. Without tokens every image counts as public."""
        return _metadata(image) | ({"visibility": "public"} if self.caller.user_id is None else {})

    def unchanged(self, image: Image) -> bool:
        """Return whether If-Match is absent or has an ETag of the image's current version.

        Accept the ETag of an earlier view of it, because new links change a view but not the image.
        """
        condition = _OF_A_VIEW.sub('"', self.request.headers.get("if-match", "*"))
        return if_match({"if-match": condition}, etag_of(image))

    def url(self, path: str) -> str:
        """Return an absolute URL. A path is relative to the service."""
        return self.request.base_url + path if path.startswith("/") else path


def image_id_of(text: str) -> str:
    """Return an image ID in lower case. Raises NotFound unless it is a UUID."""
    if not is_image_id(image_id := text.lower()):
        raise NotFound("No image or upload has this ID: IDs are UUIDs.")
    return image_id


def etag_of(image: Image) -> str:
    """Return the ETag of an image's metadata: the time of its last edit, which is unique for each version."""
    return f'"{instant(image.updated_at)}"'
