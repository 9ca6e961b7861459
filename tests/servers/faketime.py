"""Wrong clocks for real processes: libfaketime changes what a process is told of the time of day.

Time that only goes forwards (CLOCK_MONOTONIC, CLOCK_BOOTTIME) stays right, as it does when somebody sets a clock.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))  # of Debian's package libfaketime


def available() -> str | None:
    """Return why there are no wrong clocks here; None where there are."""
    return None if _LIBRARIES else "libfaketime is not installed"


@dataclass(frozen=True)
class Clock:
    """The clock of the processes that have its `environment`; what is in its file is by how much it is wrong."""

    file: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return what a process needs in its environment to have this clock."""
        return {
            "LD_PRELOAD": str(_LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_CACHE_DURATION": "1",  # second; without it the file is read at each look at the clock
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, wrong: timedelta) -> None:
        """Let the clock be wrong by so much, a second from now."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{wrong.total_seconds():+.0f}\n")
        new.replace(self.file)  # so nobody reads a half of it
