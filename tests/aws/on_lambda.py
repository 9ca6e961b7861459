"""The service on Lambda behind API Gateway, both emulated, as `bootstrap up --lambda` sets it up."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy

from bootstrap.commands import up
from bootstrap.emulator import Emulator
from bootstrap.gateway import GATEWAY_RESPONSES
from bootstrap.packaging import Package, Target, build
from lambda_adapter.api import PAYLOAD_BYTES
from service.aws.session import opened_clients
from service.settings import Settings
from tests.api.client import Answer, ApiClient, Send, over_http
from tests.aws.stand_in import sdk_environment
from tests.servers.localstack import LocalStack

_LARGEST = 10 * 2**20  # bytes that API Gateway takes
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html


@cache
def package() -> Package:
    """Return the functions' package for this machine."""
    return build(Target.this_machine())


@asynccontextmanager
async def deployed(emulator: Emulator, settings: Settings) -> AsyncIterator[ApiClient]:
    """Bootstrap a deployment, and return a client that speaks to it through API Gateway."""
    with sdk_environment(emulator.endpoint_url, emulator.root):
        made = await up(settings, package())
    assert made.url
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        send = through_api_gateway(over_http(session), made.url)
        yield ApiClient(made.url, send, largest_request=PAYLOAD_BYTES, completes_arrivals=True)


@asynccontextmanager
async def deployed_on_localstack(localstack: LocalStack, settings: Settings) -> AsyncIterator[ApiClient]:
    """Bootstrap a deployment on LocalStack, with the emulator's tables, and return a client of its API Gateway."""
    with sdk_environment(localstack.endpoint_url, localstack.key, dynamodb=localstack.dynamodb_url):
        made = await up(settings, package())
    assert made.url
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield ApiClient(made.url, over_http(session), largest_request=PAYLOAD_BYTES, completes_arrivals=True)


async def make_older(settings: Settings) -> str:
    """Make the REST API of a deployment as older versions made it; return its id, which an emulator keeps."""
    async with opened_clients(settings) as clients, clients.session.client("apigateway") as gateway:
        (found,) = [
            each for each in (await gateway.get_rest_apis(limit=500))["items"] if each["name"] == settings.bucket
        ]
        await gateway.delete_rest_api(restApiId=found["id"])
        tags = {"ms-custom-id": settings.bucket, "_custom_id_": settings.bucket}
        made = await gateway.create_rest_api(name=settings.bucket, binaryMediaTypes=["*/*"], tags=tags)
        assert made["id"] == found["id"]
        return str(made["id"])


def through_api_gateway(send: Send, base_url: str) -> Send:
    """Return a way to send requests that sets right what the emulator does otherwise than API Gateway.

    - It decodes the path before the function sees it; a REST API hands it on as it was sent.
    - It reads whatever it is sent; API Gateway answers 413 to more than 10 MB before it reads that.
    - It adds a Content-Length of 0 to a 304, where it would be the picture's (RFC 9110 section 8.6).

    The ids that both add to an answer are left out, since they are no part of ours.
    """

    async def sent(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if not url.startswith(base_url):
            return await send(method, url, headers, body)
        announced = CIMultiDict(headers).get("Content-Length")
        if int(announced or len(body)) > _LARGEST:
            return _too_large()
        parts = urlsplit(url)
        encoded = parts._replace(path=parts.path.replace("%", "%25")).geturl()
        answer = await send(method, encoded, headers, body)
        unwanted = {"x-amzn-requestid", "x-amz-request-id", *(["content-length"] if answer.status == 304 else [])}
        kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in unwanted]
        return Answer(answer.status, CIMultiDictProxy(CIMultiDict(kept)), answer.body)

    return sent


def _too_large() -> Answer:
    """Return what API Gateway answers by itself, as bootstrap has told it to."""
    answer = GATEWAY_RESPONSES["REQUEST_TOO_LARGE"]
    problem = json.loads(answer["responseTemplates"]["application/json"])
    request_id = problem["request_id"] = "made-by-the-gateway"
    headers = {"Content-Type": "application/problem+json", "X-Request-ID": request_id}
    return Answer(int(answer["statusCode"]), CIMultiDictProxy(CIMultiDict(headers)), json.dumps(problem).encode())
