"""API Gateway in a function: HTTP requests as the events of both its kinds of API, and their answers back."""

import asyncio
import base64
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit
from uuid import uuid4

from multidict import CIMultiDict, CIMultiDictProxy

from tests.api.client import Answer, Send

DOMAIN, STAGE = "abc123.execute-api.us-east-1.amazonaws.com", "dev"
BASE_URL = f"https://{DOMAIN}/{STAGE}"
_BINARY = ("image/", "multipart/", "application/octet-stream")


@dataclass(frozen=True)
class Context:
    """What Lambda tells a function of its invocation, as far as Powertools asks."""

    function_name: str = "pixdepot"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:pixdepot"
    aws_request_id: str = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"


def rest_event(method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return the event that a REST API makes of a request (payload format 1.0)."""
    parts = urlsplit(url)
    path = parts.path.removeprefix(f"/{STAGE}")
    several = parse_qs(parts.query, keep_blank_values=True)
    text, is_base64 = _text(headers, body)
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": dict(headers) or None,
        "multiValueHeaders": {name: [value] for name, value in headers.items()} or None,
        "queryStringParameters": {name: values[-1] for name, values in several.items()} or None,
        "multiValueQueryStringParameters": several or None,
        "pathParameters": {"proxy": path.removeprefix("/")},
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/{proxy+}",
            "httpMethod": method,
            "path": parts.path,
            "requestId": str(uuid4()),
            "domainName": DOMAIN,
            "stage": STAGE,
            "identity": {"sourceIp": "192.0.2.1"},
        },
        "body": text,
        "isBase64Encoded": is_base64,
    }


def http_event(method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return the event that an HTTP API makes of a request (payload format 2.0)."""
    parts = urlsplit(url)
    text, is_base64 = _text(headers, body)
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": parts.path,
        "rawQueryString": parts.query,
        "headers": {name.lower(): value for name, value in headers.items()},
        "requestContext": {
            "http": {"method": method, "path": parts.path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "requestId": f"{secrets.token_urlsafe(11)}=",
            "domainName": DOMAIN,
            "stage": STAGE,
        },
        "isBase64Encoded": is_base64,
    }
    if parts.query:
        event["queryStringParameters"] = dict(parse_qsl(parts.query, keep_blank_values=True))
    return event if text is None else {**event, "body": text}


def _text(headers: Mapping[str, str], body: bytes) -> tuple[str | None, bool]:
    if not body:
        return None, False
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    try:
        if not kind.startswith(_BINARY):
            return body.decode(), False
    except UnicodeDecodeError:
        pass
    return base64.b64encode(body).decode(), True


Event = Callable[[str, str, Mapping[str, str], bytes], dict[str, Any]]
Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def through(handler: Handler, event: Event) -> Send:
    """Return a way to send requests to a function: one at a time, as Lambda does, away from the test's own loop."""
    turn = asyncio.Lock()

    async def send(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        async with turn:
            answer = await asyncio.to_thread(handler, event(method, url, headers, body), Context())
        pairs = CIMultiDict(answer.get("headers") or {})
        for name, values in (answer.get("multiValueHeaders") or {}).items():
            pairs[name] = ", ".join(values)
        content = answer["body"] or ""
        decoded = base64.b64decode(content) if answer.get("isBase64Encoded") else content.encode()
        return Answer(answer["statusCode"], CIMultiDictProxy(pairs), decoded)

    return send
