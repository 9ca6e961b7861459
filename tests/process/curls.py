"""curl, typed as a user types it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.process.servers import run


@dataclass(frozen=True)
class Printed:
    """What a curl line brought: the last status, and the body it printed."""

    status: int
    body: str

    @property
    def json(self) -> Any:
        """Return the printed body as a document."""
        return json.loads(self.body)

    @property
    def outcome(self) -> tuple[int, str]:
        """Return the status, and the code of the problem it printed."""
        return self.status, self.json["code"]


@dataclass(frozen=True)
class Terminal:
    """A shell in a directory, in which `$API` is the service."""

    directory: Path
    api: str

    async def __call__(self, line: str) -> Printed:
        """Run one curl line."""
        (self.directory / ".curlrc").write_text('silent\nshow-error\nwrite-out = "%{stderr}%{http_code}"\n')
        finished = await run("bash", "-euo", "pipefail", "-c", line, directory=self.directory, API=self.api)
        assert finished.code == 0, (line, finished)
        return Printed(int(finished.error), finished.out)
