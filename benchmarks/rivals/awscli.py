"""AWS's own command line, in an environment of its own."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from bootstrap.processes import installed_python, path_variable, run

AWSCLI = "awscli==1.46.3"


def install() -> Path:
    """Return the Python that runs it; the first call on a machine installs it (some seconds)."""
    return installed_python(AWSCLI)


async def copied(directory: Path, to: str, home: Path, sdk: Mapping[str, str]) -> None:
    """Copy all files of a directory to an `s3://` URL, with its defaults. Raises ServerFailed."""
    command = (str(install()), "-m", "awscli", "s3", "cp", "--recursive", "--only-show-errors", str(directory), to)
    await asyncio.to_thread(run, command, {**path_variable(), "HOME": str(home), **sdk})
