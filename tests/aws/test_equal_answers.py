"""A client cannot tell which backend answered: the same requests get the same answers, to the byte."""

import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from bootstrap.emulator import Emulator
from tests.api.client import Answer, ApiClient
from tests.api.conftest import server_on_aws, server_on_local
from tests.pictures import picture

DATA, OTHER = picture(seed=1), picture("PNG", seed=2)
NOBODY = "00000000-0000-7000-8000-000000000000"
ORIGIN = {"Origin": "https://app.example"}

Talk = AsyncIterator[Answer]


# ---------------------------------------------------------------- what is asked


async def before_there_is_anything(api: ApiClient) -> Talk:
    for path in ("/health", "/health/ready", "/openapi.json", "/nowhere", "/images", "/images?user_id=ada"):
        yield await api.get(path)
    for path in ("/images", f"/images/{NOBODY}", "/uploads", f"/uploads/{NOBODY}"):
        for method in ("GET", "HEAD", "OPTIONS", "PUT", "PATCH"):
            yield await api.request(method, path)
    yield await api.request("OPTIONS", "/images", headers={**ORIGIN, "Access-Control-Request-Method": "POST"})
    yield await api.get("/images", headers=ORIGIN)


async def uploading(api: ApiClient) -> Talk:
    about = {"description": "In June\n", "tags": ["sea", "Straße"], "filename": "naïve “photo”.jpg"}
    yield await api.upload(DATA, **about)
    yield await api.upload_form({"user_id": "bob", "title": "B", "tags": "sea"}, DATA)
    for wrong in ({"title": ""}, {"image_data": "!"}, {"filename": "a.png"}, {"filename": "../a"}, {"more": 1}):
        yield await api.upload(DATA, **wrong)
    for bad in (b"text", DATA[:-20], OTHER):
        yield await api.upload(bad)
    for kind in ("application/json", "text/plain"):
        yield await api.post("/images", body=b"{", headers={"Content-Type": kind})


async def looking(api: ApiClient) -> Talk:
    path = f"/images/{(await api.uploaded(DATA, filename='naïve “photo”.jpg'))['image_id']}"
    for query in ("", "?metadata_only=true", "?download=true", "?download=maybe"):
        for method in ("GET", "HEAD"):
            yield await api.request(method, path + query)
    for headers in ({"Range": "bytes=2-5"}, {"Range": "bytes=99999-"}, {"If-None-Match": "*"}):
        yield await api.get(f"{path}?download=true", headers=headers)


async def listing(api: ApiClient) -> Talk:
    for n in range(3):
        yield await api.upload(DATA, title=f"Photo {n}", tags=["sea", f"tag {n}"])
    for query in (
        "",
        "user_id=ada",
        "tags=SEA",
        "tags=sea,tag+1",
        "title=PHOTO+1",
        "date_from=2020-01-01",
        "tags=no",
    ):
        yield await api.get(f"/images?{query}")
    for query in (
        "limit=0",
        "limit=x",
        "cursor=x",
        "date_from=x",
        "date_to=2020-01-01&date_from=2021-01-01",
        "x=y",
    ):
        yield await api.get(f"/images?{query}")
    page = await api.get("/images?limit=1&tags=sea")
    yield page
    for query in ("limit=1&tags=sea", "limit=1"):
        yield await api.get(f"/images?{query}&cursor={page.json['next_cursor']}")


async def changing(api: ApiClient) -> Talk:
    path = f"/images/{(await api.uploaded(DATA, tags=['sea']))['image_id']}"
    for change in ({"title": "C", "tags": ["x"]}, {}, {"title": ""}, {"user_id": "bob"}):
        yield await api.patch(path, {"user_id": "ada", **change})
    yield await api.patch(f"/images/{NOBODY}", {"user_id": "ada"})
    for query in ("", "?metadata_only=true"):
        yield await api.get(path + query)
    for query in ("?user_id=bob", "", "?user_id=ada", "?user_id=ada"):
        yield await api.delete(path + query)
    for query in ("", "?download=true"):
        yield await api.get(path + query)
    yield await api.get("/images?tags=x")


async def sending_by_put(api: ApiClient) -> Talk:
    async for answer in sending(api, "PUT"):
        yield answer


async def sending_by_post(api: ApiClient) -> Talk:
    async for answer in sending(api, "POST"):
        yield answer


async def sending(api: ApiClient, method: str) -> Talk:
    for wrong in ({"file_size": 2**30}, {"content_type": "text/html"}, {"filename": "a/b.png"}, {"sha256": "x"}):
        yield await api.begin(DATA, method=method, **wrong)
    begun = await api.begin(DATA, method=method)
    yield begun
    path = f"/uploads/{begun.json['image_id']}"
    yield await api.get(path)
    yield await api.post(f"{path}/complete")
    signed = await api.post(f"{path}/sign")
    yield signed
    assert (await api.transfer(signed.json["upload"], DATA)).status in {200, 204}
    for after in ("/complete", "/complete", "/sign"):
        yield await api.post(path + after)
    yield await api.get(path)
    yield await api.delete(path)


async def sending_what_is_no_picture(api: ApiClient) -> Talk:
    begun = await api.begun(b"no picture")
    path = f"/uploads/{begun['image_id']}"
    await api.transfer(begun["upload"], b"no picture")
    for after in ("/complete", "/complete", "/sign"):
        yield await api.post(path + after)
    yield await api.get(path)
    for _ in range(2):
        yield await api.delete(path)
    yield await api.get(path)


TALKS: list[Callable[[ApiClient], Talk]] = [
    before_there_is_anything, uploading, looking, listing, changing, sending_by_put, sending_by_post,
    sending_what_is_no_picture,
]  # fmt: skip


# ---------------------------------------------------------------- what is answered


@dataclass
class Transcript:
    """Answers in words that do not depend on when and where they were given."""

    base_url: str
    ids: dict[str, str] = field(default_factory=dict)

    def line(self, answer: Answer) -> dict[str, Any]:
        """Return an answer with its ids, times, links and cursors replaced."""
        headers = {name: self._plain(value) for name, value in answer.headers.items() if name != "Date"}
        if "json" not in headers.get("Content-Type", ""):
            return {"status": answer.status, "headers": headers, "body": answer.body}
        length = int(headers.pop("Content-Length"))  # links are of many lengths
        if not answer.body:
            return {"status": answer.status, "headers": headers}
        assert length == len(answer.body)
        document = answer.json
        assert written(document) == answer.body.decode()
        return {"status": answer.status, "headers": headers, "body": self._plain(written(without_links(document)))}

    def _plain(self, text: str) -> str:
        text = re.sub(r"(?<=[?&]cursor=)[\w-]+", "CURSOR", text.replace(self.base_url, "http://service"))
        text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME", text)
        text = re.sub(r"TIME/[0-9a-f]{16}", "TIME/DIGEST", text)  # an ETag, which covers links
        return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", self._id, text)

    def _id(self, match: re.Match[str]) -> str:
        return self.ids.setdefault(match[0], f"ID-{len(self.ids)}")


def written(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def without_links(document: Any) -> Any:
    """Return a document without what only the storage reads, and without cursors."""
    if isinstance(document, list):
        return [without_links(each) for each in document]
    if not isinstance(document, dict):
        return document
    told = {name: without_links(value) for name, value in document.items()}
    for name in ("url", "next_cursor"):
        if isinstance(told.get(name), str):
            told[name] = f"a {name}"
    if "x-amz-signature" in (fields := told.get("fields", {})) or "signature" in fields:
        told["fields"] = {name: fields[name] for name in fields if name in {"key", "Content-Type"}}
    return told


@pytest.fixture(scope="module")
async def both(
    emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[ApiClient, ApiClient]]:
    """Return clients of a service on each backend, which let it name no request."""
    place, settings = tmp_path_factory.mktemp("both"), {"cors_origins": (ORIGIN["Origin"],)}
    async with server_on_local(place, **settings) as one, server_on_aws(emulator)(place, **settings) as other:
        named = {"X-Request-ID": "the-same"}
        yield ApiClient(one.base_url, one.send, named), ApiClient(other.base_url, other.send, named)


async def transcript(talk: Callable[[ApiClient], Talk], api: ApiClient) -> list[dict[str, Any]]:
    told = Transcript(api.base_url)
    return [told.line(answer) async for answer in talk(api)]


@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: talk.__name__)
async def test_the_same_requests_get_the_same_answers(
    both: tuple[ApiClient, ApiClient], talk: Callable[[ApiClient], Talk]
) -> None:
    one, other = [await transcript(talk, api) for api in both]
    assert len(one) >= 7
    assert one == other
