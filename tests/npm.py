"""Packages from npm that tests use: exact versions, installed once on a machine, in the user's cache."""

from pathlib import Path

from bootstrap.processes import installed_once, run


def installed(name: str, proof: str, *packages: str) -> Path:
    """Return the folder `name` of the cache that has these packages; the first call installs them (some seconds).

    `proof` is a file below node_modules that tells an installation which works.
    """

    def install(directory: Path) -> None:
        # Native parts come ready-made in the packages; no script needs to build them.
        options = ("--prefix", str(directory), "--save-exact", "--ignore-scripts", "--no-audit", "--no-fund")
        run(["npm", "install", *options, *packages])

    return installed_once(name, f"node_modules/{proof}", install)
