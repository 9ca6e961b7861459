"""Pyright, as editors check a user's code."""

from pathlib import Path

from bootstrap.processes import installed_once, run

PYRIGHT = "pyright@1.1.414"
_PROGRAM = "node_modules/pyright/index.js"


def install() -> Path:
    """Return its program; the first call on a machine installs it (some seconds, over the network)."""
    return installed_once(PYRIGHT.replace("@", "-"), _PROGRAM, _install) / _PROGRAM


def _install(directory: Path) -> None:
    options = ("--prefix", str(directory), "--save-exact", "--ignore-scripts", "--no-audit", "--no-fund")
    run(["npm", "install", *options, PYRIGHT])
