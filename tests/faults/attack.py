"""Pictures that are made to hurt, beside ordinary uploads and views: nobody else may notice."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import cycle
from pathlib import Path

import aiohttp

from benchmarks.watched import cpu_seconds
from tests.faults.tally import Tally
from tests.hostile import HOSTILE
from tests.photographs import PHOTOGRAPHS
from tests.process.caps import capped
from tests.process.crowds import Pulse, clients, upload
from tests.process.servers import PIXDEPOT, Server, serving

LIMIT = 512 * 10**6  # bytes
CPU = 3.0  # seconds, of one hostile upload
HEALTH = 0.2  # seconds, the 99th percentile
_ATTACKERS, _OTHERS = 3, 2
_QUIET, _WITHIN = 0.3, 120.0  # seconds
_ORDINARY = [each for each in PHOTOGRAPHS if each.megapixels <= 3]
_NEXT = cycle(_ORDINARY)
_REFUSED = range(400, 500)


async def measure(place: Path, count: int) -> list[Tally]:
    """Let there be so many uploads of each hostile kind, each at a server of its own."""
    return [await attacked(place / filename, filename, count) for filename in HOSTILE]


async def attacked(place: Path, filename: str, count: int) -> Tally:
    """Upload a hostile picture alone, and then so often beside what others do."""
    tally, data = Tally(f"{filename}, uploads under attack", count), HOSTILE[filename]()
    place.mkdir(parents=True, exist_ok=True)
    with capped(LIMIT, PIXDEPOT, "serve") as command, tally.timed():
        async with serving(place, *command, PIXDEPOT_MAX_PIXELS=str(2**26)) as server, clients() as session:
            await _Attack(server, session, filename, data, tally).run(count)
    return tally


class _Attack:
    def __init__(
        self, server: Server, session: aiohttp.ClientSession, filename: str, data: bytes, tally: Tally
    ) -> None:
        self._server, self._session, self._tally = server, session, tally
        self._filename, self._data = filename, data
        self._hostile, self._ordinary, self._views = Counter[int](), Counter[int](), Counter[int]()
        self._over = False

    async def run(self, count: int) -> None:
        """Do it, and write down what was wrong."""
        try:
            await self._upload_one()
            seconds = await self._cost(self._hurt)
            with Pulse(self._server.port) as pulse:
                await self._beside(count)
        except (aiohttp.ClientError, TimeoutError, ExceptionGroup) as error:
            ended = self._server.process.returncode
            self._tally.violations.append(f"{error!r}; the server {'runs' if ended is None else 'has ended'}")
            return
        peak = self._server.memory("VmHWM")
        self._tally.figures = (
            f"{seconds:.1f} s of CPU, /health in {pulse.slowest * 1000:.0f} ms, at most {peak / 10**6:.0f} MB; "
            f"hostile {dict(self._hostile)}, ordinary {dict(self._ordinary)}, views {dict(self._views)}"
        )
        wrong = {
            f"an upload takes {seconds:.1f} s of CPU": seconds >= CPU,
            f"/health takes {pulse.slowest:.2f} s": pulse.slowest >= HEALTH,
            f"/health fails: {pulse.failures[:1]}": bool(pulse.failures),
            f"it takes {peak:,} bytes": peak >= LIMIT,
            "a hostile upload is a failure": not all(each in {201, 503, *_REFUSED} for each in self._hostile),
            "an ordinary upload is refused": not self._ordinary.keys() <= {201, 503},
            "no ordinary upload is published": not self._ordinary[201],
            "a view fails": self._views.keys() != {200},
        }
        self._tally.violations += [told for told, is_wrong in wrong.items() if is_wrong]

    async def _beside(self, count: int) -> None:
        """Upload so many hostile pictures while others go on; those end after the last of them."""
        todo = iter(range(count))

        async def attack() -> None:
            for _ in todo:
                await self._hurt()

        async with asyncio.TaskGroup() as group:
            attackers = [group.create_task(attack()) for _ in range(_ATTACKERS)]
            for _ in range(_OTHERS):
                group.create_task(self._until_over(self._upload_one))
                group.create_task(self._until_over(self._view))
            await asyncio.gather(*attackers)
            self._over = True

    async def _until_over(self, work: Callable[[], Awaitable[None]]) -> None:
        while not self._over:
            await work()

    async def _hurt(self) -> None:
        fields = {"strip_location": "true"}
        self._hostile[await upload(self._session, self._server.url, self._filename, self._data, **fields)] += 1

    async def _upload_one(self) -> None:
        each = next(_NEXT)
        self._ordinary[await upload(self._session, self._server.url, each.filename, each.data)] += 1

    async def _view(self) -> None:
        async with self._session.get(f"{self._server.url}/images?limit=20") as listed:
            self._views[listed.status] += 1
            images = (await listed.json())["images"]
        async with self._session.get(images[0]["variants"]["thumb"]["url"]) as seen:
            await seen.read()
            self._views[seen.status] += 1

    async def _cost(self, work: Callable[[], Awaitable[None]]) -> float:
        """Return the seconds of CPU that the server takes for it, also after its answer."""
        pid, clock = self._server.process.pid, asyncio.get_running_loop().time
        before, until = cpu_seconds(pid), clock() + _WITHIN
        await work()
        last = cpu_seconds(pid)
        while clock() < until:
            await asyncio.sleep(_QUIET)
            if (now := cpu_seconds(pid)) - last < _QUIET / 10:
                break
            last = now
        return cpu_seconds(pid) - before
