"""The `pixdepot` command.

What a command needs is imported when it runs: the help, completion and the small commands start at once.
"""

from typing import Any

import click

from .commands.completion import completion
from .commands.downloading import get
from .commands.pictures import edit, ls, rm, sign
from .commands.serving import doctor, emulator, openapi, serve
from .commands.setting_up import bootstrap
from .commands.terminal import printable
from .commands.upkeep import migrate, reconcile, recover, reindex, sweep, variants
from .commands.uploading import upload

_EPILOG = "Exit status: 0 on success, 1 if anything failed, 2 for invalid usage."


class _Pixdepot(click.Group):
    def main(self, *args: Any, **options: Any) -> Any:
        """Run a command, whatever its output is able to show."""
        printable()
        return super().main(*args, **options)


@click.group(cls=_Pixdepot, epilog=_EPILOG)
@click.version_option(package_name="pixdepot")
def main() -> None:
    """Upload, list, download and manage images, and run the server."""


_PICTURES = (upload, ls, get, edit, rm, sign)
_SERVER = (serve, emulator, doctor, openapi, bootstrap)
_UPKEEP = (sweep, reconcile, recover, reindex, variants, migrate)

for _command in (*_PICTURES, *_SERVER, *_UPKEEP, completion):
    main.add_command(_command)
