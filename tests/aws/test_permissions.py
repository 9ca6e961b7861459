"""The service's policy: it is enforced, nothing of it can be left out, and the code says the same."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import aioboto3
import pytest
from botocore.exceptions import ClientError

import service.aws.dynamodb
import service.aws.s3
from bootstrap.policy import service_policy
from tests.api.client import Answer, ApiClient
from tests.api.conftest import served
from tests.aws.examined import examined, failed
from tests.aws.stand_in import Account, opened_in
from tests.pictures import picture

DATA = picture()


def actions(policy: dict[str, Any]) -> set[str]:
    """Return every action that a policy allows."""
    return {action for statement in policy["Statement"] for action in listed(statement["Action"])}


def listed(one_or_more: str | list[str]) -> list[str]:
    return [one_or_more] if isinstance(one_or_more, str) else one_or_more


def without(policy: dict[str, Any], action: str) -> dict[str, Any]:
    """Return the policy with this action taken away."""
    kept = [
        {**each, "Action": [other for other in listed(each["Action"]) if other != action]}
        for each in policy["Statement"]
    ]
    return {**policy, "Statement": [each for each in kept if each["Action"]]}


@pytest.mark.parametrize(
    ("service", "operation", "request_"),
    [
        ("s3", "delete_bucket", {}),
        ("s3", "put_bucket_cors", {"CORSConfiguration": {"CORSRules": []}}),
        ("s3", "put_object", {"Key": "elsewhere/a", "Body": b""}),
        ("s3", "put_object_acl", {"Key": "images/a", "ACL": "public-read"}),
        ("s3", "list_buckets", None),
        ("dynamodb", "scan", {}),
        ("dynamodb", "delete_table", {}),
        ("dynamodb", "list_tables", None),
    ],
)
async def test_nothing_else_is_allowed(
    account: Account, service: str, operation: str, request_: dict[str, Any] | None
) -> None:
    place = {"s3": {"Bucket": account.settings.bucket}, "dynamodb": {"TableName": account.settings.table}}
    sent = {} if request_ is None else {**place[service], **request_}
    session = aioboto3.Session(account.key.access_key, account.key.secret_key, region_name="us-east-1")
    async with session.client(service, endpoint_url=account.emulator.endpoint_url) as client:
        with pytest.raises(ClientError, match="AccessDenied"):
            await getattr(client, operation)(**sent)


async def test_another_s_bucket_and_tables_are_out_of_reach(account: Account) -> None:
    others = replace(account.settings, bucket="another", table="another", index_table="another-index")
    said = failed(await examined(others, account.environment()))
    for step in ("check the database", "write a record", "check the storage", "upload through a link"):
        assert "AccessDenied" in said[step]


async def download(api: ApiClient) -> Answer:
    return await api.download((await api.page(user_id="permissions"))["images"][0]["image_id"])


async def delete_upload(api: ApiClient) -> Answer:
    return await api.delete(f"/uploads/{(await api.begun(DATA))['image_id']}")


# Every action, and what cannot be done without it. What only tidies up is left to sweep, and is nobody's request.
NEEDED: dict[str, Callable[[ApiClient], Awaitable[Answer]] | None] = {
    "s3:GetObject": download,
    "s3:PutObject": lambda api: api.upload(DATA),
    "s3:DeleteObject": None,
    "s3:ListBucket": lambda api: api.get("/health/ready"),
    "dynamodb:GetItem": lambda api: api.get("/uploads/00000000-0000-7000-8000-000000000000"),
    "dynamodb:PutItem": lambda api: api.begin(DATA),
    "dynamodb:UpdateItem": delete_upload,
    "dynamodb:DeleteItem": None,
    "dynamodb:Query": lambda api: api.get("/images"),
    "dynamodb:BatchGetItem": lambda api: api.get("/images?tags=permissions"),
    "dynamodb:BatchWriteItem": lambda api: api.upload(DATA),
}


def test_every_action_of_the_policy_is_tried(account: Account) -> None:
    assert NEEDED.keys() == actions(service_policy(account.settings))


@pytest.fixture(scope="module")
async def stocked(account: Account) -> Account:
    """Return the account with an image to look at."""
    async with opened_in(account.environment(), served(account.settings)) as api:
        await api.uploaded(DATA, user_id="permissions", tags=["permissions"])
    return account


@pytest.mark.parametrize("action", NEEDED)
async def test_without_an_action_something_is_unavailable_and_the_doctor_names_it(
    stocked: Account, action: str
) -> None:
    key = await stocked.emulator.create_user(without(service_policy(stocked.settings), action))
    poorer = replace(stocked, key=key)
    said = failed(await examined(poorer.settings, poorer.environment()))
    assert action in str(said)
    assert "the policy in docs/aws.md" in str(said)
    if ask := NEEDED[action]:
        async with opened_in(poorer.environment(), served(poorer.settings)) as api:
            assert (await ask(api)).outcome == (503, "unavailable")


async def test_with_all_of_them_the_doctor_finds_nothing(account: Account) -> None:
    assert failed(await examined(account.settings, account.environment())) == {}


def test_each_backend_module_says_what_it_needs(account: Account) -> None:
    allowed = actions(service_policy(account.settings))
    for prefix, module in (("s3", service.aws.s3), ("dynamodb", service.aws.dynamodb)):
        assert module.__doc__
        paragraph = re.search(r"IAM actions: ([^.]+)\.", module.__doc__)
        assert paragraph
        said = set(re.findall(r"\b(?:[A-Z][a-z]+){2,}\b|\bQuery\b", paragraph[1]))
        assert {f"{prefix}:{each}" for each in said} == {each for each in allowed if each.startswith(prefix)}
