"""A real server under a steady load for long: what becomes of its memory and of its open files."""

import asyncio
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.api.client import ApiClient, over_http
from tests.faults.ledger import Ledger, Visitor
from tests.faults.tally import Tally
from tests.process.servers import Server, serving

_VISITORS = 4
_RATE = 20  # things done in a second, by all of them
_KEPT = 100  # images of each visitor, beyond which it deletes one
_SAMPLES = 600  # at least one in 10 seconds
_MIB, _HOUR = 2**20, 3600
_LONG = 1200  # seconds after warm-up, before which the slope is mostly noise
_MOST_GROWTH = 1.0  # MiB an hour
_MORE_FILES = 8


@dataclass(frozen=True)
class Sample:
    """What a process took at one time (seconds from the start)."""

    time: float
    memory: int
    files: int


async def visit(visitor: Visitor, until: float) -> int:
    """Do one thing after the other at a steady rate; return how many."""
    clock, turn, done = asyncio.get_running_loop().time, _VISITORS / _RATE, 0
    start = clock()
    while clock() < until:
        if len(visitor.ledger.published) > _KEPT:
            await visitor.delete()
        else:
            await visitor.do_something()
        done += 1
        await asyncio.sleep(max(start + done * turn - clock(), 0))
    return done


async def sample(server: Server, start: float, until: float) -> list[Sample]:
    """Look at the process at even intervals."""
    clock, samples = asyncio.get_running_loop().time, []
    while clock() < until:
        samples.append(Sample(clock() - start, server.memory(), server.open_files()))
        await asyncio.sleep(min((until - start) / _SAMPLES, 10))
    return samples


def judge(samples: Sequence[Sample], tally: Tally) -> None:
    """Write down how memory and files develop after a warm-up of a fifth of the time; growth is a violation."""
    warm = samples[len(samples) // 5 :]
    slope = statistics.linear_regression([each.time for each in warm], [each.memory for each in warm]).slope
    growth = slope * _HOUR / _MIB
    quarter = max(len(warm) // 4, 1)
    before, after = (statistics.median(each.files for each in part) for part in (warm[:quarter], warm[-quarter:]))
    memory = " to ".join(f"{each.memory / _MIB:.1f}" for each in (samples[0], warm[0], warm[-1]))
    tally.figures = f"{growth:+.2f} MiB/h ({memory} MiB); files {before:g}, then {after:g}"
    if warm[-1].time - warm[0].time > _LONG and growth > _MOST_GROWTH:
        tally.violations.append(f"memory grows by {growth:.1f} MiB an hour")
    if after > before + _MORE_FILES:
        tally.violations.append(f"open files grow from {before:g} to {after:g}")


async def measure(place: Path, seed: int, minutes: float) -> list[Tally]:
    """Keep a server busy for so long."""
    tally = Tally(f"soak of {minutes:g} minutes, things done")
    place.mkdir(parents=True, exist_ok=True)
    with tally.timed():
        async with serving(place) as server, aiohttp.ClientSession() as session:
            api = ApiClient(server.url, over_http(session))
            users = [f"soak {seed} {number}" for number in range(_VISITORS)]
            visitors = [Visitor(api, Ledger(), random.Random(user), user) for user in users]
            start = asyncio.get_running_loop().time()
            until = start + minutes * 60
            samples, *done = await asyncio.gather(
                sample(server, start, until), *(visit(each, until) for each in visitors)
            )
            for each in visitors:
                tally.violations += await each.ledger.audit(api, user_id=each.user)
    tally.count = sum(done)
    judge(samples, tally)
    return [tally]
