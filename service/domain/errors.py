"""Every failure the service can answer with, drawn as one tree.

    PixdepotError                    500 internal_error (what dispatch makes of anything unforeseen)
      TooManyOrphans                 500                          of `pixdepot reconcile` only
      InvalidJson                    400 invalid_json
      InvalidRequest                 400 invalid_request          carries an error per field
        InvalidBase64                400 invalid_base64
        InvalidFilename              400 invalid_filename
        InvalidTags                  400 invalid_tags
        InvalidParameter             400 invalid_parameter
      InvalidCursor                  400 invalid_cursor
      TypeMismatch                   400 type_mismatch
      Unauthorized                   401 unauthorized             says how to sign in (WWW-Authenticate)
        InvalidToken                 401 unauthorized             and that the token was no good
      Forbidden                      403 forbidden
        UserMismatch                 403 user_mismatch
      NotFound                       404 not_found
      MethodNotAllowed               405 method_not_allowed       carries what is allowed (Allow)
      RequestTimeout                 408 request_timeout
      Conflict                       409 conflict
        UploadMissing                409 upload_missing
        InFlight                     409 in_flight                says when to try again (Retry-After)
      UploadExpired                  410 upload_expired
      ObjectMissing                  410 object_missing
      ImageGone                      410 image_gone
      PreconditionFailed             412 precondition_failed
      TooLarge                       413 too_large
      UriTooLong                     414 uri_too_long
      UnsupportedMediaType           415 unsupported_media_type   the request's body
      UnsupportedImage               415 unsupported_image        the picture's bytes
      RangeNotSatisfiable            416 range_not_satisfiable    carries the size (Content-Range)
      InvalidImage                   422 invalid_image
      IdempotencyMismatch            422 idempotency_mismatch
      TooManyRequests                429 too_many_requests        says when to try again (Retry-After)
        QuotaExceeded                429 quota_exceeded           says when to try again (Retry-After)
      FieldsTooLarge                 431 fields_too_large
      Unavailable                    503 unavailable              says when to try again (Retry-After)
        NotReady                     503 unavailable              carries each dependency's state
        InsufficientStorage          507 insufficient_storage     says when to try again (Retry-After)
        DepotMismatch                503 unavailable              for operators only

A detail is read by people: it names fields, limits and remedies, and never repeats what the client sent.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar


class PixdepotError(Exception):
    """A failure with an HTTP status, a stable code and a title; `detail` says what happened this time."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "The server failed"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.title)
        self.detail = detail

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the header fields that belong to this failure."""
        return {}

    @property
    def members(self) -> Mapping[str, object]:
        """Return what else the problem document says (RFC 9457 section 3.2)."""
        return {}


class InvalidJson(PixdepotError):
    """The body is not the one JSON document that RFC 8259 and common sense allow."""

    status, code, title = 400, "invalid_json", "The body is not valid JSON"


class InvalidRequest(PixdepotError):
    """Fields are missing, unknown, of the wrong type, blank or too long."""

    status, code, title = 400, "invalid_request", "The request is invalid"

    def __init__(self, detail: str = "", errors: Mapping[str, Sequence[str]] | None = None) -> None:
        super().__init__(detail)
        self.errors = dict(errors or {})

    @property
    def members(self) -> Mapping[str, object]:
        """Return the messages, keyed by field."""
        return {"errors": self.errors} if self.errors else {}


class InvalidBase64(InvalidRequest):
    """The picture is not strict RFC 4648 base64."""

    code, title = "invalid_base64", "The image is not valid base64"


class InvalidFilename(InvalidRequest):
    """The filename could not be stored and given back safely."""

    code, title = "invalid_filename", "The filename is invalid"


class InvalidTags(InvalidRequest):
    """There are too many tags, or one of them cannot be a tag."""

    code, title = "invalid_tags", "The tags are invalid"


class InvalidParameter(InvalidRequest):
    """A query parameter is unknown, repeated or out of range."""

    code, title = "invalid_parameter", "A query parameter is invalid"


class InvalidCursor(PixdepotError):
    """The cursor is not one of ours, or belongs to another query."""

    status, code, title = 400, "invalid_cursor", "The cursor is invalid for this query"


class TypeMismatch(PixdepotError):
    """The declared media type is not the type of the bytes. The filename's extension does not count."""

    status, code, title = 400, "type_mismatch", "The image does not have the declared type"


class Unauthorized(PixdepotError):
    """Nobody has signed in, or not well enough."""

    status, code, title = 401, "unauthorized", "Authentication is required"

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the challenge RFC 9110 section 11.6.1 asks for."""
        return {"WWW-Authenticate": 'Bearer realm="pixdepot"'}


class InvalidToken(Unauthorized):
    """A token was given, and says nothing that can be trusted."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the challenge, with the error that RFC 6750 section 3.1 asks for."""
        return {"WWW-Authenticate": 'Bearer realm="pixdepot", error="invalid_token"'}


class Forbidden(PixdepotError):
    """The caller is known, and may not do this."""

    status, code, title = 403, "forbidden", "Permission denied"


class UserMismatch(Forbidden):
    """The user_id in a write is not the caller."""

    code, title = "user_mismatch", "The user_id does not match the token"


class NotFound(PixdepotError):
    """There is no such thing, or the caller may not know of it."""

    status, code, title = 404, "not_found", "Not found"


class MethodNotAllowed(PixdepotError):
    """The path exists, the method on it does not."""

    status, code, title = 405, "method_not_allowed", "The path does not support this method"

    def __init__(self, allowed: Sequence[str]) -> None:
        self.allowed = tuple(allowed)
        super().__init__("The Allow header lists the methods that this path supports.")

    @property
    def headers(self) -> Mapping[str, str]:
        """Return Allow, as RFC 9110 section 15.5.6 asks."""
        return {"Allow": ", ".join(self.allowed)}


class RequestTimeout(PixdepotError):
    """The client takes too long to send its body."""

    status, code, title = 408, "request_timeout", "The request body arrived too slowly"


class Conflict(PixdepotError):
    """The thing is no longer, or not yet, in a state that allows this."""

    status, code, title = 409, "conflict", "The request conflicts with the current state"


class UploadMissing(Conflict):
    """The upload was completed before any bytes arrived."""

    code, title = "upload_missing", "The upload has received no bytes"


class InFlight(Conflict):
    """Another request with the same idempotency key is in all likelihood under way."""

    code, title = "in_flight", "A request with this idempotency key is still in progress"
    retry_after = 1  # seconds

    @property
    def headers(self) -> Mapping[str, str]:
        """Return when to try again."""
        return {"Retry-After": str(self.retry_after)}


class UploadExpired(PixdepotError):
    """The upload's time is over."""

    status, code, title = 410, "upload_expired", "The upload has expired"


class ObjectMissing(PixdepotError):
    """The stored bytes are not where they should be."""

    status, code, title = 410, "object_missing", "The stored bytes are missing"


class ImageGone(PixdepotError):
    """What an idempotency key stands for was deleted, or given up: the key never makes it again."""

    status, code, title = 410, "image_gone", "The image of this idempotency key is deleted"


class PreconditionFailed(PixdepotError):
    """A condition the client set does not hold."""

    status, code, title = 412, "precondition_failed", "A precondition failed"


class TooLarge(PixdepotError):
    """The body or the picture is over the limit."""

    status, code, title = 413, "too_large", "The content is too large"


class UriTooLong(PixdepotError):
    """The request's target is longer than anything here."""

    status, code, title = 414, "uri_too_long", "The URI is too long"


class UnsupportedMediaType(PixdepotError):
    """The request's body is of a kind this route does not read."""

    status, code, title = 415, "unsupported_media_type", "The body's media type is not supported"


class UnsupportedImage(PixdepotError):
    """The bytes are not JPEG, PNG, GIF, WebP or AVIF."""

    status, code, title = 415, "unsupported_image", "The image format is not supported"


class RangeNotSatisfiable(PixdepotError):
    """The range lies outside the picture."""

    status, code, title = 416, "range_not_satisfiable", "The range cannot be satisfied"

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__("The range lies outside the image. The Content-Range header has its size in bytes.")

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the size, as RFC 9110 section 15.5.17 asks."""
        return {"Content-Range": f"bytes */{self.size}"}


class InvalidImage(PixdepotError):
    """The bytes claim to be a picture and do not decode whole, or decode to too much."""

    status, code, title = 422, "invalid_image", "The image cannot be decoded"


class IdempotencyMismatch(PixdepotError):
    """The idempotency key was sent before, with something else."""

    status, code, title = 422, "idempotency_mismatch", "The idempotency key was used for another request"


class TooManyRequests(PixdepotError):
    """The caller is asking for more than its share."""

    status, code, title = 429, "too_many_requests", "Too many requests"

    def __init__(self, detail: str = "", retry_after: int = 1) -> None:
        self.retry_after = retry_after  # seconds
        super().__init__(detail)

    @property
    def headers(self) -> Mapping[str, str]:
        """Return when to try again."""
        return {"Retry-After": str(self.retry_after)}


class QuotaExceeded(TooManyRequests):
    """The user's published images would take more bytes than the quota. Time alone does not help."""

    code, title = "quota_exceeded", "The storage quota is exceeded"

    def __init__(self, detail: str = "", retry_after: int = 3600) -> None:
        super().__init__(detail, retry_after)


class FieldsTooLarge(PixdepotError):
    """A header field is too long, or there are too many of them (RFC 6585 section 5)."""

    status, code, title = 431, "fields_too_large", "The header fields are too large"


class Unavailable(PixdepotError):
    """Something the service needs is down, slow or full; nothing was changed that the client must undo."""

    status, code, title = 503, "unavailable", "The service is unavailable"
    retry_after = 2  # seconds

    def __init__(self, detail: str = "", *, cause: str = "") -> None:
        """`cause` is for operators, with the remedy; no client is sent it."""
        super().__init__(detail)
        self.cause = cause

    @property
    def headers(self) -> Mapping[str, str]:
        """Return when to try again."""
        return {"Retry-After": str(self.retry_after)}


class NotReady(Unavailable):
    """Something the service needs is down, and this was the question."""

    def __init__(self, dependencies: Mapping[str, str], detail: str = "") -> None:
        self.dependencies = dict(dependencies)
        super().__init__(detail or "The member `dependencies` lists the state of each backend.")

    @property
    def members(self) -> Mapping[str, object]:
        """Return the state of each dependency."""
        return {"dependencies": self.dependencies}


class InsufficientStorage(Unavailable):
    """The disk has no room for uploads and edits. Images that are stored can be viewed and deleted."""

    status, code, title = 507, "insufficient_storage", "The storage is full"
    retry_after = 60  # seconds


class DepotMismatch(Unavailable):
    """The database and the storage belong to different depots, or one of them is lost.

    Its detail names both, and the remedies: it is for whoever runs the service, and no client is sent it.
    """

    title = "The database and the storage do not belong together"


class TooManyOrphans(PixdepotError):
    """So much of the storage belongs to no record that it is the records that may be lost."""


def _tree(root: type[PixdepotError]) -> list[type[PixdepotError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _tree(child))]


def failure(code: str, detail: str) -> PixdepotError:
    """Return the error with this code, as it was when a failed upload was recorded.

    Codes whose errors carry more than a detail come back as a plain `PixdepotError` of no use to a client,
    so only verification failures are recorded.
    """
    kinds = {kind.code: kind for kind in reversed(_tree(PixdepotError))}  # of those with one code the one above
    return kinds.get(code, PixdepotError)(detail)


def exact(size: int) -> str:
    """Return a number of bytes in the largest binary unit that states it exactly, such as "10 MiB"."""
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if size and size % 2**power == 0:
            return f"{size >> power:,} {unit}"
    return f"{size:,} bytes"


def explained(error: BaseException) -> str:
    """Return what an operator is told of a failure, in a line; of one that nobody foresaw, its type, too."""
    if isinstance(error, PixdepotError):
        return f"{error} {getattr(error, 'cause', '')}".rstrip()
    return f"{type(error).__name__}: {error}".removesuffix(": ")
