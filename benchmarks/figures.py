"""What a benchmark finds, and how it measures."""

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """Two figures in the same unit, less being better. `goal` is the most that their ratio may be."""

    name: str
    ours: float
    rival: float
    goal: float
    unit: str = "ms"

    @property
    def ratio(self) -> float:
        """Return ours / rival."""
        return self.ours / self.rival

    @property
    def ok(self) -> bool:
        """Return whether the goal is reached."""
        return self.ratio <= self.goal


WARM_UP = 2  # rounds that do not count


Clock = Callable[[], float]


async def medians(
    ways: Mapping[str, Callable[[], Awaitable[object]]],
    rounds: int,
    clock: Clock | Mapping[str, Clock] = time.perf_counter,
    *,
    warm_up: int = WARM_UP,
) -> dict[str, float]:
    """Return the median milliseconds of each way, all taken in turns, so that a busy moment is everyone's.

    Each round begins with another one; `warm_up` more come first. `clock` tells seconds, of the wall or of CPU:
    one for all, or one for each way.
    """
    clocks = clock if isinstance(clock, Mapping) else dict.fromkeys(ways, clock)
    times: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for n in range(rounds + warm_up):
        for name in names[n % len(names) :] + names[: n % len(names)]:
            began = clocks[name]()
            await ways[name]()
            times[name].append((clocks[name]() - began) * 1000)
    return {name: statistics.median(taken[warm_up:]) for name, taken in times.items()}
