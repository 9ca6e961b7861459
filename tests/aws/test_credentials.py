"""Credentials that end: they come anew in time, links end with them, and without them nothing is signed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from aiohttp import web

from service.aws.s3 import S3ObjectStore
from service.aws.session import opened_clients
from service.domain.errors import Unavailable
from service.settings import Settings

HOUR = timedelta(hours=1)
SOON = timedelta(minutes=5)  # so soon that the SDK asks for others at once


@dataclass
class Issuer:
    """Where a container, or a function's machine, gets its credentials; each time others."""

    url: str = ""
    life: timedelta = HOUR
    works: bool = True
    given: int = 0

    async def give(self, _: web.Request) -> web.Response:
        if not self.works:
            return web.Response(status=500)
        self.given += 1
        ends = datetime.now(UTC) + self.life
        keys = {"AccessKeyId": f"ASIA{self.given}", "SecretAccessKey": "secret", "Token": f"token-{self.given}"}
        return web.json_response({**keys, "Expiration": f"{ends:%Y-%m-%dT%H:%M:%SZ}"})


@pytest.fixture
async def issuer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Issuer]:
    """Return an issuer that the SDK asks, and nobody else."""
    made = Issuer()
    app = web.Application()
    app.router.add_get("/credentials", made.give)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/credentials"
    for name, value in {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": made.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": "/nowhere",
        "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    yield made
    await runner.cleanup()


@asynccontextmanager
async def opened() -> AsyncIterator[S3ObjectStore]:
    """Open a store whose links the issuer's credentials sign; it asks for the first at once."""
    async with opened_clients(Settings()) as clients:
        yield S3ObjectStore(clients, "pictures")


async def signed(objects: S3ObjectStore) -> tuple[dict[str, str], datetime]:
    """Return the parameters of a link that is asked to last two hours, and when it ends."""
    now = datetime.now(UTC)
    downloads = await objects.presign_downloads(now, now + 2 * HOUR)
    query = urlsplit(downloads.url("images/a", "image/png", "inline")).query
    return dict(parse_qsl(query)), downloads.expires_at


def signer(parameters: dict[str, str]) -> tuple[str, str]:
    return parameters["X-Amz-Credential"].partition("/")[0], parameters["X-Amz-Security-Token"]


async def test_what_lasts_signs_on_and_its_links_end_with_it(issuer: Issuer) -> None:
    began = datetime.now(UTC).replace(microsecond=0)
    async with opened() as objects:
        for _ in range(2):
            parameters, ends = await signed(objects)
            assert signer(parameters) == ("ASIA1", "token-1")
            assert began + timedelta(minutes=59) < ends <= datetime.now(UTC) + HOUR
            assert int(parameters["X-Amz-Expires"]) <= HOUR.total_seconds()
    assert issuer.given == 1


async def test_what_ends_soon_is_followed_by_others(issuer: Issuer) -> None:
    issuer.life = SOON
    async with opened() as objects:
        first, first_ends = await signed(objects)
        issuer.life = HOUR
        second, second_ends = await signed(objects)
        assert signer(first) != signer(second)
        assert first_ends < datetime.now(UTC) + HOUR / 2 < second_ends
        assert signer((await signed(objects))[0]) == signer(second)


async def test_when_no_others_come_the_service_says_so_and_heals(issuer: Issuer) -> None:
    issuer.life = SOON
    async with opened() as objects:
        await signed(objects)
        issuer.works = False
        with pytest.raises(Unavailable):
            await signed(objects)
        issuer.works, issuer.life = True, HOUR
        assert (await signed(objects))[1] > datetime.now(UTC) + HOUR / 2


async def test_what_comes_expired_signs_nothing(issuer: Issuer) -> None:
    issuer.life = -HOUR
    async with opened() as objects:
        with pytest.raises(Unavailable):
            await signed(objects)
