"""Servers of the local backend whose disk is full, or that can open no more files, at any moment under load."""

import asyncio
import os
import random
import resource
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import aiohttp

from service.runtime import Runtime, open_service
from service.settings import Settings
from tests.api.client import Answer, ApiClient
from tests.faults.ledger import Ledger, Visitor
from tests.faults.sites import everything, tomorrow
from tests.faults.tally import Tally
from tests.process.servers import PIXDEPOT, Server, run, serving
from tests.process.wire import connected
from tests.servers.disks import Disk, mounted

MIB = 2**20
_SETTINGS = {"PIXDEPOT_DISK_RESERVE": str(4 * MIB), "PIXDEPOT_SWEEP_INTERVAL": "1"}
_SIZE = 24 * MIB  # a few dozen of the visitors' images
_CLIENTS = 6
_ROUNDS = 20  # for one data directory
_LONGEST_LOG = 400_000  # bytes that a round may log: a line or two for a request
_SCAVENGED = 60  # connections that want to be accepted in vain


@dataclass
class Site:
    """A data directory on a disk of its own, and what was done there."""

    directory: Path
    disk: Disk
    ledger: Ledger
    chance: random.Random
    answers: Counter[int]  # by their status, of all data directories
    has_ballast: bool = False  # when the disk was filled, and nobody has filled it again


async def visits(server: Server, site: Site, name: str, events: Mapping[int, Callable[[], None]]) -> None:
    """Do what users do, at once; call each of the events at its step, and end with the last."""
    steps, last = count(1), max(events)
    done = 0

    async with aiohttp.ClientSession() as session:

        async def send(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
            nonlocal done
            async with session.request(method, url, headers=headers, data=body or None) as response:
                answer = Answer(response.status, response.headers, await response.read())
            site.answers[answer.status] += 1
            if (done := next(steps)) in events:
                events[done]()
            return answer

        async def visit(visitor: Visitor) -> None:
            with suppress(aiohttp.ClientError):  # it was killed
                while done < last:
                    await visitor.do_something()

        async with asyncio.TaskGroup() as clients:
            for number in range(_CLIENTS):
                user = f"{name}, client {number}"
                chance = random.Random(user)
                clients.create_task(visit(Visitor(ApiClient(server.url, send), site.ledger, chance, user)))


async def full(site: Site, name: str) -> None:
    """Fill the disk under load, to the last byte or nearly, kill the server or not, and start it on a full disk."""
    filler, chance, wrong = site.disk.place / "filler", site.chance, site.ledger.wrong

    def fill() -> None:
        ballast = site.disk.place / "ballast"
        site.has_ballast = not filler.exists() and ballast.exists() and ballast.stat().st_size > 0
        with suppress(OSError):  # others may have taken what was free a moment ago
            site.disk.fill(leaving=chance.choice([0, 0, 0, 10_000, 300_000, 2 * MIB, 5 * MIB]))

    def free() -> None:
        filler.unlink(missing_ok=True)

    async with serving(site.directory, **_SETTINGS) as server:
        if filler.exists():
            await _delete_one(server, site)
        else:
            await site.ledger.audit(server.api)
        kills = chance.random() < 0.3
        at = sorted(chance.sample(range(10, 120), 3))
        last = server.process.kill if kills else chance.choice([free, fill])
        await visits(server, site, name, dict(zip(at, (fill, chance.choice([free, fill]), last), strict=True)))
        if not kills and filler.exists():
            await _sweep(site)
            await _delete_one(server, site)
        if server.process.returncode is None and kills:
            await server.ended()
        wrong += _wrong_log(server)
    if chance.random() < 0.5:
        free()


async def _sweep(site: Site) -> None:
    swept = await run(PIXDEPOT, "sweep", directory=site.directory, PIXDEPOT_DATA_DIR="data", **_SETTINGS)
    if swept.code and site.has_ballast:
        site.ledger.wrong.append(f"a sweep on a full disk ended with {swept.code}: {swept.error[-500:]}")


async def _delete_one(server: Server, site: Site) -> None:
    """Delete an image while the disk is full: it must be done."""
    ledger = site.ledger
    for image_id in sorted(ledger.published.keys() - ledger.doubtful)[:1]:
        user = ledger.titles[image_id].rpartition(", number ")[0]
        ledger.doubtful.add(image_id)
        answer = await server.api.delete(f"/images/{image_id}", {"user_id": user})
        if answer.status == 200:
            ledger.forget(image_id)
        elif site.has_ballast:
            ledger.wrong.append(f"a delete on a full disk was answered {answer.outcome}")


async def starved(site: Site, name: str) -> None:
    """Take a server's file descriptors away under load, while others want to connect; then give them back."""
    async with serving(site.directory, **_SETTINGS) as server, AsyncExitStack() as stack:
        await site.ledger.audit(server.api)
        pid, chance = server.process.pid, site.chance
        usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)

        def take() -> None:
            fewest = chance.choice([3, server.open_files(), server.open_files() + chance.randrange(20)])
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (fewest, usual[1]))

        def give() -> None:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)

        at = sorted(chance.sample(range(20, 160), 4))
        events = dict(zip(at, (take, take, take, give), strict=True))
        visiting = asyncio.create_task(visits(server, site, name, events))
        for _ in range(_SCAVENGED):
            await stack.enter_async_context(connected(server))
        # Clients that lost their connection cannot get another one before they have gone on for so many steps.
        if not (await asyncio.wait([visiting], timeout=20))[0]:
            give()
        await visiting
        give()
        await site.ledger.audit(server.api)
        site.ledger.wrong += _wrong_log(server)


def _wrong_log(server: Server) -> list[str]:
    log = server.log
    with (server.directory / "stderr.log").open("wb"):
        pass  # of the next server it has only its own
    wrong = [f"unforeseen: {line[:1500]}" for line in log.splitlines() if '"level":"ERROR"' in line]
    return wrong + ([f"{len(log)} bytes were logged"] if len(log) > _LONGEST_LOG else [])


Round = Callable[[Site, str], Awaitable[None]]


@contextmanager
def _sited(directory: Path, name: str, answers: Counter[int]) -> Iterator[Site]:
    with mounted(directory / "data", _SIZE) as disk:
        yield Site(directory, disk, Ledger(), random.Random(name), answers)


async def life(directory: Path, one_round: Round, rounds: int, name: str, answers: Counter[int]) -> list[str]:
    """Let one data directory live through so many rounds; return what is wrong in the end, and count answers."""
    with _sited(directory, name, answers) as site:
        wrong = site.ledger.wrong
        for number in range(rounds):
            await one_round(site, f"{name}, round {number}")
        (site.disk.place / "filler").unlink(missing_ok=True)
        async with serving(directory, **_SETTINGS) as server:
            await site.ledger.audit(server.api)
        temporary = site.disk.place / "tmp"
        for left in temporary.iterdir():  # by those that were killed
            os.utime(left, times=(0, 0))
        async with open_service(Settings(data_dir=site.disk.place), tomorrow) as later:
            wrong += await _left_by_sweep(later)
        wrong += [f"3: {left.name} is left in tmp/" for left in temporary.iterdir()]
        async with serving(directory, **_SETTINGS) as server:
            await site.ledger.audit(server.api)
    return wrong


async def _left_by_sweep(later: Runtime) -> list[str]:
    """Sweep, and do nothing else; return what is wrong all the same."""
    depot = later.api.services.depot
    swept = await later.sweeper.sweep()
    kept = {key async for image in everything(depot) for key in image.object_keys}
    objects = {each.key for prefix in ("uploads/", "images/") async for each in depot.objects.list(prefix)}
    wrong = [f"3: sweep failed at {swept.failed}"] if swept.failed else []
    wrong += [f"1: {key} is gone" for key in sorted(kept - objects)]
    return wrong + [f"3: {key} belongs to nothing, and sweep leaves it" for key in sorted(objects - kept)]


async def measure(place: Path, seed: int, what: str, one_round: Round, times: int) -> Tally:
    """Go through so many rounds, one data directory after the other."""
    tally, answers = Tally(what, times), Counter[int]()
    with tally.timed():
        for number, begin in enumerate(range(0, times, _ROUNDS)):
            name = f"{one_round.__name__} {seed} {number}"
            rounds = min(_ROUNDS, times - begin)
            tally.violations += await life(place / name.replace(" ", "-"), one_round, rounds, name, answers)
    tally.figures = ", ".join(f"{count} x {status}" for status, count in sorted(answers.items()))
    return tally


async def measure_disks(place: Path, seed: int, disks: int) -> list[Tally]:
    """Fill the disk so many times."""
    return [await measure(place, seed, "full disks under load", full, disks)]


async def measure_descriptors(place: Path, seed: int, storms: int) -> list[Tally]:
    """Take the descriptors away so many times."""
    return [await measure(place, seed, "EMFILE storms under load", starved, storms)]
