"""What a token is worth: JSON Web Tokens (RFC 7519) of one issuer, signed with a key that only the issuer has."""

from collections.abc import Mapping
from typing import Any

import jwt

from service.domain.errors import InvalidToken

from .jwks import ALGORITHMS, IssuerKeys

_LEEWAY = 30  # seconds that the issuer's clock and ours may be apart
_REQUIRED = ["iss", "aud", "exp", "sub"]
_REASONS: Mapping[type[Exception], str] = {
    jwt.ExpiredSignatureError: "The token has expired.",
    jwt.ImmatureSignatureError: "The token is not valid yet.",
    jwt.InvalidAudienceError: "The token is for another audience (aud).",
    jwt.InvalidIssuerError: "The token is from another issuer (iss).",
}


class TokenVerifier:
    """Tells the tokens of one issuer, for one audience, from all others."""

    def __init__(self, keys: IssuerKeys, issuer: str, audience: str) -> None:
        self._keys, self._issuer, self._audience = keys, issuer, audience

    async def verify(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token that is good now.

        Raises InvalidToken, and Unavailable while the issuer's keys were never to be had.
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
        # Not all that nobody has signed can be read: a header may be nested without end.
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise InvalidToken(
                _REASONS.get(type(error), "The token is malformed, or its signature is invalid.")
            ) from None


def _key_id(token: str) -> str:
    """Return which key a token says it is signed with. Raises PyJWTError when it does not say."""
    header = jwt.get_unverified_header(token)
    if header.get("alg") not in ALGORITHMS or not isinstance(header.get("kid"), str):
        raise jwt.InvalidTokenError
    return str(header["kid"])
