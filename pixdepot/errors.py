"""Every failure that the client raises, drawn as one tree.

    PixdepotError
      ConnectionFailed          no whole answer came: refused, cut off, a name that does not resolve
        TimedOut                nothing came in time
      UnreadableAnswer          an answer came, and it is not Pixdepot's
      APIError                  the service refused, and said why: status, code, request_id, errors
        InvalidRequest          400
        Unauthorized            401
        Forbidden               403
        NotFound                404
        Conflict                409
        Gone                    410
        PreconditionFailed      412
        TooLarge                413
        UnsupportedType         415
        InvalidImage            422
        TooManyRequests         429
        ServerError             500 and above
          Unavailable           503
      StorageRefused            the storage did not take the bytes, or did not give them: status
      UnknownFormat             the bytes are of no format that Pixdepot takes; nothing was sent
      SourceChanged             the file changed while it was being sent
      DigestMismatch            the bytes that came are not those that were recorded

A status without a class of its own is a plain APIError. `code` tells apart what shares a status; the service's
description (`/openapi.json`) lists the codes. No message has a token or a signed link in it.
"""

from collections.abc import Mapping, Sequence


class PixdepotError(Exception):
    """Anything that goes wrong between a program and its pictures, except with local files: that is OSError."""


class ConnectionFailed(PixdepotError):
    """No whole answer came. Where `sent`, the service may have done what it was asked all the same."""

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class TimedOut(ConnectionFailed):
    """Nothing came in time."""


class UnreadableAnswer(PixdepotError):
    """An answer came that is not Pixdepot's: most likely the URL is another service's."""


class APIError(PixdepotError):
    """The service refused.

    `code` is stable, `detail` for people; `errors` has messages by field. `retry_after` is in seconds, None where
    the answer did not say. `after_lost_answer` is whether the request had been sent before and may have been done
    then, so that this is the answer to its repetition.
    """

    def __init__(
        self,
        status: int,
        code: str = "",
        detail: str = "",
        *,
        request_id: str = "",
        errors: Mapping[str, Sequence[str]] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(status, code, detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id
        self.errors = {name: tuple(messages) for name, messages in (errors or {}).items()}
        self.retry_after = retry_after
        self.after_lost_answer = False

    def __str__(self) -> str:
        fields = "; ".join(f"{name}: {' '.join(messages)}" for name, messages in self.errors.items())
        said = " ".join(each for each in (self.detail, fields) if each) or "The server gave no details."
        named = f"{self.status} {self.code}".rstrip()
        return f"{named}: {said}" + (f" (request {self.request_id})" if self.request_id else "")


class InvalidRequest(APIError):
    """Something in the request is not as it should be: see `errors`."""


class Unauthorized(APIError):
    """The service wants a token, or a better one."""


class Forbidden(APIError):
    """It is somebody else's."""


class NotFound(APIError):
    """There is no such image, or not for this user."""


class Conflict(APIError):
    """The thing is no longer, or not yet, in a state that allows this."""


class Gone(APIError):
    """What was asked for has been given up, or its bytes are missing."""


class PreconditionFailed(APIError):
    """The image was changed since."""


class TooLarge(APIError):
    """The picture is over the service's limit."""


class UnsupportedType(APIError):
    """The bytes are not a picture of a supported format."""


class InvalidImage(APIError):
    """The picture does not decode whole, or is too large when it does."""


class TooManyRequests(APIError):
    """The user writes too often, or has used the quota up."""


class ServerError(APIError):
    """The service failed, or something on the way to it did."""


class Unavailable(ServerError):
    """The service cannot work right now, and can be asked again."""


class StorageRefused(PixdepotError):
    """The storage did not take the bytes, or did not give them. `retry_after` is in seconds, where it said so."""

    def __init__(self, status: int, retry_after: float | None = None) -> None:
        super().__init__(f"The storage returned status {status}.")
        self.status = status
        self.retry_after = retry_after


class UnknownFormat(PixdepotError):
    """The bytes are of no format that Pixdepot takes; nothing was sent."""


class SourceChanged(PixdepotError):
    """The file changed while it was being sent."""


class DigestMismatch(PixdepotError):
    """The bytes that came are not those that were recorded. None of them were kept."""


_BY_STATUS: Mapping[int, type[APIError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    412: PreconditionFailed,
    413: TooLarge,
    415: UnsupportedType,
    422: InvalidImage,
    429: TooManyRequests,
    503: Unavailable,
}


def kind_of(status: int) -> type[APIError]:
    """Return the class of an answer with this status."""
    return _BY_STATUS.get(status, ServerError if status >= 500 else APIError)
