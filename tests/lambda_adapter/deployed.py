"""The two functions of a deployment, each a process as Lambda starts it, at an account on the emulator."""

import io
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.aws.session import opened_clients
from tests.api.client import some_details
from tests.aws.on_lambda import package
from tests.aws.stand_in import Account
from tests.lambda_adapter import shapes
from tests.servers.runtime_api import Function, Within, running_function, unlimited


@dataclass(frozen=True)
class Functions:
    """The functions, and the account that has their bucket."""

    api: Function
    events: Function
    account: Account

    async def ask(self, event: dict[str, Any]) -> tuple[int, Any]:
        """Return the status and the document that the API function answers with."""
        answer = await self.api.invoke(event)
        return answer["statusCode"], json.loads(answer["body"])

    async def begun(self, size: int, content_type: str = "image/jpeg") -> str:
        """Return the id of a direct upload of so many bytes."""
        body = json.dumps({**some_details(), "content_type": content_type, "file_size": size})
        headers = {"Content-Type": "application/json"}
        status, upload = await self.ask(shapes.http("POST", "/uploads", body, **headers))
        assert status == 201, upload
        return str(upload["image_id"])

    async def arrived(self, data: bytes, content_type: str = "image/jpeg") -> str:
        """Return the id of a direct upload whose bytes are in the bucket."""
        image_id = await self.begun(len(data), content_type)
        with self.account.environment():
            async with opened_clients(self.account.settings) as clients:
                where = {"Bucket": self.account.settings.bucket, "Key": f"uploads/{image_id}"}
                await clients.s3.put_object(**where, Body=data, ContentType=content_type)
        return image_id

    async def state(self, image_id: str) -> str:
        """Return how far an upload is."""
        _, upload = await self.ask(shapes.http("GET", f"/uploads/{image_id}"))
        return str(upload["status"])


@asynccontextmanager
async def running_functions(
    account: Account, directory: Path, memory: int = 1769, within: Within = unlimited
) -> AsyncIterator[Functions]:
    """Run both functions, with so many MB of memory each, from the zip, which is unpacked into a directory."""
    code = directory / "code"
    zipfile.ZipFile(io.BytesIO(package().zipped)).extractall(code)
    settings = {
        "AWS_ENDPOINT_URL": account.emulator.endpoint_url,
        "AWS_ACCESS_KEY_ID": account.key.access_key,
        "AWS_SECRET_ACCESS_KEY": account.key.secret_key,
        "PIXDEPOT_ALLOW_OPEN_AUTH": "1",
        **account.settings.environment(),
    }

    def run(name: str) -> Any:
        handler, log = f"lambda_adapter.{name}.handler", directory / f"{name}.log"
        return running_function(handler, code, log, memory=memory, within=within, **settings)

    async with run("api") as api, run("events") as events:
        yield Functions(api, events, account)
