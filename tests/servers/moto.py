"""moto: AWS as its own tests see it, an S3 that takes every request, signed or not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from bootstrap.emulator import AccessKey
from bootstrap.processes import LOOPBACK, free_port, installed_python, path_variable, running_child

from .rgw import Gateway

MOTO = "moto[s3,server]==5.2.5"


def install() -> Path:
    """Return the Python that runs moto; the first call on a machine installs it (some seconds)."""
    return installed_python(MOTO)


@asynccontextmanager
async def running_moto(directory: Path) -> AsyncIterator[Gateway]:
    """Run moto for the length of the block, its log in `directory`. Any key will do. Raises ServerFailed."""
    python, port = await asyncio.to_thread(install), free_port()
    command = (str(python), "-m", "moto.server", "-H", LOOPBACK, "-p", str(port))
    environment = path_variable() | {"HOME": str(directory)}
    async with running_child(command, env=environment, log=directory / "moto.log") as child:
        endpoint_url = f"http://{LOOPBACK}:{port}"
        await child.until_answers(f"{endpoint_url}/moto-api/")
        yield Gateway(endpoint_url, AccessKey(uuid4().hex, uuid4().hex), (child.process.pid,))
