"""The table of operations. Routes, OpenAPI, metrics and logs are built from it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from marshmallow import Schema

from service.domain import errors
from service.domain.errors import PixdepotError

from . import answers, endpoints, schemas
from .calls import Call
from .http import ApiResponse

Endpoint = Callable[[Call], Awaitable[ApiResponse]]


@dataclass(frozen=True, slots=True)
class Operation:
    """A row of the table of operations.

    `errors` are the errors that not every operation has. An `anonymous` operation needs no token. A `keyed`
    operation accepts an Idempotency-Key.
    """

    method: str
    path: str
    perform: Endpoint
    answer: type[Schema]
    status: int = 200
    query: type[Schema] = schemas.NoQuery
    body: type[Schema] | None = None
    form: type[Schema] | None = None
    keyed: bool = False
    errors: tuple[type[PixdepotError], ...] = ()
    anonymous: bool = False

    @property
    def name(self) -> str:
        """Return the stable name of the operation in OpenAPI (operationId), logs and metrics."""
        return self.perform.__name__


OPERATIONS = (
    Operation(
        "POST", "/images", endpoints.upload_image, answers.Published, 201,
        body=schemas.ImageBody, form=schemas.ImageForm, keyed=True,
        errors=(
            errors.InvalidJson, errors.InvalidBase64, errors.InvalidFilename, errors.InvalidTags,
            errors.TypeMismatch, errors.UserMismatch, errors.TooLarge, errors.UnsupportedMediaType,
            errors.UnsupportedImage, errors.InvalidImage, errors.InFlight, errors.ImageGone,
            errors.IdempotencyMismatch, errors.TooManyRequests, errors.QuotaExceeded, errors.InsufficientStorage,
        ),
    ),
    Operation(
        "GET", "/images", endpoints.list_images, answers.Listing, query=schemas.ListQuery,
        errors=(errors.InvalidCursor,),
    ),
    Operation(
        "GET", "/images/{image_id}", endpoints.get_image, answers.View, query=schemas.ViewQuery,
        errors=(errors.NotFound, errors.ObjectMissing, errors.PreconditionFailed, errors.RangeNotSatisfiable),
    ),
    Operation(
        "GET", "/images/{image_id}/content", endpoints.get_content, answers.Elsewhere, 302,
        query=schemas.ContentQuery, errors=(errors.NotFound,),
    ),
    Operation(
        "POST", "/images/batch-delete", endpoints.delete_images, answers.Results, body=schemas.BatchBody,
        errors=(
            errors.InvalidJson, errors.UserMismatch, errors.TooLarge, errors.UnsupportedMediaType,
            errors.TooManyRequests,
        ),
    ),
    Operation(
        "PATCH", "/images/{image_id}", endpoints.edit_image, answers.Published, body=schemas.EditBody,
        errors=(
            errors.InvalidJson, errors.InvalidTags, errors.Forbidden, errors.UserMismatch, errors.NotFound,
            errors.PreconditionFailed, errors.TooLarge, errors.UnsupportedMediaType, errors.TooManyRequests,
            errors.InsufficientStorage,
        ),
    ),
    Operation(
        "DELETE", "/images/{image_id}", endpoints.delete_image, answers.Removed,
        query=schemas.OwnerQuery, body=schemas.OwnerBody,
        errors=(
            errors.InvalidJson, errors.Forbidden, errors.UserMismatch, errors.NotFound, errors.PreconditionFailed,
            errors.TooLarge, errors.UnsupportedMediaType, errors.TooManyRequests,
        ),
    ),
    Operation(
        "POST", "/uploads", endpoints.begin_upload, answers.Begun, 201, body=schemas.UploadBody, keyed=True,
        errors=(
            errors.InvalidJson, errors.InvalidFilename, errors.InvalidTags, errors.UserMismatch, errors.TooLarge,
            errors.UnsupportedMediaType, errors.ImageGone, errors.IdempotencyMismatch, errors.TooManyRequests,
            errors.QuotaExceeded, errors.InsufficientStorage,
        ),
    ),
    Operation(
        "GET", "/uploads/{image_id}", endpoints.get_upload, answers.UploadState, errors=(errors.NotFound,)
    ),
    Operation(
        "DELETE", "/uploads/{image_id}", endpoints.cancel_upload, answers.Removed,
        errors=(errors.NotFound, errors.Conflict),
    ),
    Operation(
        "POST", "/uploads/{image_id}/sign", endpoints.sign_upload, answers.Begun,
        errors=(errors.NotFound, errors.Conflict),
    ),
    Operation(
        "POST", "/uploads/{image_id}/complete", endpoints.complete_upload, answers.Published,
        errors=(
            errors.NotFound, errors.UploadMissing, errors.UploadExpired, errors.TypeMismatch, errors.TooLarge,
            errors.UnsupportedImage, errors.InvalidImage, errors.QuotaExceeded, errors.InsufficientStorage,
        ),
    ),
    Operation("GET", "/health", endpoints.get_health, answers.Alive, anonymous=True),
    Operation("GET", "/health/ready", endpoints.get_readiness, answers.Readiness, anonymous=True),
    Operation("GET", "/openapi.json", endpoints.get_openapi, answers.Document, anonymous=True),
)  # fmt: skip
