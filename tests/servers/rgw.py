"""Ceph's object gateway over a cluster of one monitor and one OSD in memory: an S3 nobody wrote for tests.

Up in about a second, with 140 MB; nothing survives it. It ignores x-amz-checksum-*, `CopySourceIfMatch` and a
DELETE's `If-Match`, and after PutPublicAccessBlock refuses even its owner's PutObject.
"""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from bootstrap.emulator import AccessKey
from bootstrap.processes import LOOPBACK, Child, free_port, path_variable, run, running_child

_PROGRAMS = ("radosgw", "radosgw-admin", "ceph", "ceph-mon", "ceph-osd", "monmaptool")
_GATEWAY = "client.rgw.test"

_CONFIGURATION = """\
[global]
fsid = {cluster}
mon_host = {monitor}
public_addr = {host}
cluster_addr = {host}
ms_bind_msgr1 = false
# On one loopback address there is nobody to keep out; without keys, traffic can only be plain.
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
client_mount_timeout = 30
# A gateway quicker than the OSD looks for it again soon, not after five seconds.
objecter_tick_interval = 0.2
# Everything stays in the one directory, and sockets' paths are too short for it.
run_dir = {directory}
crash_dir = {directory}
log_file = {directory}/$name.log
mon_cluster_log_file = {directory}/cluster.log
admin_socket =
mon_data = {directory}/mon
osd_data = {directory}/osd
rgw_data = {directory}
# One OSD, one copy, in memory.
osd_objectstore = memstore
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
# The gateway makes its pools one by one, each a round of voting that otherwise waits a second for company.
paxos_propose_interval = 0.01
paxos_min_wait = 0.01
rgw_frontends = beast endpoint={gateway}
"""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway and the key of a user who may do everything with buckets of their own."""

    endpoint_url: str
    key: AccessKey
    pids: tuple[int, ...]
    region: str = "us-east-1"


def available() -> str | None:
    """Return why the gateway cannot run on this machine, or None when it can."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    return f"Ceph's gateway needs {', '.join(missing)}" if missing else None


@asynccontextmanager
async def running_gateway(directory: Path, key: AccessKey | None = None) -> AsyncIterator[Gateway]:
    """Run a gateway for the length of the block, in the empty `directory`. It knows `key` only, or a new one.

    Raises ServerFailed, with the end of the log, when a part of it does not come up.
    """
    cluster = _Cluster.prepared(directory)
    monitors, osd = str(directory / "monitors"), str(uuid4())
    async with AsyncExitStack() as stack:

        async def start(*command: str) -> Child:
            # Killed at the end: there is nothing to save, and an OSD takes seconds over it.
            log = directory / f"{command[0]}.out"
            child = running_child(command, env=cluster.environment, log=log, stop_signal=signal.SIGKILL)
            return await stack.enter_async_context(child)

        await cluster.run("monmaptool", "--create", "--addv", "a", cluster.monitor, monitors)
        await cluster.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors)
        monitor = await start("ceph-mon", "-f", "-i", "a")
        await asyncio.gather(
            cluster.run("ceph", "osd", "new", osd),
            cluster.run("ceph-osd", "--no-mon-config", "--mkfs", "-i", "0", "--osd-uuid", osd),
        )
        storage = await start("ceph-osd", "-f", "-i", "0")
        gateway = await start("radosgw", "-f", "-n", _GATEWAY)
        await gateway.until_answers(cluster.endpoint_url)
        key = key or AccessKey(uuid4().hex, uuid4().hex)
        user = ("--uid=user", "--display-name=user", "--access-key", key.access_key, "--secret-key", key.secret_key)
        await cluster.run("radosgw-admin", "-n", _GATEWAY, "user", "create", *user)
        pids = tuple(child.process.pid for child in (monitor, storage, gateway))
        yield Gateway(cluster.endpoint_url, key, pids)


@dataclass(frozen=True, slots=True)
class _Cluster:
    endpoint_url: str
    monitor: str
    environment: dict[str, str]

    @classmethod
    def prepared(cls, directory: Path) -> "_Cluster":
        monitor, gateway = f"v2:{LOOPBACK}:{free_port()}/0", f"{LOOPBACK}:{free_port()}"
        configuration = directory / "ceph.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                cluster=uuid4(), host=LOOPBACK, monitor=monitor, gateway=gateway, directory=directory
            )
        )
        for store in ("mon", "osd"):
            (directory / store).mkdir()
        environment = path_variable() | {"HOME": str(directory), "CEPH_CONF": str(configuration)}
        return cls(f"http://{gateway}", monitor, environment)

    async def run(self, *command: str) -> None:
        await asyncio.to_thread(run, command, self.environment)
