"""AWS's SAM command line, and an emulator whose CloudFormation applies SAM's transform, in environments apart."""

import shlex
from pathlib import Path

from bootstrap.emulator import MINISTACK
from bootstrap.processes import installed_python

SAM = "aws-sam-cli==1.170.0"
# AWS's own transform, as the service applies it.
_TRANSFORM = "aws-sam-translator==1.115.0"


def install() -> Path:
    """Return the Python that has SAM; the first call on a machine installs it (a minute)."""
    return installed_python(SAM)


def command(directory: Path) -> Path:
    """Write the command `sam` into a directory, and return the directory. Pip's own leads to another."""
    sam = directory / "sam"
    sam.write_text(f'#!/bin/sh\nexec {shlex.quote(str(install()))} -m samcli "$@"\n')
    sam.chmod(0o755)
    return directory


def install_emulator() -> Path:
    """Return the Python that runs the emulator; the first call on a machine installs it (some seconds)."""
    return installed_python(MINISTACK, _TRANSFORM)
