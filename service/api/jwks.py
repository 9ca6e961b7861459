"""The keys that an issuer signs its tokens with, as it publishes them: a JWK Set (RFC 7517)."""

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

# Those whose signatures nobody can make who can check them.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

_LIFETIME = 300.0  # seconds that a set is taken for the issuer's present one
_PAUSE = 10.0  # seconds between two questions, once there was an answer to one
_TIMEOUT = 3.0  # seconds for an answer
_MOST = 256 * 1024  # bytes of it


class IssuerKeys:
    """The keys of one issuer, fetched when they are first needed; those that came last stay while it is down."""

    def __init__(self, http: aiohttp.ClientSession, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._http, self._url, self._clock = http, url, clock
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fresh_until = self._ask_from = clock()
        self._asking = asyncio.Lock()

    async def key(self, kid: str) -> jwt.PyJWK:
        """Return the key with this id.

        Raises InvalidToken when the issuer has no such key, Unavailable while none of its keys were ever to be had.
        """
        if self._lacks(kid):
            await self._ask(kid)
        if not self._keys:
            raise Unavailable("The token issuer's keys are unavailable; retry later.")
        if kid not in self._keys:
            raise InvalidToken("The token is signed with a key that the issuer does not publish.")
        return self._keys[kid]

    def _lacks(self, kid: str) -> bool:
        """Return whether the issuer should be asked for a key now."""
        now = self._clock()
        return now >= self._ask_from and (kid not in self._keys or now >= self._fresh_until)

    async def _ask(self, kid: str) -> None:
        """Fetch the keys, unless that was done while others did it."""
        if kid in self._keys and self._asking.locked():
            return  # one asks whether it is still there; the others need not wait for that
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
            # The first answer may be the last before a new key: it does not bar the second.
            self._ask_from = self._clock() + (0 if first else _PAUSE)

    async def _fetched(self) -> Mapping[str, jwt.PyJWK]:
        """Return the issuer's keys by their ids. Raises ValueError for an answer that is none."""
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
    """Yield the keys of a set that signatures are checked with, by their ids. A set may have others beside them."""
    found = document.get("keys") if isinstance(document, dict) else None
    for each in found if isinstance(found, list) else []:
        if isinstance(each, dict) and _is_for_signatures(each):
            with suppress(jwt.PyJWTError, KeyError, TypeError, ValueError):
                key = jwt.PyJWK(each)
                if key.algorithm_name in ALGORITHMS:
                    yield each["kid"], key


def _is_for_signatures(jwk: Mapping[str, Any]) -> bool:
    """Return whether a key says so, and is a public one: a private key that is published is anyone's."""
    named = isinstance(jwk.get("kid"), str) and "d" not in jwk
    return named and jwk.get("use", "sig") == "sig" and jwk.get("alg") in (None, *ALGORITHMS)


@asynccontextmanager
async def opened_keys(url: str) -> AsyncIterator[IssuerKeys]:
    """Open what fetches an issuer's keys. Nothing is fetched yet."""
    # A context of its own: on Lambda aiohttp's has no certificates (lambda_adapter/__init__.py).
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context())
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=_TIMEOUT)) as http:
        yield IssuerKeys(http, url)
