"""What a server writes while everything happens to it: JSON, a line for each request, and no secret."""

import json
import secrets
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.api.client import Answer, ApiClient
from tests.aws.stand_in import Account
from tests.pictures import picture
from tests.process.servers import Server, serving
from tests.servers.proxy import proxied

DATA = picture()
TOKEN = f"t0k3n-{secrets.token_hex(16)}"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Cookie": f"session={TOKEN}"}
USER = f"u-{secrets.token_hex(4)}"  # of its own, since the account is others', too; and no secret
SHORTEST = 12  # characters of what only a secret has


@dataclass
class Witness:
    """Sends a client's requests, and remembers each link and each signed field that went to and fro."""

    server: Server
    links: set[str] = field(default_factory=set)
    fields: set[str] = field(default_factory=set)
    answers: list[Answer] = field(default_factory=list)

    @property
    def api(self) -> ApiClient:
        return replace(self.server.api, send=self._send, headers=HEADERS)

    async def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        self._heard(url)
        answer = await self.server.api.send(method, url, headers, body)
        if url.startswith(self.server.url):
            self.answers.append(answer)
        if answer.headers.get("Content-Type") == "application/json":
            self._heard(answer.json)
        self._heard(answer.headers.get("Location", ""))
        return answer

    def _heard(self, document: Any) -> None:
        if isinstance(document, dict):
            self.fields.update(map(str, document.get("fields", {}).values()))
            for each in document.values():
                self._heard(each)
        elif isinstance(document, list):
            for each in document:
                self._heard(each)
        elif isinstance(document, str) and "?" in document:
            self.links.add(document)

    @property
    def secrets(self) -> set[str]:
        """Return the queries of all links, what is in them, and what forms had that was signed."""
        queries = {urlsplit(each).query for each in self.links}
        values = {value for query in queries for _, value in parse_qsl(query)}
        long = {each for each in queries | values | self.fields if len(each) >= SHORTEST}
        return {each for each in long if not each.startswith(("uploads/", "inline", "image"))} | {TOKEN}


async def traffic(api: ApiClient) -> None:
    """Do what clients do, right and wrong."""
    image = await api.uploaded(DATA, user_id=USER)
    for method in ("PUT", "POST"):
        begun = await api.begun(DATA, user_id=USER, method=method)
        upload = begun["upload"]
        forged = {**upload, "url": upload["url"][:-5] + "AAAAA"} if method == "PUT" else upload
        forgery = {name: value[:-5] + "AAAAA" for name, value in upload["fields"].items() if "ignature" in name}
        refused = await (api.put(forged, DATA) if method == "PUT" else api.post_form(upload, DATA, forgery))
        assert refused.status == 403
        assert (await api.transfer(upload, DATA)).status < 300
        assert (await api.complete(begun["image_id"])).status == 200
        assert (await api.post(f"/uploads/{begun['image_id']}/sign")).status == 409
    for item in (await api.page(user_id=USER, limit=2))["images"]:
        assert (await api.fetch(item["url"])).body == DATA
        assert (await api.fetch(item["url"][:-3] + "AAA")).status == 403
    assert (await api.download(image["image_id"])).status == 200
    assert (await api.get("/images", params={"access_token": TOKEN})).status == 400
    assert (await api.get(f"/{TOKEN}", params={"signature": TOKEN})).status == 404
    assert (await api.delete(f"/images/{image['image_id']}", {"user_id": USER})).status == 200


@dataclass(frozen=True)
class Place:
    """A server on one of the backends, what becomes of it, and whose keys it has."""

    server: Server
    trouble: Callable[[ApiClient], Awaitable[None]]
    keys: frozenset[str] = frozenset()


@asynccontextmanager
async def on_local(directory: Path, _: Account) -> AsyncIterator[Place]:
    async with serving(directory) as server:

        async def trouble(api: ApiClient) -> None:
            image = await api.uploaded(DATA, user_id=USER)
            with closing(sqlite3.connect(server.data / "pixdepot.db", isolation_level=None)) as database:
                database.execute("UPDATE images SET tags_json = 'no JSON' WHERE image_id = ?", (image["image_id"],))
            change = {"user_id": USER, "title": "Another"}
            assert (await api.patch(f"/images/{image['image_id']}", change)).outcome == (500, "internal_error")

        yield Place(server, trouble)


@asynccontextmanager
async def on_aws(directory: Path, account: Account) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        endpoint = account.emulator.endpoint_url
        database, storage = [await stack.enter_async_context(proxied(endpoint)) for _ in range(2)]
        sdk = {
            "AWS_ENDPOINT_URL_DYNAMODB": database.url,
            "AWS_ENDPOINT_URL_S3": storage.url,
            "AWS_ACCESS_KEY_ID": account.key.access_key,
            "AWS_SECRET_ACCESS_KEY": account.key.secret_key,
            "AWS_DEFAULT_REGION": account.emulator.region,
        }
        server = await stack.enter_async_context(serving(directory, **sdk, **account.settings.environment()))

        async def trouble(api: ApiClient) -> None:
            image = await api.uploaded(DATA, user_id=USER)
            begun = await api.begun(DATA, user_id=USER)
            assert (await api.transfer(begun["upload"], DATA)).status == 200
            for proxy in (storage, database):
                await proxy.refuse()
                assert (await api.complete(begun["image_id"])).outcome == (503, "unavailable")
                assert (await api.upload(DATA, user_id=USER)).outcome == (503, "unavailable")
                assert (await api.get("/health/ready")).status == 503
                if proxy is storage:
                    # What is left for sweep is told with where nothing answers, and nothing else of the URL.
                    assert (await api.delete(f"/images/{image['image_id']}", {"user_id": USER})).status == 200
                    told = [line for line in server.log.splitlines() if "sweep will retry" in line]
                    assert told
                    assert all(f"No response from {storage.url} (" in line for line in told)
                await proxy.resume()
            database.throttling = "ValidationException"  # as if a program of ours had a mistake
            assert (await api.upload(DATA, user_id=USER)).outcome == (500, "internal_error")
            database.throttling = ""

        yield Place(server, trouble, frozenset({account.key.access_key, account.key.secret_key}))


@pytest.mark.parametrize("place", [on_local, on_aws])
async def test_whatever_happens_each_request_is_a_line_of_json_and_no_secret_is_in_any(
    tmp_path: Path, account: Account, place: Callable[[Path, Account], Any]
) -> None:
    async with place(tmp_path, account) as found:
        witness = Witness(found.server)
        await traffic(witness.api)
        await found.trouble(witness.api)
        found.server.process.terminate()
        assert await found.server.ended() == 0
        said = found.server.greeting + (await found.server.process.stdout.read()).decode()
        log = found.server.log

    assert len(witness.secrets) > 10
    leaked = [each for each in {*witness.secrets, *found.keys} if each in said + log]
    assert leaked == []

    lines = [json.loads(line) for line in log.splitlines()]
    answered = [line for line in lines if line["message"] == "answered"]
    told = [(answer.headers["X-Request-ID"], answer.status) for answer in witness.answers]
    assert [(line["request_id"], line["status"]) for line in answered] == told
    for line in answered:
        assert {"time", "level", "logger", "operation", "method", "ms"} <= line.keys()
        assert ("exception" in line) == (line["status"] == 500)
    assert {line["level"] for line in answered} == {"INFO", "ERROR"}
    assert {line.get("user") for line in answered if line["operation"] == "begin_upload"} == {USER}
