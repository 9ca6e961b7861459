"""Rivals that are not on this machine, and how to get them."""

import re

from bootstrap.processes import ServerFailed

_NO_MODULE = re.compile(r"ModuleNotFoundError: No module named '(\w+)")


class Missing(Exception):
    """A benchmark needs a program or a package that this machine lacks. The text names it and how to get it."""


def by_debian(reason: str, packages: str) -> Missing:
    """Return the error for a program that Debian packages contain. `reason` says which program is missing."""
    return Missing(f"{reason}. Install it, for example on Debian or Ubuntu: sudo apt-get install {packages}")


def by_pip(failed: ServerFailed) -> Missing | None:
    """Return the error for a Python package that a server could not import, or None."""
    found = _NO_MODULE.search(str(failed))
    if found is None:
        return None
    return Missing(
        f"The Python package {found[1]} is not installed. "
        "Install it: .venv/bin/pip install -c constraints.txt -e '.[bench]'"
    )
