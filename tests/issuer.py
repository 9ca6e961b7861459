"""An issuer of tokens: a real HTTP server with a JWK Set, which counts who asks and can be made to fail."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.api_jws import PyJWS

from service.server import listen

AUDIENCE = "pixdepot"
# What a key for an algorithm is made by, and how it is published.
_WAYS: dict[str, tuple[Callable[[], Any], Any]] = {
    "RS": (lambda: rsa.generate_private_key(65537, 2048), RSAAlgorithm),
    "PS": (lambda: rsa.generate_private_key(65537, 2048), RSAAlgorithm),
    "ES256": (lambda: ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    "ES384": (lambda: ec.generate_private_key(ec.SECP384R1()), ECAlgorithm),
    "ES512": (lambda: ec.generate_private_key(ec.SECP521R1()), ECAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate, OKPAlgorithm),
}


@dataclass(frozen=True)
class SigningKey:
    """A key pair, and how it is published."""

    private: Any
    algorithm: str
    jwk: dict[str, Any]

    @property
    def kid(self) -> str:
        """Return its id."""
        return str(self.jwk["kid"])


@cache
def signing_key(kid: str, algorithm: str = "RS256") -> SigningKey:
    """Return the key pair with this id, made on first use."""
    make, kind = next(ways for name, ways in _WAYS.items() if algorithm.startswith(name))
    private = make()
    jwk = kind.to_jwk(private.public_key(), as_dict=True)
    return SigningKey(private, algorithm, {**jwk, "kid": kid, "alg": algorithm, "use": "sig"})


@dataclass
class Issuer:
    """Issues tokens, and says with which keys. `fetches` counts how often it was asked for them."""

    url: str
    keys: list[SigningKey] = field(default_factory=lambda: [signing_key("first")])
    status: int = 200
    body: bytes | None = None  # in place of the keys
    fetches: int = 0
    hangs: bool = False
    hanging: asyncio.Event = field(default_factory=asyncio.Event)  # somebody waits for an answer
    going_on: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def name(self) -> str:
        """Return its iss."""
        return f"{self.url}/"

    @property
    def jwks_url(self) -> str:
        """Return where its keys are."""
        return f"{self.url}/jwks"

    @property
    def settings(self) -> dict[str, str]:
        """Return the settings of a service that believes this issuer."""
        return {
            "auth": "jwt", "jwt_issuer": self.name, "jwt_audience": AUDIENCE, "jwks_url": self.jwks_url,
        }  # fmt: skip

    @property
    def key_set(self) -> bytes:
        """Return the keys as they are published."""
        return json.dumps({"keys": [each.jwk for each in self.keys]}).encode()

    def token(self, sub: Any = "ada", key: SigningKey | None = None, **claims: Any) -> str:
        """Return a token for the next minute; a claim that is None is left out."""
        key, now = key or self.keys[0], int(time.time())
        usual = {"iss": self.name, "aud": AUDIENCE, "iat": now, "exp": now + 60, "sub": sub}
        said = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return signed(said, key.private, key.algorithm, key.kid)

    async def answer(self, _: web.Request) -> web.Response:
        """Answer with the keys, or as it was told to."""
        self.fetches += 1
        if self.hangs:
            self.hanging.set()
            await self.going_on.wait()
        return web.Response(
            status=self.status,
            body=self.key_set if self.body is None else self.body,
            headers={"Location": "/elsewhere", "Content-Type": "application/json"},
        )


def signed(claims: Any, key: Any, algorithm: str, kid: str) -> str:
    """Return a token that says these claims."""
    return PyJWS().encode(json.dumps(claims).encode(), key, algorithm, {"kid": kid})


@asynccontextmanager
async def running_issuer() -> AsyncIterator[Issuer]:
    """Run an issuer on a free port."""
    listening = listen("127.0.0.1", 0)
    issuer = Issuer(f"http://127.0.0.1:{listening.getsockname()[1]}")
    app = web.Application()
    app.router.add_get("/jwks", issuer.answer)
    app.router.add_get("/elsewhere", _elsewhere(issuer))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    try:
        yield issuer
    finally:
        issuer.going_on.set()
        await runner.cleanup()


def _elsewhere(issuer: Issuer) -> Callable[[web.Request], Any]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=issuer.key_set, content_type="application/json")

    return answer
