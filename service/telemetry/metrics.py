"""Plain counters of the service's work. Counting takes a microsecond; a scrape reads the numbers.

Standard library only. One event loop counts, and any thread may read. Labels have few, fixed values: operations,
statuses, methods of the ports. They never contain users, images, links or paths.
"""

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["ok", "failed", "cancelled"]

UNROUTED = "unrouted"  # in the place of an operation's name, where a request was for none
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds


class Durations:
    """A histogram of durations. `counts` has one number for each of BUCKETS, and one for longer durations."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0  # seconds

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds


@dataclass(slots=True)
class Requests:
    """The counters of one operation's requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    durations: Durations = field(default_factory=Durations)
    bytes_in: int = 0  # of bodies, as far as they were read
    bytes_out: int = 0  # of bodies, as far as they were sent

    def answered(self, status: int, seconds: float, bytes_in: int) -> None:
        """Count one more."""
        self.statuses[status] += 1
        self.durations.add(seconds)
        self.bytes_in += bytes_in


@dataclass(slots=True)
class Calls:
    """The counters of one port method's calls."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    durations: Durations = field(default_factory=Durations)

    def ended(self, outcome: Outcome, seconds: float) -> None:
        """Count one more."""
        self.outcomes[outcome] += 1
        self.durations.add(seconds)


@dataclass(slots=True)
class Sweeps:
    """The counters of the sweeper's rounds."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    removed: int = 0
    failed: int = 0
    due: int = 0  # found by the last round
    last: float = 0.0  # seconds since 1970 at the end of the last round that was ok; 0 before the first

    def ended(self, due: int, removed: int, failed: int) -> None:
        """Count a completed round."""
        self.outcomes["ok"] += 1
        self.due, self.last = due, time.time()
        self.removed += removed
        self.failed += failed


@dataclass(frozen=True, slots=True)
class Lending:
    """The state of a memory budget: its size and its use in bytes, and the number of rejected requests."""

    total: int
    lent: int
    refused: int


class Metrics:
    """All counters since the start: by operation, by (port, method), and of the sweeper."""

    def __init__(self) -> None:
        self.requests: defaultdict[str, Requests] = defaultdict(Requests)
        self.calls: defaultdict[tuple[str, str], Calls] = defaultdict(Calls)
        self.sweeps = Sweeps()
