"""What happens when clients race each other, on both backends."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from bootstrap.emulator import Emulator
from tests.api.client import Answer, ApiClient
from tests.faults.sites import Site, left_over, on_aws, on_local
from tests.faults.tally import Tally
from tests.pictures import picture, sha256_of

T = TypeVar("T")

_JITTER = 0.008  # seconds between the first and the last to start, at most: about what a complete takes
_EQUAL = 50  # requests at once
_AT_ONCE = 4  # races
_USER = "ada"


def _pair(size: int = 1200) -> tuple[bytes, bytes]:
    """Return two pictures with as many bytes, so that one link takes either."""
    return tuple(picture(seed=seed).ljust(size, b"\0") for seed in (1, 2))  # type: ignore[return-value]


FIRST, OTHER = _pair()
DIGESTS = {sha256_of(FIRST), sha256_of(OTHER)}

Race = Callable[[ApiClient, random.Random], Awaitable[list[str]]]


async def _soon(chance: random.Random, work: Awaitable[T]) -> T:
    await asyncio.sleep(chance.uniform(0, _JITTER))
    return await work


async def _begun(api: ApiClient, chance: random.Random) -> dict[str, object]:
    """Return an upload whose link can be used again where S3 allows that: a form, or a PUT."""
    declared = chance.choice([{}, {"method": "POST", "file_size": None}])
    return await api.begun(FIRST, **{name: value for name, value in declared.items() if value})


async def other_bytes_against_complete(api: ApiClient, chance: random.Random) -> list[str]:
    """Send other bytes through the link while it is completed, and once more after that."""
    begun = await _begun(api, chance)
    upload, image_id = begun["upload"], str(begun["image_id"])
    assert isinstance(upload, dict)
    assert (await api.transfer(upload, FIRST)).status in {200, 204}
    other = [_soon(chance, api.transfer(upload, OTHER)) for _ in range(2)]
    completed, *_ = await asyncio.gather(_soon(chance, api.complete(image_id)), *other)
    await api.transfer(upload, OTHER)
    again = await api.complete(image_id)
    if (completed.status, again.status) != (200, 200):
        return [f"2: complete was answered {completed.outcome}, then {again.outcome}"]
    recorded = completed.json["metadata"]["sha256"]
    downloaded = await api.download(image_id)
    if recorded not in DIGESTS or again.json != completed.json:
        return [f"7: {completed.json} became {again.json}"]
    return [] if sha256_of(downloaded.body) == recorded else [f"1: {image_id} has other bytes than were verified"]


async def deletes_against_complete(api: ApiClient, chance: random.Random) -> list[str]:
    """Delete, cancel and complete at once; what is acknowledged as gone never comes back."""
    begun = await _begun(api, chance)
    upload, image_id = begun["upload"], str(begun["image_id"])
    assert isinstance(upload, dict)
    assert (await api.transfer(upload, FIRST)).status in {200, 204}
    completed, deleted, cancelled = await asyncio.gather(
        _soon(chance, api.complete(image_id)),
        _soon(chance, api.delete(f"/images/{image_id}", {"user_id": _USER})),
        _soon(chance, api.delete(f"/uploads/{image_id}")),
    )
    await api.transfer(upload, FIRST)
    again, seen = await api.complete(image_id), await api.get(f"/images/{image_id}")
    outcomes = [each.outcome for each in (completed, deleted, cancelled, again, seen)]
    gone = 200 in {deleted.status, cancelled.status}
    right = 404 if gone else 200
    if (again.status, seen.status) != (right, right):
        return [f"{4 if gone else 2}: {outcomes}"]
    return [f"an untrue answer: {outcomes}"] if _contradict(completed, deleted, cancelled) else []


def _contradict(completed: Answer, deleted: Answer, cancelled: Answer) -> bool:
    """Return whether no order of the three explains their answers."""
    if cancelled.status == 200:  # it was pending, so it was never an image; or deleted, as uploads know it
        return completed.status == 200 or deleted.status == 200
    if cancelled.status not in {404, 409} or deleted.status not in {200, 404}:
        return True
    return completed.status != 200 and not (completed.status == 404 and deleted.status == 200)


async def equal_completes(api: ApiClient, chance: random.Random) -> list[str]:
    """Complete the same upload many times at once: one image, and all are told of it."""
    begun = await _begun(api, chance)
    assert isinstance(begun["upload"], dict)
    assert (await api.transfer(begun["upload"], FIRST)).status in {200, 204}
    answers = await asyncio.gather(*(api.complete(str(begun["image_id"])) for _ in range(_EQUAL)))
    different = {(each.status, each.body) for each in answers}
    return [] if len(different) == 1 and answers[0].status == 200 else [f"5: {sorted(different)[:3]}"]


async def equal_uploads(api: ApiClient, chance: random.Random) -> list[str]:
    """Send the same upload with the same key many times at once: one image, and whoever is told, is told of it."""
    key = f"key-{chance.getrandbits(64):x}"
    keyed = replace(api, headers={"Idempotency-Key": key})
    answers = await asyncio.gather(*(keyed.upload(FIRST, tags=[key]) for _ in range(_EQUAL)))
    again, shown = await keyed.upload(FIRST, tags=[key]), await api.walk(tags=key)
    made = {each.body for each in (*answers, again) if each.status == 201}
    if len(made) != 1 or len(shown) != 1 or {each.status for each in answers} - {201, 409}:
        return [f"5: {len(shown)} images, {sorted({each.outcome for each in answers})}"]
    return []


async def copies_left(site: Site) -> list[str]:
    """Return what is wrong where every image has to have one copy of its objects, before any sweep."""
    copies = {each.key.rpartition("/")[0] async for each in site.depot.objects.list("images/")}
    found = [each.split("/")[1] for each in copies]
    return [f"3: {image_id} has several copies" for image_id in set(found) if found.count(image_id) > 1]


@asynccontextmanager
async def both(place: Path, emulator: Emulator) -> AsyncIterator[dict[str, Site]]:
    """Run a service on each backend."""
    async with on_local(place / "races") as local, on_aws(emulator) as aws:
        yield {"local": local, "aws": aws}


CROWDS: dict[str, Race] = {
    f"{_EQUAL} equal completes at once": equal_completes,
    f"{_EQUAL} equal uploads at once": equal_uploads,
}


async def run(site: Site, race: Race, chance: random.Random, times: int, tally: Tally) -> None:
    """Let them race so many times, some at once; then sweep, and look at what is left."""
    left = iter(range(times))

    async def turn() -> None:
        for _ in left:
            tally.violations += await race(site.api, chance)
            tally.count += 1

    with tally.timed():
        await asyncio.gather(*(turn() for _ in range(1 if race in CROWDS.values() else _AT_ONCE)))
        if race in CROWDS.values():
            tally.violations += await copies_left(site)
        tally.violations += await left_over(site.later)


RACES: dict[str, Race] = {
    "other bytes through the old link against complete": other_bytes_against_complete,
    "delete and cancel against complete": deletes_against_complete,
}


async def measure(
    place: Path, emulator: Emulator, seed: int, times: int, races: Mapping[str, Race] = RACES
) -> list[Tally]:
    """Let each race be run so many times on each backend."""
    tallies = []
    async with both(place, emulator) as sites:
        for backend, site in sites.items():
            for name, race in races.items():
                tally = Tally(f"{name}, {backend}")
                await run(site, race, random.Random(f"{seed} {backend} {name}"), times, tally)
                tallies.append(tally)
    return tallies
