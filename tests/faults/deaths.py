"""Servers of the local backend killed, or asked to stop, at any moment under load."""

import asyncio
import json
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path

import aiohttp

from service.runtime import open_service
from service.settings import Settings
from tests.api.client import Answer, ApiClient, some_details
from tests.faults.ledger import PICTURES, Ledger, Visitor
from tests.faults.sites import left_over, tomorrow
from tests.faults.tally import Tally
from tests.pictures import base64_of, sha256_of
from tests.process.servers import Server, serving
from tests.process.wire import Wire, connected, upload

_CLIENTS = 6
_STEPS = range(5, 120)  # of all clients together, until it is over
_ROUNDS = 20  # for one data directory
_SLOW = 4  # uploads that are half sent when the server is asked to stop
_STOP_WITHIN = 10  # seconds: most of it is patience with a busy machine


async def load(server: Server, ledger: Ledger, chance: random.Random, name: str, end: Callable[[], None]) -> None:
    """Do all that users do, at once, until nobody answers; call `end` somewhere in the middle of it."""
    last, steps = chance.choice(_STEPS), count(1)

    def step() -> None:
        if next(steps) == last:
            end()

    async def halves(body: bytes) -> AsyncIterator[bytes]:
        yield body[: len(body) // 2]
        step()
        yield body[len(body) // 2 :]

    async with aiohttp.ClientSession() as session:

        async def send(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
            step()
            sent = {**headers, "Content-Length": str(len(body))}
            async with session.request(method, url, headers=sent, data=halves(body) if body else None) as response:
                answer = Answer(response.status, response.headers, await response.read())
            step()
            return answer

        async def visit(visitor: Visitor) -> None:
            try:
                while True:
                    await visitor.do_something()
            except aiohttp.ClientError:
                return

        async with asyncio.TaskGroup() as clients:
            for number in range(_CLIENTS):
                user = f"{name}, client {number}"
                visitor = Visitor(ApiClient(server.url, send), ledger, random.Random(user), user)
                clients.create_task(visit(visitor))


Round = Callable[[Path, Ledger, random.Random, str], Awaitable[None]]


async def killed(directory: Path, ledger: Ledger, chance: random.Random, name: str) -> None:
    """Start a server, look whether all is there, and kill it under load."""
    async with serving(directory) as server:
        await ledger.audit(server.api)
        await load(server, ledger, chance, name, server.process.kill)
        if await server.ended() != -signal.SIGKILL:
            ledger.wrong.append(f"it ended by itself: {server.log[-500:]}")


async def asked_to_stop(directory: Path, ledger: Ledger, chance: random.Random, name: str) -> None:
    """Start a server, and ask it to stop under load; it finishes what it has begun to read, and that soon."""
    data = chance.choice(PICTURES)
    async with serving(directory) as server, AsyncExitStack() as stack:
        await ledger.audit(server.api)
        slow = [await stack.enter_async_context(connected(server)) for _ in range(_SLOW)]
        titles = [f"{name}, slow {number}" for number in range(_SLOW)]
        bodies = [_body(data, title) for title in titles]
        for wire, title, body in zip(slow, titles, bodies, strict=True):
            ledger.asked[title] = sha256_of(data)
            wire.send(upload(f"Content-Length: {len(body)}", "Expect: 100-continue"), body[: len(body) // 2])
            if (await wire.response()).status != 100:  # from here on it is being read
                ledger.wrong.append("an upload was not begun to be read")
        await load(server, ledger, chance, name, server.process.terminate)
        for wire, title, body in zip(slow, titles, bodies, strict=True):
            await _finish(wire, ledger, title, body[len(body) // 2 :])
        if (code := await asyncio.wait_for(server.process.wait(), _STOP_WITHIN)) != 0:
            ledger.wrong.append(f"asked to stop, it ended with {code}: {server.log[-500:]}")


async def _finish(wire: Wire, ledger: Ledger, title: str, rest: bytes) -> None:
    wire.send(rest)
    try:
        answer = await wire.response()
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError) as error:
        ledger.wrong.append(f"an upload under way was cut off: {type(error).__name__}")
        return
    if answer.status == 201:
        ledger.acknowledge(answer.json["image_id"], title)
    else:
        ledger.wrong.append(f"an upload under way was answered {answer.status}")


def _body(data: bytes, title: str) -> bytes:
    return json.dumps({**some_details(title=title), "image_data": base64_of(data)}).encode()


async def life(directory: Path, one_round: Round, rounds: int, name: str) -> list[str]:
    """Let one data directory live through so many rounds; return what is wrong in the end."""
    ledger, chance = Ledger(), random.Random(name)
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(rounds):
        await one_round(directory, ledger, chance, f"{name}, round {number}")
    async with serving(directory) as server:
        await ledger.audit(server.api)
        data = server.data
    for left in (data / "tmp").iterdir():  # a day later, sweep clears what writes left
        os.utime(left, times=(0, 0))
    async with open_service(Settings(data_dir=data), tomorrow) as later:
        ledger.wrong += await left_over(later)
    async with serving(directory) as server:
        await ledger.audit(server.api)
    if left_files := [*(data / "tmp").iterdir()]:
        ledger.wrong.append(f"3: {len(left_files)} temporary files are left")
    return ledger.wrong


async def measure(place: Path, seed: int, what: str, one_round: Round, times: int) -> Tally:
    """Go through so many rounds, two data directories at a time."""
    tally, turns = Tally(what, times), asyncio.Semaphore(2)

    async def one_life(number: int, rounds: int) -> None:
        async with turns:
            name = f"{one_round.__name__} {seed} {number}"
            tally.violations += await life(place / name.replace(" ", "-"), one_round, rounds, name)

    with tally.timed():
        async with asyncio.TaskGroup() as lives:
            for number, begin in enumerate(range(0, times, _ROUNDS)):
                lives.create_task(one_life(number, min(_ROUNDS, times - begin)))
    return tally


async def measure_kills(place: Path, seed: int, kills: int) -> list[Tally]:
    """Kill it so many times."""
    return [await measure(place, seed, "kill -9 of `pixdepot serve` under load", killed, kills)]


async def measure_terms(place: Path, seed: int, terms: int) -> list[Tally]:
    """Ask it to stop so many times."""
    return [await measure(place, seed, "SIGTERM of `pixdepot serve` under load", asked_to_stop, terms)]
