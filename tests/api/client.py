"""A small client, so that a test reads as sentences. It knows the contract, not the code.

Every answer of the API is held against openapi.json: an undocumented status or shape fails the test.
"""

import io
import json as jsonlib
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

import aiohttp
from jsonschema import Draft202012Validator
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from tests.pictures import base64_of, picture

DESCRIPTION = Path(__file__).parents[2] / "openapi.json"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body as a document."""
        return jsonlib.loads(self.body)

    @property
    def outcome(self) -> tuple[int, str | None]:
        """Return the status, and the error's code if it is a problem: what most tests compare."""
        if self.headers.get("Content-Type", "").startswith("application/problem+json"):
            return self.status, self.json["code"]
        return self.status, None


Send = Callable[[str, str, Mapping[str, str], bytes], Awaitable[Answer]]


@dataclass(frozen=True)
class ApiClient:
    """Speaks to one running service. `send(method, url, headers, body)` is how, by whatever skin.

    `largest_request` is how many bytes a body may have on the way to the service, None where any picture fits.
    Where it `completes_arrivals`, uploads are completed as soon as their bytes are there, without being asked.
    """

    base_url: str
    send: Send
    headers: Mapping[str, str] = field(default_factory=dict)
    largest_request: int | None = None
    completes_arrivals: bool = False

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | list[tuple[str, str]] | None = None,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request to the API, and hold the answer against the description."""
        query = f"?{urlencode(params)}" if params else ""
        sent = {**self.headers, **(headers or {})}
        if json is not None:
            body = jsonlib.dumps(json).encode()
            sent.setdefault("Content-Type", "application/json")
        answer = await self.send(method, self.base_url + path + query, sent, body or b"")
        _check_described(method, path, answer)
        return answer

    async def get(self, path: str, **options: Any) -> Answer:
        """GET."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> Answer:
        """POST."""
        return await self.request("POST", path, json=json, **options)

    async def patch(self, path: str, json: Any = None, **options: Any) -> Answer:
        """PATCH."""
        return await self.request("PATCH", path, json=json, **options)

    async def delete(self, path: str, json: Any = None, **options: Any) -> Answer:
        """DELETE."""
        return await self.request("DELETE", path, json=json, **options)

    async def upload(self, data: bytes | None = None, **details: Any) -> Answer:
        """Upload a picture as base64, with details of which every test names only those it cares about."""
        data = picture() if data is None else data
        return await self.post("/images", {**some_details(), "image_data": base64_of(data), **details})

    async def uploaded(self, data: bytes | None = None, **details: Any) -> dict[str, Any]:
        """Upload a picture that must be accepted, and return its metadata."""
        answer = await self.upload(data, **details)
        assert answer.status == 201, answer.body
        metadata: dict[str, Any] = answer.json["metadata"]
        return metadata

    async def upload_form(
        self, fields: Mapping[str, str] | list[tuple[str, str]], data: bytes | None = None, **part: Any
    ) -> Answer:
        """Upload a picture as a form; `part` says what `form` takes."""
        kind, body = form(fields, picture() if data is None else data, **part)
        return await self.post("/images", body=body, headers={"Content-Type": kind})

    async def begin(self, data: bytes, **details: Any) -> Answer:
        """Ask for a direct upload of these bytes."""
        declared = {"content_type": "image/jpeg", "file_size": len(data)}
        return await self.post("/uploads", {**some_details(), **declared, **details})

    async def begun(self, data: bytes, **details: Any) -> dict[str, Any]:
        """Ask for a direct upload that must be granted, and return what was answered."""
        answer = await self.begin(data, **details)
        assert answer.status == 201, answer.body
        document: dict[str, Any] = answer.json
        return document

    async def transfer(self, upload: Mapping[str, Any], data: bytes) -> Answer:
        """Send bytes through an upload's link, as the link asks."""
        return await (self.put if upload["method"] == "PUT" else self.post_form)(upload, data)

    async def complete(self, image_id: str) -> Answer:
        """Say that an upload's bytes are there."""
        return await self.post(f"/uploads/{image_id}/complete")

    async def download(self, image_id: str, **headers: str) -> Answer:
        """Ask for an image's bytes; a header's underscores stand for hyphens."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.get(f"/images/{image_id}", params={"download": "true"}, headers=fields)

    async def page(self, **filters: Any) -> dict[str, Any]:
        """Return one page of a list."""
        answer = await self.get("/images", params=filters)
        assert answer.status == 200, answer.body
        document: dict[str, Any] = answer.json
        return document

    async def walk(self, limit: int = 100, **filters: Any) -> list[dict[str, Any]]:
        """Return a whole list, page by page."""
        page = await self.page(limit=limit, **filters)
        images: list[dict[str, Any]] = page["images"]
        while page["next_cursor"]:
            assert len(page["images"]) == limit, "a page is full unless the list ends"
            page = await self.page(limit=limit, **filters, cursor=page["next_cursor"])
            images = images + page["images"]
            assert len({each["image_id"] for each in images}) == len(images), "an image is in the list twice"
        return images

    async def put(self, upload: Mapping[str, Any], data: bytes, headers: Mapping[str, str] | None = None) -> Answer:
        """PUT bytes through an upload's link, with the headers it asks for, or with others in their place."""
        sent = {**upload["headers"], **(headers or {})}
        return await self.send("PUT", upload["url"], sent, data)

    async def post_form(
        self, upload: Mapping[str, Any], data: bytes, fields: Mapping[str, str] | None = None
    ) -> Answer:
        """POST bytes as a form through an upload's link, with its fields, or with others in their place."""
        kind, body = form({**upload["fields"], **(fields or {})}, data, filename="any.jpg")
        return await self.send("POST", upload["url"], {"Content-Type": kind}, body)

    async def fetch(self, url: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
        """Follow a link to storage."""
        return await self.send(method, url, headers or {}, b"")


def some_details(**details: Any) -> dict[str, Any]:
    """Return details that are valid."""
    return {"user_id": "ada", "title": "A photo", "filename": "photo.jpg", **details}


def form(
    fields: Mapping[str, str] | list[tuple[str, str]],
    data: bytes,
    *,
    filename: str = "photo.jpg",
    kind: str = "image/jpeg",
    after: Sequence[tuple[str, str]] = (),
) -> tuple[str, bytes]:
    """Return the content type and the body of a form: the fields, the file, and fields `after` it."""
    boundary = uuid.uuid4().hex
    before = [*fields.items()] if isinstance(fields, Mapping) else fields
    disposition = f'Content-Disposition: form-data; name="file"; filename="{filename}"'
    file = f"{disposition}\r\nContent-Type: {kind}\r\n\r\n".encode() + data
    parts = [*map(_text_part, before), file, *map(_text_part, after)]
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return f"multipart/form-data; boundary={boundary}", body + b"--" + boundary.encode() + b"--\r\n"


def _text_part(field: tuple[str, str]) -> bytes:
    return f'Content-Disposition: form-data; name="{field[0]}"\r\n\r\n{field[1]}'.encode()


def over_http(session: aiohttp.ClientSession) -> Send:
    """Return a way to send requests over real HTTP, following nothing and changing nothing."""

    async def send(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        async with session.request(
            method,
            URL(url, encoded=True),
            headers=CIMultiDict(headers),
            data=io.BytesIO(body) if body else None,
            allow_redirects=False,
            skip_auto_headers=["Content-Type", "Accept-Encoding"],
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    return send


@cache
def _description() -> dict[str, Any]:
    document: dict[str, Any] = jsonlib.loads(DESCRIPTION.read_text())
    return document


def _described(method: str, path: str) -> dict[str, Any] | None:
    """Return the operation that the description has for a request, None where it has none."""
    for template, operations in sorted(_description()["paths"].items()):  # a path by its name before any {image_id}
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if re.fullmatch(pattern, unquote(urlsplit(path).path)):
            operation: dict[str, Any] | None = operations.get("get" if method == "HEAD" else method.lower())
            return operation
    return None


def _check_described(method: str, path: str, answer: Answer) -> None:
    assert answer.headers.get("X-Request-ID"), f"{method} {path} has no X-Request-ID"
    kind = answer.headers.get("Content-Type", "").partition(";")[0]
    if answer.status >= 400 and method != "HEAD":
        assert kind == "application/problem+json", f"{method} {path}: {answer.status} {kind} {answer.body[:200]!r}"
        _validate({"$ref": "#/components/schemas/Problem"}, answer.json)
        assert {"type", "title", "status", "detail", "code", "request_id"} <= answer.json.keys()
        assert answer.json["request_id"] == answer.headers["X-Request-ID"]
    if (operation := _described(method, path)) is None:
        assert answer.status in {204, 404, 405}, f"{method} {path} is not described, and answers {answer.status}"
        return
    described = operation["responses"].get(str(answer.status))
    assert described, f"{method} {path} answers {answer.status}, which is not described: {answer.body[:200]!r}"
    if kind == "application/json" and answer.body and method != "HEAD":
        _validate(described["content"][kind]["schema"], answer.json)


def _validate(schema: Mapping[str, Any], document: Any) -> None:
    Draft202012Validator({**schema, "components": _description()["components"]}).validate(document)
