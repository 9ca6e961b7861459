"""Who is calling: tokens against a real issuer, with all that an issuer and a forger may do."""

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from service.api.http import ApiRequest
from service.api.identity import Caller, Identity
from service.api.jwks import ALGORITHMS, IssuerKeys
from service.api.tokens import TokenVerifier
from service.domain.errors import InvalidRequest, InvalidToken, Unauthorized, Unavailable, UserMismatch
from tests.forgeries import BAD_TOKENS, claims_of, hs256, letters, unsigned
from tests.issuer import AUDIENCE, Issuer, SigningKey, running_issuer, signed, signing_key


class Clock:
    """A time that passes when it is told to, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with running_issuer() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def identity(issuer: Issuer, clock: Clock) -> AsyncIterator[Identity]:
    """Return what believes this issuer, and waits half a second for its keys."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.5)) as http:
        keys = IssuerKeys(http, issuer.jwks_url, clock)
        yield Identity(TokenVerifier(keys, issuer.name, AUDIENCE).verify)


async def nothing() -> AsyncIterator[bytes]:
    for each in ():
        yield each


def request(authorization: str | None = None, claims: Any = None) -> ApiRequest:
    headers = {} if authorization is None else {"authorization": authorization}
    return ApiRequest("GET", "/images", nothing(), headers=headers, claims=claims)


async def user(identity: Identity, token: str) -> str | None:
    """Return whom a token is taken for."""
    return (await identity.caller(request(f"Bearer {token}"))).user_id


# ---------------------------------------------------------------- tokens that are good


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_is_its_subject_s_whatever_it_is_signed_with(
    issuer: Issuer, identity: Identity, algorithm: str
) -> None:
    issuer.keys = [signing_key(algorithm, algorithm)]
    assert await user(identity, issuer.token("ada")) == "ada"


async def test_a_key_that_does_not_say_its_algorithm_has_the_usual_one(issuer: Issuer, identity: Identity) -> None:
    key = signing_key("silent")
    silent = {name: value for name, value in key.jwk.items() if name not in {"alg", "use"}}
    issuer.keys = [SigningKey(key.private, "RS256", silent)]
    assert await user(identity, issuer.token("ada")) == "ada"


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   "])
async def test_the_scheme_is_found_in_any_case(issuer: Issuer, identity: Identity, scheme: str) -> None:
    assert (await identity.caller(request(scheme + issuer.token("ada")))).user_id == "ada"


async def test_one_of_several_audiences_is_enough(issuer: Issuer, identity: Identity) -> None:
    assert await user(identity, issuer.token("ada", aud=["other", AUDIENCE])) == "ada"


async def test_clocks_may_be_a_few_seconds_apart(issuer: Issuer, identity: Identity) -> None:
    now = int(time.time())
    assert await user(identity, issuer.token("ada", exp=now - 10)) == "ada"
    assert await user(identity, issuer.token("ada", nbf=now + 10, iat=now + 10)) == "ada"


# ---------------------------------------------------------------- tokens that are not


@pytest.mark.parametrize("bad", BAD_TOKENS)
async def test_a_token_that_is_no_good_is_nobody_s(issuer: Issuer, identity: Identity, bad: str) -> None:
    token = BAD_TOKENS[bad](issuer)
    with pytest.raises(InvalidToken) as refused:
        await user(identity, token)
    assert 'error="invalid_token"' in refused.value.headers["WWW-Authenticate"]
    assert await user(identity, issuer.token("ada")) == "ada", "the issuer's own is still good"


@pytest.mark.parametrize("bad", BAD_TOKENS)
async def test_nothing_of_a_token_is_told_or_logged(
    issuer: Issuer, identity: Identity, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "service")
    token = BAD_TOKENS[bad](issuer)
    with pytest.raises(InvalidToken) as refused:
        await user(identity, token)
    told = re.findall(r"[\w-]+", refused.value.detail + caplog.text)
    assert not [each for each in token.split(".") if each in told]
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("authorization", [None, "", "Basic YWRhOmFkYQ==", "Bearer", "Bearer ", "Token x"])
async def test_without_a_token_one_is_asked_for(identity: Identity, authorization: str | None) -> None:
    with pytest.raises(Unauthorized) as refused:
        await identity.caller(request(authorization))
    assert refused.value.headers == {"WWW-Authenticate": 'Bearer realm="pixdepot"'}


# ---------------------------------------------------------------- keys


async def test_many_at_once_ask_for_the_keys_once(issuer: Issuer, identity: Identity) -> None:
    tokens = [issuer.token(f"user-{n}") for n in range(50)]
    found = await asyncio.gather(*(user(identity, each) for each in tokens))
    assert found == [f"user-{n}" for n in range(50)]
    assert issuer.fetches == 1


async def test_keys_are_kept_for_a_while(issuer: Issuer, identity: Identity, clock: Clock) -> None:
    for seconds, fetches in ((0, 1), (299, 1), (2, 2), (1, 2)):
        clock.now += seconds
        assert await user(identity, issuer.token("ada")) == "ada"
        assert issuer.fetches == fetches


async def test_a_hundred_unknown_keys_are_asked_for_once(issuer: Issuer, identity: Identity, clock: Clock) -> None:
    key = signing_key("unknown")
    forged = [signed(claims_of(issuer), key.private, "RS256", secrets.token_hex(8)) for _ in range(100)]
    for some in (forged[:50], forged[50:]):
        outcomes = await asyncio.gather(*(user(identity, each) for each in some), return_exceptions=True)
        assert {type(each) for each in outcomes} == {InvalidToken}
    assert issuer.fetches == 2
    clock.now += 10
    assert await user(identity, issuer.token("ada")) == "ada"
    assert issuer.fetches == 2
    with pytest.raises(InvalidToken):
        await user(identity, forged[0])
    assert issuer.fetches == 3


async def test_a_new_key_is_found_at_once_and_an_old_one_is_good_no_more(
    issuer: Issuer, identity: Identity, clock: Clock
) -> None:
    old = issuer.token("ada")
    assert await user(identity, old) == "ada"
    for n, name in enumerate(("second", "third")):
        issuer.keys = [signing_key(name)]
        assert await user(identity, issuer.token("ben")) == "ben"
        assert issuer.fetches == n + 2
        with pytest.raises(InvalidToken):
            await user(identity, old)
        clock.now += 10


async def test_a_key_that_was_taken_back_is_good_until_the_keys_are_asked_for_again(
    issuer: Issuer, identity: Identity, clock: Clock
) -> None:
    taken_back = issuer.token("ada")
    assert await user(identity, taken_back) == "ada"
    issuer.keys = [signing_key("second")]
    clock.now += 300
    with pytest.raises(InvalidToken):
        await user(identity, taken_back)


def down(issuer: Issuer) -> None:
    issuer.status = 500


def garbage(issuer: Issuer) -> None:
    issuer.body = b"\x00garbage"


def nested(issuer: Issuer) -> None:
    issuer.body = b"[" * 100_000


def empty(issuer: Issuer) -> None:
    issuer.body = b'{"keys": []}'


def no_set(issuer: Issuer) -> None:
    issuer.body = b'["keys"]'


def too_much(issuer: Issuer) -> None:
    issuer.body = issuer.key_set.ljust(256 * 1024 + 1)


def moved(issuer: Issuer) -> None:
    issuer.status = 302


def hanging(issuer: Issuer) -> None:
    issuer.hangs = True


FAULTS = pytest.mark.parametrize("fault", [down, garbage, nested, empty, no_set, too_much, moved, hanging])


@FAULTS
async def test_while_the_keys_were_never_had_nothing_can_be_told(
    issuer: Issuer, identity: Identity, clock: Clock, fault: Callable[[Issuer], None]
) -> None:
    fault(issuer)
    outcomes = await asyncio.gather(*(user(identity, issuer.token()) for _ in range(50)), return_exceptions=True)
    assert {type(each) for each in outcomes} == {Unavailable}
    with pytest.raises(Unavailable) as refused:
        await user(identity, issuer.token())
    assert int(refused.value.headers["Retry-After"]) > 0
    assert issuer.fetches == 1, "a service that is down is not asked by every request"
    issuer.status, issuer.body, issuer.hangs = 200, None, False
    clock.now += 10
    assert await user(identity, issuer.token("ada")) == "ada"


@FAULTS
async def test_the_last_good_keys_are_kept_while_the_issuer_is_down(
    issuer: Issuer, identity: Identity, clock: Clock, fault: Callable[[Issuer], None]
) -> None:
    assert await user(identity, issuer.token("ada")) == "ada"
    fault(issuer)
    for fetches in (2, 3):
        clock.now += 3600
        found = await asyncio.gather(*(user(identity, issuer.token("ada")) for _ in range(20)))
        assert set(found) == {"ada"}
        assert issuer.fetches == fetches
    with pytest.raises(InvalidToken):
        await user(identity, issuer.token(key=signing_key("unknown")))


async def test_while_one_asks_again_the_others_go_on(issuer: Issuer, identity: Identity, clock: Clock) -> None:
    assert await user(identity, issuer.token("ada")) == "ada"
    issuer.hangs, clock.now = True, clock.now + 300
    one = asyncio.create_task(user(identity, issuer.token("ada")))
    await issuer.hanging.wait()
    assert await user(identity, issuer.token("ben")) == "ben"
    assert not one.done()
    issuer.going_on.set()
    assert await one == "ada"


async def test_an_issuer_that_is_not_there_is_waited_for(issuer: Issuer, clock: Clock) -> None:
    async with aiohttp.ClientSession() as http:
        keys = IssuerKeys(http, "http://127.0.0.1:1/jwks", clock)
        with pytest.raises(Unavailable):
            await user(Identity(TokenVerifier(keys, issuer.name, AUDIENCE).verify), issuer.token())


@pytest.mark.parametrize(
    "published",
    [
        {"use": "enc"},
        {"use": ["sig"]},
        {"alg": "HS256"},
        {"alg": "none"},
        {"alg": "RSA-OAEP"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {"kty": "XYZ"},
        {"kid": 7},
        {"n": 7},
        {"n": "!"},
        {"d": "AQAB"},
    ],
    ids=str,
)
async def test_a_key_that_is_not_for_signatures_is_left_alone(
    issuer: Issuer, identity: Identity, published: dict[str, Any]
) -> None:
    other, good = signing_key("other"), issuer.keys[0]
    issuer.keys = [SigningKey(other.private, "RS256", {**other.jwk, **published}), good]
    assert await user(identity, issuer.token("ada", key=good)) == "ada"
    with pytest.raises(InvalidToken):
        await user(identity, signed(claims_of(issuer), other.private, "RS256", "other"))


async def test_a_secret_among_the_keys_signs_nothing(issuer: Issuer, identity: Identity) -> None:
    secret = {"kty": "oct", "k": letters(b"s" * 32).decode(), "kid": "first", "use": "sig", "alg": "HS256"}
    issuer.body = json.dumps({"keys": [secret, signing_key("second").jwk]}).encode()
    assert await user(identity, issuer.token("ada", key=signing_key("second"))) == "ada"
    with pytest.raises(InvalidToken):
        await user(identity, unsigned(claims_of(issuer), "HS256", hs256(b"s" * 32)))


# ---------------------------------------------------------------- claims of a gateway, and open auth


async def test_a_gateway_s_claims_are_the_identity_and_no_token_is_looked_at(
    issuer: Issuer, identity: Identity
) -> None:
    for header in (None, "Bearer garbage", f"Bearer {issuer.token('eve')}"):
        assert await identity.caller(request(header, {"sub": "ada"})) == Caller("ada")
    assert issuer.fetches == 0


@pytest.mark.parametrize("claims", [{}, {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": "x" * 129}, {"sub": " a"}])
async def test_a_gateway_s_claims_without_a_user_are_nobody_s(
    issuer: Issuer, identity: Identity, claims: dict[str, Any]
) -> None:
    with pytest.raises(InvalidToken):
        await identity.caller(request(f"Bearer {issuer.token()}", claims))


async def test_with_open_auth_nothing_is_asked() -> None:
    assert await Identity().caller(request("Bearer garbage", {"sub": "ada"})) == Caller(None)


def test_a_caller_acts_as_the_one_the_token_names() -> None:
    assert [Caller("ada").acting_as(said) for said in (None, "ada")] == ["ada", "ada"]
    for other in ("Ada", "eve", ""):
        with pytest.raises(UserMismatch):
            Caller("ada").acting_as(other)


def test_with_open_auth_a_caller_acts_as_the_request_says() -> None:
    assert Caller().acting_as("ada") == "ada"
    with pytest.raises(InvalidRequest) as refused:
        Caller().acting_as(None)
    assert refused.value.errors.keys() == {"user_id"}
