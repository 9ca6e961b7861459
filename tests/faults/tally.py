"""What was tried, and what went wrong."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_SHOWN = 20  # violations of one kind


@dataclass
class Tally:
    """How often one thing was tried, in how many seconds, and every violation."""

    what: str
    count: int = 0
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0
    figures: str = ""

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add the time that the block takes."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - start

    def row(self) -> str:
        """Return the line of a table."""
        figures = f"{self.what:58} {self.count:7} {len(self.violations):10} {self.seconds:8.1f} s"
        return f"{figures}  {self.figures}".rstrip()

    def details(self) -> list[str]:
        """Return the violations, or the first of many."""
        return [f"  {self.what}: {each}" for each in self.violations[:_SHOWN]]


HEADING = f"{'what':58} {'count':>7} {'violations':>10} {'time':>10}"
