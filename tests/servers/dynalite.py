"""dynalite: a DynamoDB whose read units, 1 MB pages and large partitions are as on AWS. Tables live in memory.

It has no transactions, no TTL, and no ALL_OLD on a failed condition: for those there is the emulator.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bootstrap.processes import LOOPBACK, free_port, path_variable, running_child
from tests import npm

DYNALITE = "dynalite@4.0.0"
_PROGRAM = "dynalite/cli.js"


def available() -> str | None:
    """Return why dynalite cannot run on this machine, or None when it can."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    return f"dynalite needs {' and '.join(missing)}" if missing else None


def install() -> Path:
    """Return dynalite's program; the first call on a machine installs it (some seconds, over the network)."""
    return npm.installed(DYNALITE.replace("@", "-"), _PROGRAM, DYNALITE) / "node_modules" / _PROGRAM


@asynccontextmanager
async def running_dynalite(directory: Path) -> AsyncIterator[str]:
    """Run dynalite for the length of the block, its log in `directory`; yield its endpoint URL. Any key will do."""
    program, port = install(), free_port()
    command = ("node", str(program), "--host", LOOPBACK, "--port", str(port), "--createTableMs", "0")
    environment = path_variable() | {"HOME": str(directory)}
    async with running_child(command, env=environment, log=directory / "dynalite.log") as child:
        await child.until_answers(f"http://{LOOPBACK}:{port}/")
        yield f"http://{LOOPBACK}:{port}"
