"""All errors that the service can return, as one tree of classes.

    PixdepotError                    500 internal_error           dispatch makes it of any other exception
      TooManyOrphans                 500                          of `pixdepot reconcile` only
      InvalidJson                    400 invalid_json
      InvalidRequest                 400 invalid_request          carries an error per field
        InvalidBase64                400 invalid_base64
        InvalidFilename              400 invalid_filename
        InvalidTags                  400 invalid_tags
        InvalidParameter             400 invalid_parameter
      InvalidCursor                  400 invalid_cursor
      TypeMismatch                   400 type_mismatch
      Unauthorized                   401 unauthorized             carries the challenge (WWW-Authenticate)
        InvalidToken                 401 unauthorized             carries the challenge, with invalid_token
      Forbidden                      403 forbidden
        UserMismatch                 403 user_mismatch
      NotFound                       404 not_found
      MethodNotAllowed               405 method_not_allowed       carries the allowed methods (Allow)
      RequestTimeout                 408 request_timeout
      Conflict                       409 conflict
        UploadMissing                409 upload_missing
        InFlight                     409 in_flight                carries when to retry (Retry-After)
      UploadExpired                  410 upload_expired
      ObjectMissing                  410 object_missing
      ImageGone                      410 image_gone
      PreconditionFailed             412 precondition_failed
      TooLarge                       413 too_large
      UriTooLong                     414 uri_too_long
      UnsupportedMediaType           415 unsupported_media_type   the request's body
      UnsupportedImage               415 unsupported_image        the image's bytes
      RangeNotSatisfiable            416 range_not_satisfiable    carries the size (Content-Range)
      InvalidImage                   422 invalid_image
      IdempotencyMismatch            422 idempotency_mismatch
      TooManyRequests                429 too_many_requests        carries when to retry (Retry-After)
        QuotaExceeded                429 quota_exceeded           carries when to retry (Retry-After)
      FieldsTooLarge                 431 fields_too_large
      Unavailable                    503 unavailable              carries when to retry (Retry-After)
        NotReady                     503 unavailable              carries each dependency's state
        InsufficientStorage          507 insufficient_storage     carries when to retry (Retry-After)
        DepotMismatch                503 unavailable              for operators only

The detail is for people: it names the field, the limit and the remedy. It never repeats what the client sent,
because that can be a secret. `docs/api.md` takes the first sentence of each docstring.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar


class PixdepotError(Exception):
    """An error with an HTTP status, a stable code and a title. `detail` describes this occurrence."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "The server failed"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.title)
        self.detail = detail

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the response headers of this error."""
        return {}

    @property
    def members(self) -> Mapping[str, object]:
        """Return the extension members of the problem document (RFC 9457 section 3.2)."""
        return {}


class InvalidJson(PixdepotError):
    """The body is not one valid JSON document (RFC 8259)."""

    status, code, title = 400, "invalid_json", "The body is not valid JSON"


class InvalidRequest(PixdepotError):
    """A field is missing, unknown, of the wrong type, blank or too long."""

    status, code, title = 400, "invalid_request", "The request is invalid"

    def __init__(self, detail: str = "", errors: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(detail)
        self.errors = dict(errors or {})

    @property
    def members(self) -> Mapping[str, object]:
        """Return the messages, keyed by field."""
        return {"errors": self.errors} if self.errors else {}


class InvalidBase64(InvalidRequest):
    """The image is not strict base64 (RFC 4648)."""

    code, title = "invalid_base64", "The image is not valid base64"


class InvalidFilename(InvalidRequest):
    """The file name is not safe on every system: it has a path, control characters or a reserved name."""

    code, title = "invalid_filename", "The filename is invalid"


class InvalidTags(InvalidRequest):
    """The request has more than 20 tags, or a tag is blank, too long, or has a comma or control character."""

    code, title = "invalid_tags", "The tags are invalid"


class InvalidParameter(InvalidRequest):
    """A query parameter is unknown, repeated or invalid."""

    code, title = "invalid_parameter", "A query parameter is invalid"


class InvalidCursor(PixdepotError):
    """The cursor is not from this service, or belongs to another query."""

    status, code, title = 400, "invalid_cursor", "The cursor is invalid for this query"


class TypeMismatch(PixdepotError):
    """The bytes are of another media type than the declared one. The file name's extension does not matter."""

    status, code, title = 400, "type_mismatch", "The image does not have the declared type"


class Unauthorized(PixdepotError):
    """The request has no valid token."""

    status, code, title = 401, "unauthorized", "Authentication is required"

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the challenge (RFC 9110 section 11.6.1)."""
        return {"WWW-Authenticate": 'Bearer realm="pixdepot"'}


class InvalidToken(Unauthorized):
    """The token is malformed, expired, or not from the configured issuer."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the challenge, with the error code of RFC 6750 section 3.1."""
        return {"WWW-Authenticate": 'Bearer realm="pixdepot", error="invalid_token"'}


class Forbidden(PixdepotError):
    """The caller does not have permission: another user owns the image, or a signed link is not valid."""

    status, code, title = 403, "forbidden", "Permission denied"


class UserMismatch(Forbidden):
    """The `user_id` in the request is not the user of the token."""

    code, title = "user_mismatch", "The user_id does not match the token"


class NotFound(PixdepotError):
    """The resource does not exist, or the caller is not allowed to see it."""

    status, code, title = 404, "not_found", "Not found"


class MethodNotAllowed(PixdepotError):
    """The path does not support the method."""

    status, code, title = 405, "method_not_allowed", "The path does not support this method"

    def __init__(self, allowed: Sequence[str]) -> None:
        self.allowed = tuple(allowed)
        super().__init__("The Allow header lists the methods that this path supports.")

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the allowed methods (RFC 9110 section 15.5.6)."""
        return {"Allow": ", ".join(self.allowed)}


class RequestTimeout(PixdepotError):
    """The client took too long to send the body."""

    status, code, title = 408, "request_timeout", "The request body arrived too slowly"


class Conflict(PixdepotError):
    """The state of the upload does not allow this operation."""

    status, code, title = 409, "conflict", "The request conflicts with the current state"


class UploadMissing(Conflict):
    """The client completed the upload before it sent the bytes."""

    code, title = "upload_missing", "The upload has received no bytes"


class InFlight(Conflict):
    """Another request with the same idempotency key is probably still in progress."""

    code, title = "in_flight", "A request with this idempotency key is still in progress"
    retry_after = 1  # seconds

    @property
    def headers(self) -> Mapping[str, str]:
        """Return when to try again."""
        return {"Retry-After": str(self.retry_after)}


class UploadExpired(PixdepotError):
    """The upload was not completed before it expired."""

    status, code, title = 410, "upload_expired", "The upload has expired"


class ObjectMissing(PixdepotError):
    """The storage does not have the image's bytes."""

    status, code, title = 410, "object_missing", "The stored bytes are missing"


class ImageGone(PixdepotError):
    """The image of this idempotency key was deleted, or its upload was never completed."""

    status, code, title = 410, "image_gone", "The image of this idempotency key is deleted"


class PreconditionFailed(PixdepotError):
    """The image does not match the `If-Match` header, because it has changed."""

    status, code, title = 412, "precondition_failed", "A precondition failed"


class TooLarge(PixdepotError):
    """The body or the image is larger than the limit."""

    status, code, title = 413, "too_large", "The content is too large"


class UriTooLong(PixdepotError):
    """The URL of the request is too long."""

    status, code, title = 414, "uri_too_long", "The URI is too long"


class UnsupportedMediaType(PixdepotError):
    """The operation does not accept the body's Content-Type."""

    status, code, title = 415, "unsupported_media_type", "The body's media type is not supported"


class UnsupportedImage(PixdepotError):
    """The bytes are not JPEG, PNG, GIF, WebP or AVIF."""

    status, code, title = 415, "unsupported_image", "The image format is not supported"


class RangeNotSatisfiable(PixdepotError):
    """The range begins after the end of the image."""

    status, code, title = 416, "range_not_satisfiable", "The range cannot be satisfied"

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__("The range lies outside the image. The Content-Range header has its size in bytes.")

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the size in bytes (RFC 9110 section 15.5.17)."""
        return {"Content-Range": f"bytes */{self.size}"}


class InvalidImage(PixdepotError):
    """The image is corrupt or truncated, or it has too many pixels."""

    status, code, title = 422, "invalid_image", "The image cannot be decoded"


class IdempotencyMismatch(PixdepotError):
    """The idempotency key was already used for a request with other content."""

    status, code, title = 422, "idempotency_mismatch", "The idempotency key was used for another request"


class TooManyRequests(PixdepotError):
    """The user exceeds the rate limit."""

    status, code, title = 429, "too_many_requests", "Too many requests"

    def __init__(self, detail: str = "", retry_after: int = 1) -> None:
        self.retry_after = retry_after  # seconds
        super().__init__(detail)

    @property
    def headers(self) -> Mapping[str, str]:
        """Return when to try again."""
        return {"Retry-After": str(self.retry_after)}


class QuotaExceeded(TooManyRequests):
    """The user's published images would exceed the quota in bytes. Delete images before you retry."""

    code, title = "quota_exceeded", "The storage quota is exceeded"

    def __init__(self, detail: str = "", retry_after: int = 3600) -> None:
        super().__init__(detail, retry_after)


class FieldsTooLarge(PixdepotError):
    """A header is too long, or the request has too many headers (RFC 6585 section 5)."""

    status, code, title = 431, "fields_too_large", "The header fields are too large"


class Unavailable(PixdepotError):
    """The database, the storage or the server is down, slow or overloaded: retry.

    The client has nothing to undo.
    """

    status, code, title = 503, "unavailable", "The service is unavailable"
    retry_after = 2  # seconds

    def __init__(self, detail: str = "", *, cause: str = "") -> None:
        """Create the error. `cause` is the cause and the remedy for operators; clients do not get it."""
        super().__init__(detail)
        self.cause = cause

    @property
    def headers(self) -> Mapping[str, str]:
        """Return when to try again."""
        return {"Retry-After": str(self.retry_after)}


class NotReady(Unavailable):
    """A readiness check found a dependency that is unavailable."""

    def __init__(self, dependencies: Mapping[str, str], detail: str = "") -> None:
        self.dependencies = dict(dependencies)
        super().__init__(detail or "The member `dependencies` lists the state of each backend.")

    @property
    def members(self) -> Mapping[str, object]:
        """Return the status of each dependency."""
        return {"dependencies": self.dependencies}


class InsufficientStorage(Unavailable):
    """The disk has no space for uploads and edits. Clients can still view and delete images."""

    status, code, title = 507, "insufficient_storage", "The storage is full"
    retry_after = 60  # seconds


class DepotMismatch(Unavailable):
    """The database and the storage belong to different depots, or one of them is lost.

    The detail names both and the remedies. It is for operators; clients do not get it.
    """

    title = "The database and the storage do not belong together"


class TooManyOrphans(PixdepotError):
    """Too many stored objects have no record, so the records are probably lost.

    Only `pixdepot reconcile` raises it, before it removes anything.
    """


def _tree(root: type[PixdepotError]) -> list[type[PixdepotError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


def failure(code: str, detail: str) -> PixdepotError:
    """Return the error with this code and detail, from the record of a failed upload.

    Record only verification errors. An unknown code returns a plain `PixdepotError`, which does not help a client.
    """
    kinds = {kind.code: kind for kind in reversed(_tree(PixdepotError))}  # the most general class for each code
    return kinds.get(code, PixdepotError)(detail)


def exact(size: int) -> str:
    """Return a number of bytes in the largest binary unit that states it exactly, such as "10 MiB"."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size and size % 2**power == 0:
            return f"{size >> power:,} {unit}"
    return f"{size:,} bytes"


def explained(error: BaseException) -> str:
    """Return an exception as one line for operators. The line includes the type of an unexpected exception."""
    if isinstance(error, PixdepotError):
        return f"{error} {getattr(error, 'cause', '')}".rstrip()
    return f"{type(error).__name__}: {error}".removesuffix(": ")
