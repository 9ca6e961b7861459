"""What tests of guides need of this machine: programs, and an index for pip."""

import os
import shutil

import pytest

PATH = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin"  # not everybody looks where servers are


def program(name: str) -> str:
    """Return where a program is. Skips the test on a machine that has none."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def index() -> dict[str, str]:
    """Return the variables that tell pip of indexes, certificates and proxies; nothing else of a developer's."""
    wanted = ("PIP_", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return {name: value for name, value in os.environ.items() if name.upper().startswith(wanted)}
