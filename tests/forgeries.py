"""Tokens that must not be believed, each by what is wrong with it."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.issuer import AUDIENCE, Issuer, signed, signing_key


def unsigned(claims: Any, algorithm: str, mac: Callable[[bytes], bytes] = lambda _: b"", kid: Any = "first") -> str:
    """Return a token as a forger writes it, who has no library to stop him."""
    header = {"alg": algorithm, "typ": "JWT", "kid": kid}
    said = b".".join(letters(json.dumps(each).encode()) for each in (header, claims))
    return b".".join([said, letters(mac(said))]).decode()


def letters(data: bytes) -> bytes:
    """Return bytes as a token has them: base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def claims_of(issuer: Issuer) -> dict[str, Any]:
    """Return claims that are good."""
    return {"iss": issuer.name, "aud": AUDIENCE, "exp": int(time.time()) + 60, "sub": "ada"}


def public_key(issuer: Issuer) -> bytes:
    """Return the issuer's public key as everyone can have it."""
    key = issuer.keys[0].private.public_key()
    return bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    """Return how HS256 signs with this secret."""
    return lambda said: hmac.digest(secret, said, hashlib.sha256)


def changed(token: str) -> str:
    """Return a token whose claims were changed after it was signed."""
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return f"{header}.{letters(json.dumps({**claims, 'sub': 'eve'}).encode()).decode()}.{signature}"


BAD_TOKENS: dict[str, Callable[[Issuer], str]] = {
    "alg none": lambda issuer: unsigned(claims_of(issuer), "none"),
    "alg None": lambda issuer: unsigned(claims_of(issuer), "None"),
    "HS256 with the public key as secret": lambda issuer: unsigned(
        claims_of(issuer), "HS256", hs256(public_key(issuer))
    ),
    "HS256 with the published modulus as secret": lambda issuer: unsigned(
        claims_of(issuer), "HS256", hs256(issuer.keys[0].jwk["n"].encode())
    ),
    "another algorithm of the same key": lambda issuer: signed(
        claims_of(issuer), issuer.keys[0].private, "RS512", "first"
    ),
    "another's signature": lambda issuer: signed(claims_of(issuer), signing_key("eve").private, "RS256", "first"),
    "changed claims": lambda issuer: changed(issuer.token()),
    "no signature": lambda issuer: issuer.token().rpartition(".")[0] + ".",
    "another audience": lambda issuer: issuer.token(aud="another"),
    "no audience": lambda issuer: issuer.token(aud=None),
    "another issuer": lambda issuer: issuer.token(iss="https://evil.example/"),
    "an issuer without its slash": lambda issuer: issuer.token(iss=issuer.url),
    "no issuer": lambda issuer: issuer.token(iss=None),
    "no end": lambda issuer: issuer.token(exp=None),
    "an end that is no time": lambda issuer: issuer.token(exp="tomorrow"),
    "no subject": lambda issuer: issuer.token(sub=None),
    "expired": lambda issuer: issuer.token(exp=int(time.time()) - 120),
    "not yet valid": lambda issuer: issuer.token(nbf=int(time.time()) + 120),
    "an unknown key": lambda issuer: issuer.token(key=signing_key("unknown")),
    "no key named": lambda issuer: unsigned(claims_of(issuer), "RS256", kid=None),
    "a key that is no name": lambda issuer: unsigned(claims_of(issuer), "RS256", kid=7),
    "garbage": lambda _: "garbage",
    "more garbage": lambda _: "a.b.c",
    "not ASCII": lambda _: "é.é.é",
    "a header that is no object": lambda _: f"{letters(b'[]').decode()}.e30.e30",
    "a header without end": lambda _: f"{letters(b'[' * 5000).decode()}.e30.e30",
    "claims that are no object": lambda issuer: signed([], issuer.keys[0].private, "RS256", "first"),
    "a subject that is a number": lambda issuer: issuer.token(sub=7),
    "a subject that is empty": lambda issuer: issuer.token(sub=""),
    "a subject that is too long": lambda issuer: issuer.token(sub="x" * 129),
    "a subject with a line break": lambda issuer: issuer.token(sub="ada\n"),
    "a subject that looks like another": lambda issuer: issuer.token(sub=" ada"),
    "a subject that is not composed": lambda issuer: issuer.token(sub="cafe\u0301"),
}
