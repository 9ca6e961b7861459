"""Verification of JSON Web Tokens (RFC 7519) that one issuer has signed with an asymmetric key."""

from collections.abc import Mapping
from typing import Any

import jwt

from service.domain.errors import InvalidToken

from .jwks import ALGORITHMS, IssuerKeys

_LEEWAY = 30  # seconds of allowed difference between the clocks of the issuer and the service
_REQUIRED = ["iss", "aud", "exp", "sub"]
_REASONS: Mapping[type[Exception], str] = {
    jwt.ExpiredSignatureError: "The token has expired.",
    jwt.ImmatureSignatureError: "The token is not valid yet.",
    jwt.InvalidAudienceError: "The token is for another audience (aud).",
    jwt.InvalidIssuerError: "The token is from another issuer (iss).",
}


class TokenVerifier:
    """Verifies tokens of one issuer for one audience."""

    def __init__(self, keys: IssuerKeys, issuer: str, audience: str) -> None:
        self._keys, self._issuer, self._audience = keys, issuer, audience

    async def verify(self, token: str) -> Mapping[str, Any]:
        """Verify a token and return its claims.

        Raises InvalidToken, and Unavailable if the service could never fetch the issuer's keys.
        """
        try:
            key = await self._keys.key(_key_id(token))
            return jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY,
                options={"require": _REQUIRED},
            )
        # An attacker's token can raise more than PyJWTError: a deeply nested header raises RecursionError.
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise InvalidToken(
                _REASONS.get(type(error), "The token is malformed, or its signature is invalid.")
            ) from None


def _key_id(token: str) -> str:
    """Return the key ID in a token's header. Raises PyJWTError without one, or for another algorithm."""
    header = jwt.get_unverified_header(token)
    if header.get("alg") not in ALGORITHMS or not isinstance(header.get("kid"), str):
        raise jwt.InvalidTokenError
    return str(header["kid"])
