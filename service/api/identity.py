"""Who is calling: whoever the request says, or whom a token names."""

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError

from service.domain.errors import InvalidRequest, InvalidToken, Unauthorized, UserMismatch

from .http import ApiRequest
from .schemas import SIGNED_IN, OwnerBody

# Returns the claims of a token that is good. Raises InvalidToken, and Unavailable where that cannot be told.
Verify = Callable[[str], Awaitable[Mapping[str, Any]]]

_USER_ID = OwnerBody().fields["user_id"]
_BEARER = re.compile(r"bearer +(\S.*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling. Without a `user_id` it is whoever the request says, and sees everything."""

    user_id: str | None = None

    @property
    def may_leave_out(self) -> tuple[str, ...]:
        """Return the fields that the bodies of this caller's requests need not have."""
        return () if self.user_id is None else SIGNED_IN

    def acting_as(self, said: str | None) -> str:
        """Return who does what a request asks for; `said` is its own word. Raises UserMismatch, InvalidRequest."""
        user_id = said if self.user_id is None else self.user_id
        if user_id is None:
            message = "Missing required field: send it in the body, or as ?user_id=."
            raise InvalidRequest("Some fields are invalid: see `errors`.", {"user_id": [message]})
        if said not in {None, user_id}:
            raise UserMismatch("Omit user_id, or send the user ID of the token.")
        return user_id


class Identity:
    """Finds out who is calling: by a token where there is something to `verify` it with, or else it is open."""

    def __init__(self, verify: Verify | None = None) -> None:
        self._verify = verify

    async def caller(self, request: ApiRequest) -> Caller:
        """Return who sent a request. Raises Unauthorized, InvalidToken, Unavailable."""
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
    """Return whom claims are about: what a request could say as its user_id, and would mean exactly that."""
    subject = claims.get("sub")
    with suppress(ValidationError):
        if _USER_ID.deserialize(subject) == subject:
            return str(subject)
    raise InvalidToken("The token's sub is not a valid user ID.")
