"""Bytes in answers: the media types that API Gateway decodes, and the gateway that does not decode all of them."""

import os
from collections.abc import Mapping
from typing import Any

from service.media.types import IMAGE_TYPES

# `*/*` alone is enough for API Gateway. LocalStack passes over it and takes the others.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/lambda-proxy-binary-media.html
BINARY_MEDIA_TYPES = ("*/*", "image/*", *IMAGE_TYPES, "application/octet-stream", "multipart/form-data")


def reaches_client_as_bytes(event: Mapping[str, Any], accept: str) -> bool:
    """Return whether the gateway that sent `event` decodes a base64 answer for a client with this Accept header.

    API Gateway does, because its binary media types include `*/*`. LocalStack's REST API passes over `*/*`, looks
    at the first type in Accept only, and otherwise sends the base64 text. Functions on LocalStack find
    LOCALSTACK_HOSTNAME in their environment.
    """
    if "LOCALSTACK_HOSTNAME" not in os.environ or event.get("version") == "2.0":
        return True
    first = accept.partition(",")[0].partition(";")[0].strip().lower()
    return first.startswith("image/") or first in BINARY_MEDIA_TYPES[1:]
