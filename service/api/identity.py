"""Authentication: the caller is the user of a token, or without tokens the user_id in the request."""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError

from service.domain.errors import InvalidRequest, InvalidToken, Unauthorized, UserMismatch

from .http import ApiRequest
from .schemas import SIGNED_IN, OwnerBody

# Verifies a token and returns its claims. Raises InvalidToken, and Unavailable if the issuer's keys are
# unavailable.
Verify = Callable[[str], Awaitable[Mapping[str, Any]]]

_USER_ID = OwnerBody().fields["user_id"]
_BEARER = re.compile(r"bearer +(\S.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of an operation. Without a token `user_id` is None, and the caller may see all images."""

    user_id: str | None = None

    @property
    def may_leave_out(self) -> tuple[str, ...]:
        """Return the body fields that this caller may omit."""
        return () if self.user_id is None else SIGNED_IN

    def acting_as(self, said: str | None) -> str:
        """Return the user ID for a request that writes. `said` is the `user_id` in the request.

        Raises InvalidRequest without any user ID, and UserMismatch if `said` is not the token's user.
        """
        user_id = said if self.user_id is None else self.user_id
        if user_id is None:
            message = "Missing required field: send it in the body, or as ?user_id=."
            raise InvalidRequest("Some fields are invalid: see `errors`.", {"user_id": [message]})
        if said not in {None, user_id}:
            raise UserMismatch("Omit user_id, or send the user ID of the token.")
        return user_id


class Identity:
    """Authenticates requests with `verify`, or accepts all requests without it."""

    def __init__(self, verify: Verify | None = None) -> None:
        self._verify = verify

    async def caller(self, request: ApiRequest) -> Caller:
        """Return the caller of a request. Raises Unauthorized, InvalidToken, Unavailable."""
        if self._verify is None:
            return Caller()
        claims = request.claims
        if claims is None:
            claims = await self._verify(bearer_token(request.headers))
        return Caller(_user(claims))


def bearer_token(headers: Mapping[str, str]) -> str:
    """Return the bearer token of a request (RFC 6750 section 2.1). Raises Unauthorized."""
    found = _BEARER.fullmatch(headers.get("authorization", ""))
    if found is None:
        raise Unauthorized("Send a token in the header `Authorization: Bearer TOKEN`.")
    return found[1]


def _user(claims: Mapping[str, Any]) -> str:
    """Return the sub claim. Raises InvalidToken unless it is a valid user ID in normal form."""
    subject = claims.get("sub")
    with suppress(ValidationError):
        if _USER_ID.deserialize(subject) == subject:
            return str(subject)
    raise InvalidToken("The token's sub is not a valid user ID.")
