"""nginx taking a PUT to disk, by its own WebDAV module (Debian's package nginx).

It writes the body to a temporary file beside, and renames that. It does not fsync, ask who may write what, or look
at the bytes.
"""

import getpass
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bootstrap.processes import LOOPBACK, free_port, path_variable, running_child

from .missing import by_debian

_CONFIGURATION = """\
daemon off;
user {user};
worker_processes 1;
pid {place}/pid;
error_log stderr;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_max_body_size 20m;
  client_body_temp_path {place}/body;
  proxy_temp_path {place}/proxy;
  fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi;
  scgi_temp_path {place}/scgi;
  server {{
    listen {host}:{port};
    root {place}/files;
    location / {{ dav_methods PUT; create_full_put_path on; }}
    location = /alive {{ return 200; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """A server that runs; `pids` are its master and its worker."""

    url: str
    files: Path
    pids: tuple[int, ...]


def available() -> str | None:
    """Return why nginx cannot run on this machine, or None when it can."""
    return None if shutil.which("nginx", path=_PATH) else "nginx is not installed"


@asynccontextmanager
async def running_nginx(place: Path) -> AsyncIterator[Nginx]:
    """Run nginx for the length of the block. It writes below `place`, a directory that exists. Raises Missing."""
    if missing := available():
        raise by_debian(missing, "nginx")
    files, configuration, port = place / "files", place / "nginx.conf", free_port()
    files.mkdir()
    configuration.write_text(_CONFIGURATION.format(user=getpass.getuser(), place=place, host=LOOPBACK, port=port))
    command = ("nginx", "-e", "stderr", "-p", str(place), "-c", str(configuration))
    async with running_child(command, env={"PATH": _PATH}, log=place / "nginx.log") as child:
        await child.until_answers(f"http://{LOOPBACK}:{port}/alive")
        master = child.process.pid
        yield Nginx(f"http://{LOOPBACK}:{port}", files, (master, *_children(master)))


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


_PATH = f"{path_variable()['PATH']}:/usr/sbin"  # where Debian has it, and not everybody looks
