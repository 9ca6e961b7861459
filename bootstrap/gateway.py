"""The REST API in front of the function: every path and every method go to it.

All media types count as binary. So a request's bytes arrive as they were sent, and a download leaves as bytes
whatever the client accepts: API Gateway compares Accept with its list by the letter, and curl's `*/*` is no
`image/jpeg`. The price is that bodies go to Lambda as base64, a third longer. The image types stand beside `*/*`
for LocalStack, which passes over `*/*` (lambda_adapter/binary.py).
https://docs.aws.amazon.com/apigateway/latest/developerguide/lambda-proxy-binary-media.html

IAM actions: apigateway:GET, POST, PUT, PATCH and DELETE on /restapis and what is below.
"""

import hashlib
import json
from typing import Any

from lambda_adapter.binary import BINARY_MEDIA_TYPES
from service.domain.errors import PixdepotError, TooLarge, TooManyRequests, Unavailable

from .deployment import STAGE, Deployment
from .functions import permission
from .resources import Resource

_PATHS = ("/", "/{proxy+}")


def _answers(error: type[PixdepotError], detail: str, **headers: str) -> dict[str, Any]:
    """Return how API Gateway itself tells of an error that it finds: as the service would."""
    problem = {
        "type": f"urn:pixdepot:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": detail,
        "code": error.code,
        "request_id": "$context.requestId",
    }
    quoted = {
        "Content-Type": "'application/problem+json'",
        "X-Request-ID": "context.requestId",
        # Any page may read it, since it holds nothing but the reason: API Gateway cannot choose by Origin.
        "Access-Control-Allow-Origin": "'*'",
        "Access-Control-Expose-Headers": "'Retry-After, X-Request-ID'",
    }
    quoted |= {name.replace("_", "-"): f"'{value}'" for name, value in headers.items()}
    return {
        "statusCode": str(error.status),
        "responseParameters": {f"gatewayresponse.header.{name}": value for name, value in quoted.items()},
        "responseTemplates": {"application/json": json.dumps(problem)},
    }


# What never reaches the function: a body that is too large for it, too many requests, and its own failures.
GATEWAY_RESPONSES = {
    "REQUEST_TOO_LARGE": _answers(
        TooLarge, "The request is too large: the limit is 6 MB. Use a direct upload (POST /uploads)."
    ),
    "THROTTLED": _answers(TooManyRequests, "Too many requests; retry in 1 second.", Retry_After="1"),
    "DEFAULT_5XX": _answers(Unavailable, "The function did not respond; retry in 1 second.", Retry_After="1"),
}


def rest_api(deployment: Deployment) -> list[Resource]:
    """Return the REST API and its stage, in the order in which it is made. Its function must be there."""
    d = deployment
    calls = f"arn:{d.partition}:apigateway:{d.region}:lambda:path/2015-03-31/functions/{d.api_arn}/invocations"

    async def any_request() -> str:
        return d.arn("execute-api", f"{await _api_id(d)}/*")

    return [
        _api(d),
        _routes(d, calls),
        *(_gateway_response(d, kind, answer) for kind, answer in GATEWAY_RESPONSES.items()),
        _stage(d, calls),
        permission(d, f"{d.name}-api", "api", "apigateway.amazonaws.com", any_request),
    ]


async def api_url(deployment: Deployment) -> str:
    """Return where the API is. Raises LookupError when it is not there."""
    api_id = await _api_id(deployment)
    if api_id is None:
        raise LookupError(deployment.name)
    if deployment.emulator:
        return f"{deployment.emulator}/restapis/{api_id}/{STAGE}/_user_request_"
    suffix = "amazonaws.com.cn" if deployment.partition == "aws-cn" else "amazonaws.com"
    return f"https://{api_id}.execute-api.{deployment.region}.{suffix}/{STAGE}"


async def _api_id(deployment: Deployment) -> str | None:
    """Return the id of the API. Names are not unique: it is the oldest with this one."""
    found = []
    async for page in deployment.apigateway.get_paginator("get_rest_apis").paginate():
        found += [each for each in page["items"] if each["name"] == deployment.name]
    oldest = min(found, key=lambda each: (each["createdDate"], each["id"]), default=None)
    return oldest and str(oldest["id"])


def _api(d: Deployment) -> Resource:
    # An emulator's URLs hold the id, so there it is chosen and stays: by these tags on ministack and LocalStack.
    pinned = {"tags": {"ms-custom-id": d.name, "_custom_id_": d.name}} if d.emulator else {}
    wanted = sorted(BINARY_MEDIA_TYPES)  # API Gateway keeps no order

    async def find() -> Any:
        api_id = await _api_id(d)
        return api_id and sorted((await d.apigateway.get_rest_api(restApiId=api_id)).get("binaryMediaTypes", []))

    async def make() -> None:
        found = await find()
        if found is not None and not d.emulator:
            await update(set(found))
            return
        if found is not None:  # ministack cannot change the list, and the id stays
            await remove()
        made = await d.apigateway.create_rest_api(
            name=d.name,
            binaryMediaTypes=wanted,
            endpointConfiguration={"types": ["REGIONAL"]},
            **pinned,
        )
        if made["id"] != await _api_id(d):  # somebody else was quicker
            await d.apigateway.delete_rest_api(restApiId=made["id"])

    async def update(found: set[str]) -> None:
        """Change the list in place, since a new API would have another URL."""
        changes = [("add", set(wanted) - found), ("remove", found - set(wanted))]
        operations = [
            {"op": op, "path": f"/binaryMediaTypes/{each.replace('/', '~1')}"}
            for op, types in changes
            for each in sorted(types)
        ]
        await d.apigateway.update_rest_api(restApiId=await _api_id(d), patchOperations=operations)

    async def remove() -> None:
        await d.apigateway.delete_rest_api(restApiId=await _api_id(d))

    return Resource(f"REST API {d.name}", wanted, find, make, remove)


def _routes(d: Deployment, uri: str) -> Resource:
    async def resources() -> dict[str, dict[str, Any]]:
        api_id = await _api_id(d)
        if api_id is None:
            return {}
        found = await d.apigateway.get_resources(restApiId=api_id, embed=["methods"], limit=500)
        return {each["path"]: each for each in found["items"]}

    async def find() -> Any:
        there = await resources()
        methods = {path: there.get(path, {}).get("resourceMethods", {}).get("ANY") for path in _PATHS}
        uris = {path: (method or {}).get("methodIntegration", {}).get("uri") for path, method in methods.items()}
        return uris if any(uris.values()) else None

    async def make() -> None:
        api_id, there = await _api_id(d), await resources()
        if "/{proxy+}" not in there:
            there["/{proxy+}"] = await d.apigateway.create_resource(
                restApiId=api_id, parentId=there["/"]["id"], pathPart="{proxy+}"
            )
        for path in _PATHS:
            method = {"restApiId": api_id, "resourceId": there[path]["id"], "httpMethod": "ANY"}
            if "ANY" not in there[path].get("resourceMethods", {}):
                await d.apigateway.put_method(**method, authorizationType="NONE")
            await d.apigateway.put_integration(**method, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)

    return Resource("API's routes", dict.fromkeys(_PATHS, uri), find, make)


def _gateway_response(d: Deployment, kind: str, answer: dict[str, Any]) -> Resource:
    async def find() -> Any:
        api_id = await _api_id(d)
        if api_id is None:
            return None
        found = await d.apigateway.get_gateway_response(restApiId=api_id, responseType=kind)
        return {each: found.get(each) for each in answer} if not found.get("defaultResponse") else None

    async def make() -> None:
        api_id = await _api_id(d)
        await d.apigateway.put_gateway_response(restApiId=api_id, responseType=kind, **answer)

    return Resource(f"API's answer {kind}", answer, find, make)


def _stage(d: Deployment, uri: str) -> Resource:
    """Return the stage. What it serves is a copy of the API at one moment, so the copy tells which."""
    definition = json.dumps([_PATHS, uri, GATEWAY_RESPONSES, BINARY_MEDIA_TYPES])
    wanted = f"Pixdepot {hashlib.sha256(definition.encode()).hexdigest()[:16]}"

    async def find() -> Any:
        api_id = await _api_id(d)
        if api_id is None:
            return None
        stage = await d.apigateway.get_stage(restApiId=api_id, stageName=STAGE)
        deployed = await d.apigateway.get_deployment(restApiId=api_id, deploymentId=stage["deploymentId"])
        return deployed.get("description")

    async def make() -> None:
        api_id = await _api_id(d)
        await d.apigateway.create_deployment(restApiId=api_id, stageName=STAGE, description=wanted)

    return Resource(f"API's stage {STAGE}", wanted, find, make)
