"""One deployment on Lambda: its names, its clients, and what its functions are told.

IAM actions: sts:GetCallerIdentity.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig

from service.aws.session import S3Access
from service.settings import Settings

STAGE = "dev"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Deployment:
    """The names and the clients of one deployment on Lambda. Everything is named after the bucket."""

    settings: Settings
    account: str
    partition: str
    region: str
    emulator: str  # where clients reach the emulator; empty on AWS
    s3: Any
    lambda_: Any
    apigateway: Any
    iam: Any
    sqs: Any
    events: Any
    logs: Any

    @property
    def name(self) -> str:
        """Return what the names of everything begin with; with an ending they may have 64 characters."""
        name = self.settings.bucket.replace(".", "-")
        return name if len(name) <= 40 else f"{name[:31]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of one of this account's resources."""
        region = "" if service == "iam" else self.region
        return f"arn:{self.partition}:{service}:{region}:{self.account}:{resource}"

    @property
    def api_arn(self) -> str:
        """Return the ARN of the function that answers the API."""
        return self.arn("lambda", f"function:{self.name}-api")

    @property
    def events_arn(self) -> str:
        """Return the ARN of the function for what happens without a request."""
        return self.arn("lambda", f"function:{self.name}-events")

    @property
    def log_groups(self) -> list[str]:
        """Return the names of the functions' log groups."""
        return [f"/aws/lambda/{self.name}-{kind}" for kind in ("api", "events")]

    @property
    def function_settings(self) -> Settings:
        """Return what the functions are told: the caller's settings, and what only the one who deploys knows."""
        settings = self.settings.on("aws")
        if not self.emulator:
            return settings  # each request tells by what name it came
        return replace(
            settings,
            public_url=settings.public_url or f"{self.emulator}/restapis/{self.name}/{STAGE}/_user_request_",
            s3_public_endpoint_url=self.emulator,
            allow_open_auth=settings.allow_open_auth or urlsplit(self.emulator).hostname in _LOOPBACK,
        )


@asynccontextmanager
async def opened_deployment(clients: S3Access, settings: Settings) -> AsyncIterator[Deployment]:
    """Open the clients beside those of the backend, and find out where they lead."""
    # Nobody waits for an answer within seconds, as the clients of the service do; and a zip takes its time.
    config = AioConfig(
        connect_timeout=5,
        read_timeout=120,
        retries={"mode": "standard", "total_max_attempts": 5},
        request_checksum_calculation="when_required",
    )
    names = ("s3", "lambda", "apigateway", "iam", "sqs", "events", "logs", "sts")
    async with AsyncExitStack() as stack:
        opened: dict[str, Any] = {
            name: await stack.enter_async_context(clients.session.client(name, config=config))  # type: ignore[call-overload]
            for name in names
        }
        identity = await opened.pop("sts").get_caller_identity()
        on_aws = ".amazonaws.com" in opened["lambda"].meta.endpoint_url
        yield Deployment(
            settings,
            identity["Account"],
            identity["Arn"].split(":")[1],
            clients.region,
            "" if on_aws else (clients.endpoint or opened["lambda"].meta.endpoint_url).rstrip("/"),
            lambda_=opened.pop("lambda"),
            **opened,
        )
