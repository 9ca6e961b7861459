"""The API on LocalStack, where the service's forerunner ran: through its gateway, and by its S3's events."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

import pixdepot
from bootstrap.commands import opened_setup, status, up
from bootstrap.gateway import rest_api
from lambda_adapter.binary import BINARY_MEDIA_TYPES
from service.settings import Settings
from tests.api.client import ApiClient
from tests.aws.on_lambda import deployed_on_localstack, make_older, package
from tests.aws.stand_in import new_settings, sdk_environment
from tests.aws.test_on_lambda import decided, sent
from tests.pictures import picture, sha256_of
from tests.servers.localstack import LocalStack

PHOTO = picture(size=(320, 240), noise=True)


@pytest.fixture(scope="module")
def settings() -> Settings:
    """Return settings with names that nobody else has."""
    return new_settings()


@pytest.fixture(scope="module")
async def api(localstack: LocalStack, settings: Settings) -> AsyncIterator[ApiClient]:
    """Return a client of a deployment."""
    async with deployed_on_localstack(localstack, settings) as client:
        yield client


async def test_bootstrap_makes_everything_once(api: ApiClient, localstack: LocalStack, settings: Settings) -> None:
    with sdk_environment(localstack.endpoint_url, localstack.key, dynamodb=localstack.dynamodb_url):
        found = await status(settings, package())
        assert {each.state for each in found} == {"ok"}
        assert (await up(settings, package())).names == []


async def test_nothing_but_this_machine_reaches_it(localstack: LocalStack) -> None:
    port = urlsplit(localstack.endpoint_url).port
    lines = [
        line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()
    ]
    assert [each[1] for each in lines if each[1].endswith(f":{port:04X}") and each[3] == "0A"] == [
        f"0100007F:{port:04X}"
    ]


async def test_an_upload_is_published_when_its_bytes_arrive(api: ApiClient) -> None:
    upload = await sent(api, PHOTO)
    assert (await decided(api, upload["image_id"]))["status"] == "ready"
    metadata = (await api.get(f"/images/{upload['image_id']}?metadata_only=true")).json["metadata"]
    assert metadata["sha256"] == sha256_of(PHOTO)


async def test_bytes_that_are_no_picture_leave_their_reason_on_the_upload(api: ApiClient) -> None:
    upload = await sent(api, b"%PDF-1.7 not a picture")
    state = await decided(api, upload["image_id"])
    assert (state["status"], state["failure"]["code"]) == ("failed", "unsupported_image")


async def test_a_form_arrives_as_it_was_sent(api: ApiClient) -> None:
    answer = await api.upload_form({"user_id": "ada", "title": "A photo"}, PHOTO)
    assert answer.status == 201, answer.body
    assert answer.json["metadata"]["sha256"] == sha256_of(PHOTO)


@pytest.mark.parametrize("accept", ["image/*, */*;q=0.5", "image/jpeg", "*/*", "text/html,image/*", None])
async def test_a_download_is_bytes_or_leads_to_them_and_is_never_text(api: ApiClient, accept: str | None) -> None:
    image_id = (await api.uploaded(PHOTO, user_id="ada"))["image_id"]
    answer = await api.download(image_id, **({"Accept": accept} if accept else {}))
    if answer.status == 302:
        assert not (accept or "").startswith("image/")
        answer = await api.fetch(answer.headers["Location"])
    else:
        assert (accept or "").startswith("image/")
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (200, "image/jpeg", PHOTO)


async def test_our_client_downloads_through_the_gateway(api: ApiClient, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(PHOTO)
    user = f"user-{secrets.token_hex(8)}"
    asked = list[str]()

    async def note(_session: object, _context: object, request: aiohttp.TraceRequestStartParams) -> None:
        asked.append(str(request.url))

    tracing = aiohttp.TraceConfig()
    tracing.on_request_start.append(note)
    async with (
        aiohttp.ClientSession(trace_configs=[tracing]) as session,
        pixdepot.Client(api.base_url, user_id=user, session=session) as client,
    ):
        image = await client.upload(tmp_path / "photo.jpg")
        asked.clear()
        saved = await client.download(image.image_id, tmp_path / "saved.jpg")
    assert saved.read_bytes() == PHOTO
    assert [each for each in asked if not each.startswith(api.base_url)] == []  # no redirect


async def test_an_api_of_an_older_version_is_brought_up_to_date_at_its_url(
    api: ApiClient, localstack: LocalStack, settings: Settings
) -> None:
    with sdk_environment(localstack.endpoint_url, localstack.key, dynamodb=localstack.dynamodb_url):
        await make_older(settings)
        made = await up(settings, package())
    assert f"REST API {settings.bucket}" in made.names
    assert made.url == api.base_url
    assert (await api.get("/images")).status == 200


async def test_on_aws_an_older_api_is_changed_in_place(
    api: ApiClient, localstack: LocalStack, settings: Settings
) -> None:
    """AWS gives every API an id of its own, and the URL has it."""
    with sdk_environment(localstack.endpoint_url, localstack.key, dynamodb=localstack.dynamodb_url):
        before = await make_older(settings)
        async with opened_setup(settings, package()) as setup:
            assert setup.deployment
            gateway, *_ = rest_api(replace(setup.deployment, emulator=""))
            assert await gateway.up()
            assert not await gateway.up()
            found = await setup.deployment.apigateway.get_rest_api(restApiId=before)
            assert set(found["binaryMediaTypes"]) == set(BINARY_MEDIA_TYPES)
        await up(settings, package())  # the other tests share it
