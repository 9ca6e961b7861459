"""What an operator is told of a refusal, and no client."""

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
)

from service.api.problems import problem
from service.aws.refusals import explained
from service.domain.errors import Unavailable
from service.domain.errors import explained as told


def refusal(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "HeadBucket")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refusal("NoSuchBucket"), ["HeadBucket was refused: NoSuchBucket. ", "PIXDEPOT_BUCKET"]),
        (
            refusal(
                "AccessDenied", "User: arn:aws:iam::1:user/a is not authorized to perform: s3:ListBucket on it"
            ),
            ["HeadBucket was refused: AccessDenied for s3:ListBucket. ", "docs/aws.md"],
        ),
        (refusal("AuthorizationHeaderMalformed"), ["PIXDEPOT_S3_REGION"]),
        (refusal("InvalidAccessKeyId"), ["PIXDEPOT_S3_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"]),
        (refusal("SlowDown"), ["HeadBucket was refused: SlowDown. "]),
        (
            EndpointConnectionError(endpoint_url="http://s3.internal:9000/bucket/key?X-Amz-Signature=abc"),
            ["No response from http://s3.internal:9000 (EndpointConnectionError). ", "PIXDEPOT_S3_ENDPOINT_URL"],
        ),
        (ConnectTimeoutError(endpoint_url="https://s3.example/b"), ["https://s3.example (ConnectTimeoutError). "]),
        (NoCredentialsError(), ["set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"]),
        (CredentialRetrievalError(provider="sso", error_msg="expired"), ["expired", "AWS_PROFILE"]),
        (ConnectionResetError(), ["ConnectionResetError. ", "AWS_ENDPOINT_URL"]),
    ],
)
def test_a_refusal_is_told_with_its_cause_and_the_setting(error: Exception, words: list[str]) -> None:
    line = explained(error)
    assert "\n" not in line
    assert "abc" not in line
    assert all(each in line for each in words), line


def test_only_operators_are_told_the_cause() -> None:
    error = Unavailable("A backend is unavailable.", cause="No response from http://s3.internal:9000.")
    assert told(error) == "A backend is unavailable. No response from http://s3.internal:9000."
    answer = problem(error, "0123456789abcdef")
    assert b"A backend is unavailable." in answer.body
    assert b"internal" not in answer.body
