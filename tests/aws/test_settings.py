"""Settings that the aws backend cannot do with: told when it starts, in a line."""

import os
from collections.abc import Mapping
from dataclasses import replace

import pytest

from service.runtime import open_service
from service.settings import Settings, SettingsError
from tests.aws.stand_in import Account


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"AWS_DEFAULT_REGION": ""}, "^No AWS Region is set: set AWS_REGION, "),
        ({"AWS_PROFILE": "nobody"}, "AWS SDK reports: The config profile"),
        ({"AWS_ENDPOINT_URL": "nowhere"}, "AWS SDK reports: Invalid endpoint: nowhere"),
    ],
)
async def test_what_the_sdk_cannot_do_with_is_told(account: Account, variables: dict[str, str], told: str) -> None:
    with account.environment():
        os.environ |= variables
        with pytest.raises(SettingsError, match=told):
            async with open_service(account.settings):
                pass


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"bucket": "My_Pictures"}, "is not an S3 bucket name"),
        ({"bucket": "arn:aws:s3:us-east-1:123456789012:accesspoint/mine"}, "must be a plain bucket"),
        ({"s3_public_endpoint_url": "https://s3.example/?x=1"}, "The S3 endpoint must be a URL such as"),
    ],
)
async def test_what_links_cannot_be_signed_for_is_told(
    account: Account, wrong: Mapping[str, str], told: str
) -> None:
    settings: Settings = replace(account.settings, **wrong)  # type: ignore[arg-type]
    with account.environment(), pytest.raises(SettingsError, match=told):
        async with open_service(settings):
            pass
