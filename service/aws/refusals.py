"""Advice for operators when AWS, or a compatible store, rejects a call: the cause and the remedy."""

import re
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError, NoCredentialsError

NO_REGION = "No AWS Region is set: set AWS_REGION, such as eu-central-1, or PIXDEPOT_S3_REGION if only S3 is used."
NO_CREDENTIALS = (
    "No AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run with a "
    "role; for S3 alone, set PIXDEPOT_S3_ACCESS_KEY_ID and PIXDEPOT_S3_SECRET_ACCESS_KEY."
)
UNREACHABLE = (
    "Check the host and port of PIXDEPOT_S3_ENDPOINT_URL, AWS_ENDPOINT_URL and PIXDEPOT_S3_PUBLIC_ENDPOINT_URL (if "
    "set), and the network."
)
ADVICE = "See the service's log, and docs/aws.md."

_EXAMINE = "Run pixdepot doctor, and see docs/aws.md."
_THROTTLED = "AWS throttles the requests: retry later, or raise the capacity."
_PERMISSION = "A permission is missing: attach the policy in docs/aws.md to the service's role or user."
_KEYS = (
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (for S3 alone PIXDEPOT_S3_ACCESS_KEY_ID and ..._SECRET_ACCESS_KEY)"
)
REMEDIES = {
    "AccessDenied": _PERMISSION,
    "AccessDeniedException": _PERMISSION,
    "AuthorizationHeaderMalformed": "The Region is wrong: check PIXDEPOT_S3_REGION, or AWS_REGION.",
    "ExpiredToken": "The credentials have expired: renew them.",
    "ExpiredTokenException": "The credentials have expired: renew them.",
    "InvalidAccessKeyId": f"The access key is unknown: check {_KEYS}, and the endpoint.",
    "InvalidSignatureException": "The secret key or the clock is wrong: check AWS_SECRET_ACCESS_KEY and NTP.",
    "NoSuchBucket": "The bucket is missing: run pixdepot bootstrap up, or check PIXDEPOT_BUCKET.",
    "ProvisionedThroughputExceededException": _THROTTLED,
    "RequestTimeTooSkewed": "This machine's clock is wrong: synchronize it with NTP.",
    "ResourceNotFoundException": "A table is missing: run pixdepot bootstrap up, or check PIXDEPOT_TABLE.",
    "SignatureDoesNotMatch": (
        "The link was signed for another host, a proxy changes the request, or the secret key is wrong: set "
        "PIXDEPOT_S3_PUBLIC_ENDPOINT_URL to the URL of S3 that clients use, and check the secret key."
    ),
    "ValidationException": "A table index is missing or not ready yet: run pixdepot bootstrap up.",
    "SlowDown": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "UnrecognizedClientException": f"The credentials are unknown: check {_KEYS}.",
}
_denied_action = re.compile(r"not authorized to perform: ([a-z0-9]+:\w+)").search


def code(error: ClientError) -> str:
    """Return the code of an SDK error: NoSuchKey, ConditionalCheckFailedException, ..."""
    return str(dict(error.response.get("Error", {})).get("Code", ""))


def named(error_code: str, message: str) -> str:
    """Return an error's code, and the missing permission if the message contains it."""
    denied = _denied_action(message)
    return f"{error_code} for {denied[1]}" if denied else error_code


def refused(error: ClientError) -> str:
    """Return the rejected call and its error code."""
    message = str(dict(error.response.get("Error", {})).get("Message", ""))
    return f"{error.operation_name} was refused: {named(code(error), message)}."


def explained(error: Exception) -> str:
    """Return the cause and the remedy of an SDK or network error, as one line."""
    if isinstance(error, ClientError):
        return f"{refused(error)} {REMEDIES.get(code(error), _EXAMINE)}"
    if isinstance(error, NoCredentialsError):
        return NO_CREDENTIALS
    if isinstance(error, CredentialRetrievalError):
        return f"{error} {NO_CREDENTIALS}"
    asked = urlsplit(str(error.kwargs.get("endpoint_url", ""))) if isinstance(error, BotoCoreError) else None
    if asked and asked.netloc:
        return f"No response from {asked.scheme}://{asked.netloc} ({type(error).__name__}). {UNREACHABLE}"
    return f"{type(error).__name__}. {UNREACHABLE}"
