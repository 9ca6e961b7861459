"""The least that the service may be allowed to do: docs/aws.md shows it, and the tests run under exactly it."""

from typing import Any

from service.settings import Settings


def service_policy(
    settings: Settings, account: str = "*", region: str = "*", partition: str = "aws"
) -> dict[str, Any]:
    """Return the IAM policy document of the role or user that the service runs as."""
    bucket = f"arn:{partition}:s3:::{settings.bucket}"
    tables = f"arn:{partition}:dynamodb:{region}:{account}:table/"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Pictures",
                "Effect": "Allow",
                "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
                "Resource": [f"{bucket}/uploads/*", f"{bucket}/images/*"],
            },
            # Without it S3 says 403, not 404, of an object that is missing.
            {"Sid": "WhichPictures", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": bucket},
            {
                "Sid": "Records",
                "Effect": "Allow",
                "Action": [
                    "dynamodb:BatchGetItem",
                    "dynamodb:BatchWriteItem",
                    "dynamodb:DeleteItem",
                    "dynamodb:GetItem",
                    "dynamodb:PutItem",
                    "dynamodb:Query",
                    "dynamodb:UpdateItem",
                ],
                "Resource": [
                    f"{tables}{settings.table}",
                    f"{tables}{settings.table}/index/*",
                    f"{tables}{settings.index_table}",
                ],
            },
        ],
    }


def functions_policy(settings: Settings, queue_arn: str, log_group_arns: list[str], **place: str) -> dict[str, Any]:
    """Return the policy document of the functions' role: the service's, their logs, and events that failed.

    `place` is what `service_policy` takes.
    """
    policy = service_policy(settings, **place)
    policy["Statement"] += [
        {
            "Sid": "Logs",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": [f"{arn}:*" for arn in log_group_arns],
        },
        {"Sid": "FailedEvents", "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue_arn},
    ]
    return policy


def upkeep_policy(
    settings: Settings, account: str = "*", region: str = "*", partition: str = "aws"
) -> dict[str, Any]:
    """Return the IAM policy document of whoever runs `reindex` and `reconcile`: they walk tables, too."""
    policy = service_policy(settings, account, region, partition)
    tables = f"arn:{partition}:dynamodb:{region}:{account}:table/"
    policy["Statement"].append(
        {
            "Sid": "Upkeep",
            "Effect": "Allow",
            "Action": ["dynamodb:Scan", "dynamodb:DescribeTable"],
            "Resource": [f"{tables}{settings.table}", f"{tables}{settings.index_table}"],
        }
    )
    return policy
