"""What `pixdepot doctor` says that each storage enforces, as it really is. Another store is an entry of NOT."""

import json
import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from bootstrap import enforcement
from bootstrap.emulator import Emulator
from bootstrap.enforcement import Enforced, Enforcement
from service.aws.s3 import S3ObjectStore
from service.aws.session import opened_clients
from service.settings import Settings
from tests.aws.conftest import STORES, Storage, with_bucket
from tests.aws.stand_in import opened_in
from tests.process.servers import PIXDEPOT, run, serving
from tests.servers.localstack import running_localstack
from tests.servers.moto import running_moto
from tests.servers.proxy import proxied

UPLOADS = [each.name for each in enforcement._PUTS] + ["second PUT"]
DOWNLOADS = ["altered download link", "unsigned download", "expired download link"]
FORMS = [each.name for each in enforcement._FORMS]
EVERYTHING = [*UPLOADS, *DOWNLOADS, "POST form", *FORMS]

_LOCALSTACK_FORMS = {"altered form", "form with another SHA-256", "form with an unsigned field"}

# What each store does not enforce.
NOT: dict[str, set[str]] = {
    "ministack": {"unsigned header", "form with another SHA-256"},
    "ceph": {"another SHA-256", "unsigned header", "form with another SHA-256"},
    "seaweedfs": {"form with an unsigned field"},
    "localstack": {"unsigned upload", "unsigned download", *_LOCALSTACK_FORMS},
    "localstack by default": {*UPLOADS, *DOWNLOADS, *_LOCALSTACK_FORMS} - {"another SHA-256", "second PUT"},
    "moto": {*UPLOADS, *DOWNLOADS, *FORMS} - {"second PUT", "unsigned download"},
}


OTHERS = {"moto": "on_moto", "localstack by default": "on_lenient_localstack"}


@pytest.fixture(scope="session")
async def on_moto(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Storage]:
    """Return moto with a bucket."""
    async with running_moto(tmp_path_factory.mktemp("moto")) as gateway:
        yield await with_bucket(gateway)


@pytest.fixture(scope="session")
async def on_lenient_localstack(
    emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Storage]:
    """Return LocalStack as it is by default, with a bucket: it does not check signatures."""
    place = tmp_path_factory.mktemp("lenient")
    async with running_localstack(place, emulator, checks_signatures=False) as localstack:
        yield await with_bucket(localstack)


@pytest.fixture
def examined(request: pytest.FixtureRequest, named: str) -> Storage:
    """Return the store of this name."""
    found: Storage = request.getfixturevalue({**STORES, **OTHERS}[named])
    return found


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """Return what the doctor sends things with."""
    async with aiohttp.ClientSession() as session:
        yield session


async def rows(storage: Storage, http: aiohttp.ClientSession, *, post_forms: bool = True) -> dict[str, Enforced]:
    """Return what is said of a store, by name; nothing that was tried is left there."""
    async with opened_in(storage.environment(), opened_clients(Settings())) as clients:
        objects = S3ObjectStore(clients, storage.bucket)
        found = Enforcement(objects, http, str, post_forms)
        told = {row.name: row async for row in found.rows()}
        assert not [each async for each in objects.list("uploads/doctor-")]
    return told


@pytest.mark.parametrize("named", NOT)
async def test_each_store_is_told_as_it_is(named: str, examined: Storage, http: aiohttp.ClientSession) -> None:
    told = await rows(examined, http)
    assert list(told) == EVERYTHING
    assert {row.name for row in told.values() if not row.enforced} == NOT[named]
    assert all(bool(row.follows) != row.enforced for row in told.values())
    relied_on = {name for name in NOT[named] if re.match("altered|unsigned (up|down)load|expired", name)}
    assert {row.name for row in told.values() if not row.ok} == relied_on


async def test_the_local_backend_enforces_all_but_what_it_passes_over(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        pass
    ended = await run(PIXDEPOT, "doctor", "--data", str(server.data), directory=tmp_path)
    assert (ended.code, ended.out.count("yes    enforces: ")) == (0, len(EVERYTHING) - 2), ended
    for passed_over in ("unsigned header", "form with an unsigned field"):
        assert f"no     enforces: {passed_over}\n       A request can carry unsigned" in ended.out


async def test_the_doctor_fails_where_signatures_are_not_checked(
    emulator: Emulator, on_moto: Storage, tmp_path: Path
) -> None:
    variables = {
        "PIXDEPOT_BACKEND": "aws",
        "PIXDEPOT_BUCKET": f"unchecked-{secrets.token_hex(6)}",
        **emulator.sdk_environment,
        "AWS_ENDPOINT_URL_S3": on_moto.endpoint_url,
    }
    assert (await run(PIXDEPOT, "bootstrap", "up", directory=tmp_path, **variables)).code == 0
    ended = await run(PIXDEPOT, "doctor", directory=tmp_path, **variables)
    assert ended.code == 1
    assert "ok     download through a link\n" in ended.out
    assert "FAILED enforces: altered download link\n       Anyone who knows the key" in ended.out
    documents = await run(PIXDEPOT, "doctor", "--json", directory=tmp_path, **variables)
    told = {each["name"]: each for each in map(json.loads, documents.out.splitlines()) if "enforced" in each}
    assert told["another type"].items() >= {"enforced": False, "ok": True, "cause": ""}.items()
    assert told["expired upload link"].items() >= {"enforced": False, "ok": False, "cause": "not enforced"}.items()


# ---------------------------------------------------------------- a store without forms


@pytest.fixture
async def without_forms(ministack: Storage) -> AsyncIterator[Storage]:
    """Return a store that has no POST form, as R2 and Swift."""
    async with proxied(ministack.endpoint_url) as proxy:
        proxy.instead = lambda it: web.Response(status=412) if it.method == "POST" else None
        yield replace(ministack, endpoint_url=proxy.url)


async def test_a_store_without_forms(without_forms: Storage, http: aiohttp.ClientSession) -> None:
    told = await rows(without_forms, http)
    assert list(told) == EVERYTHING[: -len(FORMS)]
    assert [row.name for row in told.values() if not row.ok] == ["POST form"]
    assert "PIXDEPOT_POST_FORMS=0" in told["POST form"].follows


async def test_a_store_without_forms_is_well_where_none_are_offered(
    without_forms: Storage, http: aiohttp.ClientSession
) -> None:
    told = await rows(without_forms, http, post_forms=False)
    assert all(row.ok for row in told.values())
    assert not told["POST form"].enforced


async def test_forms_that_nobody_is_offered_are_told(ministack: Storage, http: aiohttp.ClientSession) -> None:
    told = await rows(ministack, http, post_forms=False)
    assert all(row.ok for row in told.values())
    assert told["POST form"].enforced
    assert "PIXDEPOT_POST_FORMS=0" in told["POST form"].follows
