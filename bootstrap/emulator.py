"""AWS on this machine: ministack, in an environment of its own, reached on 127.0.0.1 only.

It checks signatures, upload policies and users' IAM policies, as AWS does. Its own root key passes with any
secret and may do anything, so whatever is to be proved is proved with a user's keys (`Emulator.create_user`).
"""

import asyncio
import json
import shlex
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp

from .processes import (
    LOOPBACK,
    Child,
    ServerFailed,
    free_port,
    installed_python,
    path_variable,
    port_is_free,
    running_child,
)

# Exactly this one: it enforces what the tests rely on, older ones much less.
MINISTACK = "ministack==1.5.33"
DEFAULT_PORT = 4566
REGION = "us-east-1"
_PROCESS = Path(__file__).with_name("ministack_process.py")
_HEALTH = "/_ministack/health"
_HEALTH_WITHIN = 5.0  # seconds
# What another shell may have set that would lead the SDK elsewhere, or make it sign with other credentials.
_MISLEADING = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_DYNAMODB")


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An IAM user's credentials."""

    access_key: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator and its root key."""

    endpoint_url: str
    root: AccessKey
    child: Child = field(repr=False)
    region: str = REGION

    @property
    def pid(self) -> int:
        """The emulator's process."""
        return self.child.process.pid

    @property
    def sdk_environment(self) -> dict[str, str]:
        """What the SDK is to read for speaking to it, as its root."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url.replace(LOOPBACK, "localhost"),
            "AWS_ACCESS_KEY_ID": self.root.access_key,
            "AWS_SECRET_ACCESS_KEY": self.root.secret_key,
            "AWS_DEFAULT_REGION": self.region,
        }

    def shell_commands(self, variables: Mapping[str, str]) -> str:
        """Return what to paste into a shell, so that the SDK and `variables` lead other commands here."""
        exported = {**variables, **self.sdk_environment}
        assignments = " ".join(f"{name}={shlex.quote(value)}" for name, value in exported.items())
        return f"unset {' '.join(_MISLEADING)}\nexport {assignments}"

    async def create_user(self, policy: Mapping[str, Any]) -> AccessKey:
        """Make an IAM user who may do what `policy` (a policy document) says and nothing else; return its key."""
        import aioboto3  # it takes a second

        session = aioboto3.Session(self.root.access_key, self.root.secret_key, region_name=self.region)
        name = f"pixdepot-{uuid4().hex[:12]}"
        async with session.client("iam", endpoint_url=self.endpoint_url) as iam:
            await iam.create_user(UserName=name)
            await iam.put_user_policy(UserName=name, PolicyName="inline", PolicyDocument=json.dumps(policy))
            key = (await iam.create_access_key(UserName=name))["AccessKey"]
        return AccessKey(key["AccessKeyId"], key["SecretAccessKey"])

    async def until(self, stopped: asyncio.Event) -> None:
        """Return when `stopped` is set. Raises ServerFailed when the emulator ends by itself before that."""
        waits = [asyncio.create_task(stopped.wait()), asyncio.create_task(self.child.process.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not stopped.is_set():
            raise ServerFailed(f"emulator ended by itself.\n{self.child.last_words()}")


@asynccontextmanager
async def running_emulator(
    data_dir: Path, port: int = DEFAULT_PORT, installed: Callable[[], Path] | None = None
) -> AsyncIterator[Emulator]:
    """Run the emulator for the length of the block, on `port` (0: a free one), keeping everything in `data_dir`.

    The first run on a machine installs it, unless `installed` returns the Python that has it. Objects are kept as
    they come, tables and users on a clean stop only:
    the block's end is one. Raises ServerFailed, with the end of the emulator's log, when it does not come up.
    """
    if port and not port_is_free(port):
        raise ServerFailed(
            f"Port {port} of {LOOPBACK} is in use: stop the other emulator, or set --port to another port."
        )
    python = await asyncio.to_thread(installed or install)
    port = port or free_port()
    endpoint_url, root = f"http://{LOOPBACK}:{port}", AccessKey("test", "test")
    env = await asyncio.to_thread(_environment, data_dir, port, root)
    # With -P, since the directory of the script has modules that are none of ministack's.
    command = [str(python), "-P", str(_PROCESS)]
    async with running_child(command, env=env, log=data_dir / "emulator.log") as child:
        await child.until_answers(f"{endpoint_url}{_HEALTH}")
        yield Emulator(endpoint_url, root, child)


async def starts_functions_here(endpoint_url: str) -> bool:
    """Return whether an endpoint is this emulator: it starts functions as processes, other emulators in containers.

    False where nothing answers. Changes nothing.
    """
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_HEALTH_WITHIN)) as session:
        try:
            async with session.get(f"{endpoint_url.rstrip('/')}{_HEALTH}") as response:
                return response.status == 200 and response.content_type == "application/json"
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return False


def install() -> Path:
    """Return the Python that runs the emulator; the first call on a machine installs it (some seconds)."""
    return installed_python(MINISTACK)


def _environment(data_dir: Path, port: int, root: AccessKey) -> dict[str, str]:
    # From scratch: functions it runs inherit this, and the developer's AWS_* are nobody's business here.
    data_dir = data_dir.absolute()
    temporary = data_dir / "tmp"
    _clear(temporary)
    return {
        **path_variable(),
        "HOME": str(data_dir),
        "TMPDIR": str(temporary),
        "BIND_HOST": LOOPBACK,
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "AUTH": "true",
        "AWS_ACCESS_KEY_ID": root.access_key,
        "AWS_SECRET_ACCESS_KEY": root.secret_key,
        "PERSIST_STATE": "1",
        "STATE_DIR": str(data_dir / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(data_dir / "objects"),
        # Listeners on ports of their own that nothing here needs.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }


def _clear(directory: Path) -> None:
    """Make `directory` an empty one at once, and remove what it held meanwhile: unpacked functions, as a rule.

    The next start goes on with a removal that does not end before this process does.
    """
    left = directory.with_name(f"{directory.name}-left")
    left.mkdir(parents=True, exist_ok=True)
    if directory.exists():
        directory.rename(Path(tempfile.mkdtemp(dir=left)) / directory.name)
    directory.mkdir()
    threading.Thread(target=shutil.rmtree, args=(left,), kwargs={"ignore_errors": True}, daemon=True).start()
