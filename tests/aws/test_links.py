"""Presigned links, as the service signs them, held against real S3s: what they take, and all that they refuse."""

import base64
import json
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import aioboto3
import pytest

from bootstrap.bucket import cors_rules
from bootstrap.emulator import AccessKey
from service.aws.s3 import S3ObjectStore
from service.aws.session import Clients, opened_clients
from service.backends import opened_backend
from service.domain import model
from service.domain.errors import InvalidImage, ObjectMissing
from service.domain.model import Details, Expected, SignedUpload
from service.operations.depot import Depot
from service.operations.inspection import Inspector
from service.operations.uploads import UploadService
from service.settings import Settings
from tests.api.client import Answer, ApiClient
from tests.aws.conftest import Storage
from tests.aws.stand_in import Account, opened_in, sdk_environment
from tests.pictures import picture, sha256_of

DATA = picture()
OTHER_SHA256 = DATA[:-3] + bytes([DATA[-3] ^ 1]) + DATA[-2:]  # as many bytes
METHODS = pytest.mark.parametrize("method", ["PUT", "POST"])
MINUTES = timedelta(minutes=1)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def key() -> str:
    """Return a key that no other test knows."""
    return f"uploads/{secrets.token_hex(16)}"


async def signed(objects: S3ObjectStore, key: str, method: str, **expected: Any) -> SignedUpload:
    """Return a link that takes DATA under this key."""
    what = Expected(method, "image/jpeg", len(DATA), **expected)  # type: ignore[arg-type]
    return await objects.presign_upload(key, what, 10 * 2**20, now(), now() + 15 * MINUTES)


async def sent(browser: ApiClient, link: SignedUpload, data: bytes = DATA) -> Answer:
    return await browser.transfer(asdict(link), data)


def refused(answer: Answer) -> bool:
    """Return whether a request was turned down. LocalStack fails over some that make no sense (500)."""
    return answer.status >= 400


async def stored(objects: S3ObjectStore, key: str) -> bytes | None:
    """Return what is under a key now."""
    try:
        return b"".join([chunk async for chunk in await objects.open(key)])
    except ObjectMissing:
        return None


def changed(link: SignedUpload, names: Mapping[str, str | None]) -> SignedUpload:
    """Return the link with other values in its query, its headers or its fields; None leaves one out."""
    place, _, query = link.url.partition("?")
    parts = (dict(parse_qsl(query, keep_blank_values=True)), dict(link.headers), dict(link.fields))
    for part in parts:
        part.update({name: value or "" for name, value in names.items() if name in part})
        for name in [name for name, value in names.items() if value is None]:
            part.pop(name, None)
    query, headers, fields = urlencode(parts[0]), parts[1], parts[2]
    return replace(link, url=f"{place}?{query}" if query else place, headers=headers, fields=fields)


# ---------------------------------------------------------------- uploads


@METHODS
async def test_a_link_takes_what_it_was_signed_for(
    objects: S3ObjectStore, browser: ApiClient, key: str, method: str
) -> None:
    link = await signed(objects, key, method, sha256=sha256_of(DATA))
    assert (await sent(browser, link)).status in {200, 204}
    assert await stored(objects, key) == DATA


WRONG: dict[str, tuple[bytes, dict[str, str | None]]] = {
    "a byte more": (DATA + b"\0", {}),
    "a byte less": (DATA[:-1], {}),
    "no bytes": (b"", {}),
    "another type": (DATA, {"Content-Type": "image/png"}),
    "a dangerous type": (DATA, {"Content-Type": "text/html"}),
    "no type": (DATA, {"Content-Type": None}),
}


@pytest.mark.parametrize("wrong", WRONG)
@METHODS
async def test_a_link_takes_nothing_else(
    objects: S3ObjectStore, browser: ApiClient, key: str, method: str, wrong: str
) -> None:
    link = await signed(objects, key, method)
    data, names = WRONG[wrong]
    assert refused(await sent(browser, changed(link, names), data))
    assert await stored(objects, key) is None


async def test_a_form_without_a_size_is_held_to_the_limit(
    objects: S3ObjectStore, browser: ApiClient, key: str
) -> None:
    what = Expected("POST", "image/jpeg")
    link = await objects.presign_upload(key, what, len(DATA), now(), now() + 15 * MINUTES)
    assert refused(await sent(browser, link, DATA + b"\0"))
    assert refused(await sent(browser, link, b""))
    assert (await sent(browser, link)).status == 204


@METHODS
async def test_a_link_leads_to_its_own_key_only(
    objects: S3ObjectStore, browser: ApiClient, key: str, method: str
) -> None:
    link, other = await signed(objects, key, method), f"{key}0"
    elsewhere = replace(changed(link, {"key": other}), url=link.url.replace(key, other))
    assert refused(await sent(browser, elsewhere))
    assert await stored(objects, other) is None


@METHODS
async def test_no_part_of_a_link_can_be_altered_or_left_out(
    storage: Storage, objects: S3ObjectStore, browser: ApiClient, key: str, method: str
) -> None:
    link = await signed(objects, key, method, sha256=sha256_of(DATA))
    parts = {**dict(parse_qsl(urlsplit(link.url).query)), **link.fields}
    assert len(parts) >= 6
    for name, value in parts.items():
        if name in {"policy", "x-amz-signature"} and not storage.checks_forms:
            continue
        last = value[:-1] + ("0" if value[-1] != "0" else "1")
        for other in (None, "", last, f"{value}1"):
            answer = await sent(browser, changed(link, {name: other}))
            assert refused(answer), (name, other, answer.body)
    assert await stored(objects, key) is None


@pytest.mark.parametrize("header", ["Content-Type", "If-None-Match", "x-amz-checksum-sha256"])
async def test_a_put_carries_every_header_that_was_signed(
    objects: S3ObjectStore, browser: ApiClient, key: str, header: str
) -> None:
    link = await signed(objects, key, "PUT", sha256=sha256_of(DATA))
    for other in (None, f"{link.headers[header]}1"):
        assert refused(await sent(browser, changed(link, {header: other})))
    assert await stored(objects, key) is None


async def test_a_policy_cannot_be_widened(
    storage: Storage, objects: S3ObjectStore, browser: ApiClient, key: str
) -> None:
    link = await signed(objects, key, "POST")
    policy = json.loads(base64.b64decode(link.fields["policy"]))
    (lengths,) = [each for each in policy["conditions"] if "content-length-range" in each]
    lengths[2] += 1
    wider = base64.b64encode(json.dumps(policy).encode()).decode()
    assert refused(await sent(browser, changed(link, {"policy": wider}), DATA + b"\0")) is storage.checks_forms
    assert await stored(objects, key) == (None if storage.checks_forms else DATA + b"\0")


@METHODS
async def test_an_expired_link_takes_nothing(
    objects: S3ObjectStore, browser: ApiClient, key: str, method: str
) -> None:
    what = Expected(method, "image/jpeg", len(DATA))  # type: ignore[arg-type]
    ended = now() - 45 * MINUTES
    link = await objects.presign_upload(key, what, len(DATA), now() - 60 * MINUTES, ended)
    assert link.expires_at == ended
    assert refused(await sent(browser, link))
    assert await stored(objects, key) is None


async def test_a_put_is_taken_once(objects: S3ObjectStore, browser: ApiClient, key: str) -> None:
    link = await signed(objects, key, "PUT")
    assert (await sent(browser, link)).status == 200
    assert (await sent(browser, link, OTHER_SHA256)).status == 412
    assert await stored(objects, key) == DATA


@pytest.mark.parametrize(
    ("storage", "method"), [("ministack", "PUT"), ("seaweedfs", "PUT"), ("seaweedfs", "POST")], indirect=["storage"]
)
async def test_other_bytes_than_those_of_the_sha256_are_refused(
    objects: S3ObjectStore, browser: ApiClient, key: str, method: str
) -> None:
    link = await signed(objects, key, method, sha256=sha256_of(DATA))
    assert refused(await sent(browser, link, OTHER_SHA256))
    assert await stored(objects, key) is None


@pytest.fixture(scope="session")
async def uploads(account: Account, objects: S3ObjectStore) -> AsyncIterator[UploadService]:
    """Return the service of direct uploads to each S3."""
    settings = account.settings
    async with opened_in(account.environment(), opened_backend(settings, model.now)) as backend:
        yield UploadService(Depot(objects, backend.records, settings, Inspector(settings)))


@METHODS
async def test_complete_refuses_another_sha256_whatever_the_storage_takes(
    uploads: UploadService, objects: S3ObjectStore, browser: ApiClient, method: str
) -> None:
    promised = Expected(method, "image/jpeg", len(DATA), sha256_of(DATA))  # type: ignore[arg-type]
    upload, _ = await uploads.begin(Details("ada", "A photo", "photo.jpg"), promised)
    key = f"uploads/{upload.image_id}"
    await objects.put(key, OTHER_SHA256, "image/jpeg")
    with pytest.raises(InvalidImage):
        await uploads.complete(upload.image_id, "ada")
    assert await stored(objects, key) is None


@pytest.mark.parametrize("expected", [
    Expected("PUT", "image/jpeg", len(DATA)),
    Expected("PUT", "application/octet-stream", len(DATA)),
    Expected("POST", "image/jpeg", strip_location=True),
])  # fmt: skip
async def test_what_is_sealed_has_the_type_that_it_is_and_takes_no_request_more(
    uploads: UploadService, objects: S3ObjectStore, expected: Expected
) -> None:
    upload, _ = await uploads.begin(Details("ada", "A photo", "photo.html"), expected)
    await objects.put(f"uploads/{upload.image_id}", DATA, expected.content_type)
    requests = list[str]()

    def count(model: Any, **_: Any) -> None:
        requests.append(model.name)

    objects._s3.meta.events.register("before-call.s3", count)
    try:
        image = await uploads.complete(upload.image_id, "ada")
    finally:
        objects._s3.meta.events.unregister("before-call.s3", count)
    assert requests.count("GetObject") == 1
    assert requests.count("CopyObject") + requests.count("PutObject") == 1 + len(image.variants)
    head = await objects._s3.head_object(Bucket=objects._bucket, Key=image.object_key)
    assert (head["ContentType"], await stored(objects, image.object_key)) == ("image/jpeg", DATA)


@pytest.mark.parametrize("storage", ["ceph", "localstack"], indirect=True)
async def test_pages_of_every_port_may_use_a_link_where_the_origin_says_so(
    storage: Storage, clients: Clients, objects: S3ObjectStore, browser: ApiClient, key: str
) -> None:
    """On the emulator: tests/process/test_emulator.py."""
    rules = cors_rules(Settings(cors_origins=("http://local.example:*",)))
    await clients.s3.put_bucket_cors(Bucket=storage.bucket, CORSConfiguration={"CORSRules": rules})
    link = await signed(objects, key, "PUT")
    for origin, allowed in (("http://local.example:8081", True), ("http://evil.example:8081", False)):
        asked = {"Origin": origin, "Access-Control-Request-Method": "PUT"}
        answer = await browser.fetch(link.url, "OPTIONS", headers=asked)
        assert (answer.headers.get("Access-Control-Allow-Origin") == origin) is allowed


# ---------------------------------------------------------------- downloads


@pytest.fixture
async def image(objects: S3ObjectStore) -> str:
    """Return the key of a stored picture."""
    key = f"images/{secrets.token_hex(16)}/original"
    await objects.put(key, DATA, "binary/octet-stream")
    return key


async def test_a_download_comes_with_the_type_and_the_name_that_were_signed(
    objects: S3ObjectStore, browser: ApiClient, image: str
) -> None:
    disposition = "inline; filename=\"it's.jpg\"; filename*=UTF-8''it%27s%20%E2%9C%93.jpg"
    link = (await objects.presign_downloads(now(), now() + 5 * MINUTES)).url(image, "image/jpeg", disposition)
    answer = await browser.fetch(link)
    assert (answer.status, answer.body) == (200, DATA)
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Content-Disposition"] == disposition
    assert "immutable" in answer.headers["Cache-Control"]
    part = await browser.fetch(link, headers={"Range": "bytes=2-5"})
    assert (part.status, part.body) == (206, DATA[2:6])


async def test_a_download_link_can_be_altered_in_nothing(
    storage: Storage, objects: S3ObjectStore, browser: ApiClient, image: str
) -> None:
    link = (await objects.presign_downloads(now(), now() + 5 * MINUTES)).url(image, "image/jpeg", "inline")
    place, _, query = link.partition("?")
    names = dict(parse_qsl(query))
    assert refused(await browser.fetch(place)) is storage.refuses_unsigned
    altered = [link.replace(image, f"{image}0"), f"{link}&response-expires=0"]
    for name, value in names.items():
        altered += [f"{place}?{urlencode({**names, name: other})}" for other in ("", value[:-1], f"{value}1")]
        altered += [f"{place}?{urlencode({key: text for key, text in names.items() if key != name})}"]
    assert len(altered) > 30
    for url in altered:
        answer = await browser.fetch(url)
        assert refused(answer), url
        assert DATA not in answer.body


async def test_an_expired_download_link_gives_nothing(
    objects: S3ObjectStore, browser: ApiClient, image: str
) -> None:
    signed_at, expires_at = now() - 60 * MINUTES, now() - MINUTES
    link = (await objects.presign_downloads(signed_at, expires_at)).url(image, "image/jpeg", "inline")
    answer = await browser.fetch(link)
    assert refused(answer)
    assert DATA not in answer.body


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST"])
async def test_a_download_link_is_good_for_reading_only(
    objects: S3ObjectStore, browser: ApiClient, image: str, method: str
) -> None:
    link = (await objects.presign_downloads(now(), now() + 5 * MINUTES)).url(image, "image/jpeg", "inline")
    assert refused(await browser.fetch(link, method))
    assert await stored(objects, image) == DATA


async def test_no_link_lives_longer_than_a_week(objects: S3ObjectStore, browser: ApiClient, image: str) -> None:
    links = await objects.presign_downloads(now(), now() + timedelta(days=30))
    assert timedelta(days=6) < links.expires_at - now() <= timedelta(days=7)
    assert (await browser.fetch(links.url(image, "image/jpeg", "inline"))).status == 200


# ---------------------------------------------------------------- temporary credentials


async def test_no_link_outlives_the_credentials_that_sign_it(account: Account, key: str) -> None:
    ends = now() + 20 * MINUTES
    with account.environment():
        os.environ["AWS_CREDENTIAL_EXPIRATION"] = ends.isoformat()
        async with opened_clients(account.settings) as clients:
            objects = S3ObjectStore(clients, account.settings.bucket)
            for method in ("PUT", "POST"):
                what = Expected(method, "image/jpeg", len(DATA))  # type: ignore[arg-type]
                link = await objects.presign_upload(key, what, len(DATA), now(), now() + 60 * MINUTES)
                assert link.expires_at == ends
            for minutes, end in ((60, ends), (5, now() + 5 * MINUTES)):
                lasting = now() + minutes * MINUTES
                downloads = await objects.presign_downloads(now(), lasting)
                assert end <= downloads.expires_at <= min(end + timedelta(seconds=5), ends)


@METHODS
async def test_links_of_temporary_credentials_carry_their_token(
    account: Account, browser: ApiClient, key: str, method: str
) -> None:
    session = aioboto3.Session(account.key.access_key, account.key.secret_key, region_name="us-east-1")
    async with session.client("sts", endpoint_url=account.emulator.endpoint_url) as sts:
        found = (await sts.get_session_token(DurationSeconds=900))["Credentials"]
    temporary = AccessKey(found["AccessKeyId"], found["SecretAccessKey"])
    with sdk_environment(account.emulator.endpoint_url, temporary):
        os.environ["AWS_SESSION_TOKEN"] = found["SessionToken"]
        async with opened_clients(account.settings) as clients:
            objects = S3ObjectStore(clients, account.settings.bucket)
            link = await signed(objects, key, method)
            token = next(name for name in ("X-Amz-Security-Token", "x-amz-security-token") if name in str(link))
            for other in (None, found["SessionToken"] + "1"):
                assert refused(await sent(browser, changed(link, {token: other})))
            assert (await sent(browser, link)).status in {200, 204}
            assert await stored(objects, key) == DATA
