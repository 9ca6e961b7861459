"""The public keys of a token issuer, fetched from its JWK Set (RFC 7517)."""

import asyncio
import json
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import jwt

from service.domain.errors import InvalidToken, Unavailable

logger = logging.getLogger(__name__)

# Asymmetric algorithms only: with a symmetric one, everyone who verifies tokens could also sign them.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

_LIFETIME = 300.0  # seconds for which a key set is cached
_PAUSE = 10.0  # seconds between two requests for the key set
_TIMEOUT = 3.0  # seconds for a response
_MOST = 256 * 1024  # bytes, the largest response


class IssuerKeys:
    """The cached keys of one issuer, fetched on first use. The last keys stay valid while the issuer is down."""

    def __init__(self, http: aiohttp.ClientSession, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._http, self._url, self._clock = http, url, clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fresh_until = self._ask_from = clock()
        self._asking = asyncio.Lock()

    async def key(self, kid: str) -> jwt.PyJWK:
        """Return the key with this ID.

        Raises InvalidToken if the issuer does not have the key, and Unavailable if its keys could never be fetched.
        """
        if self._lacks(kid):
            await self._ask(kid)
        if not self._keys:
            raise Unavailable("The token issuer's keys are unavailable; retry later.")
        if kid not in self._keys:
            raise InvalidToken("The token is signed with a key that the issuer does not publish.")
        return self._keys[kid]

    def _lacks(self, kid: str) -> bool:
        """Return whether to fetch the keys now."""
        now = self._clock()
        return now >= self._ask_from and (kid not in self._keys or now >= self._fresh_until)

    async def _ask(self, kid: str) -> None:
        """Fetch the keys, unless another request has just fetched them."""
        if kid in self._keys and self._asking.locked():
            return  # another request is refreshing the keys; use the cached key meanwhile
        async with self._asking:
            if not self._lacks(kid):
                return
            first = not self._keys
            try:
                self._keys = await self._fetched()
            except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError) as error:
                logger.warning("cannot fetch the token issuer's keys from %s: %s", self._url, type(error).__name__)
                self._ask_from = self._clock() + _PAUSE
                return
            self._fresh_until = self._clock() + _LIFETIME
            # No pause after the first fetch, because the issuer may have added a key just after it.
            self._ask_from = self._clock() + (0 if first else _PAUSE)

    async def _fetched(self) -> Mapping[str, jwt.PyJWK]:
        """Fetch the issuer's keys by ID. Raises ValueError for a response that is not a key set."""
        async with self._http.get(self._url, allow_redirects=False) as answer:
            if answer.status != 200:
                raise ValueError("not found")
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > _MOST:
                    raise ValueError("too large")
        if not (keys := dict(_usable(json.loads(body)))):
            raise ValueError("without keys")
        return keys


def _usable(document: Any) -> Iterator[tuple[str, jwt.PyJWK]]:
    """Yield (ID, key) for the keys of a set that verify signatures. Skip other keys, which a set may contain."""
    found = document.get("keys") if isinstance(document, dict) else None
    for each in found if isinstance(found, list) else []:
        if isinstance(each, dict) and _is_for_signatures(each):
            with suppress(jwt.PyJWTError, KeyError, TypeError, ValueError):
                key = jwt.PyJWK(each)
                if key.algorithm_name in ALGORITHMS:
                    yield each["kid"], key


def _is_for_signatures(jwk: Mapping[str, Any]) -> bool:
    """Return whether a key is for signatures and is public. Reject a published private key: anyone could sign."""
    named = isinstance(jwk.get("kid"), str) and "d" not in jwk
    return named and jwk.get("use", "sig") == "sig" and jwk.get("alg") in (None, *ALGORITHMS)


@asynccontextmanager
async def opened_keys(url: str) -> AsyncIterator[IssuerKeys]:
    """Open a client for an issuer's keys. It fetches nothing yet."""
    # Create an SSL context, because on Lambda aiohttp's default has no certificates (lambda_adapter/__init__.py).
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context())
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=_TIMEOUT)) as http:
        yield IssuerKeys(http, url)
