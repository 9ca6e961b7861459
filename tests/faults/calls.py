"""Every call that an operation makes to AWS, spoiled in every way: it is done once, and told truly.

Which calls an operation makes is found by asking for it once, undisturbed. One fault alone changes nothing that a
client can see; of several together it may be told that the service is unavailable, and asks again.
"""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from bootstrap.emulator import Emulator
from service.domain.errors import Unavailable
from tests.api.client import Answer, ApiClient
from tests.faults.sites import Site, left_over, on_aws
from tests.faults.tally import Tally
from tests.pictures import picture
from tests.servers.proxy import Fault

DATA = picture()
UNAVAILABLE = "503 unavailable"
_IN_TIME = 15  # seconds
_AT_ONCE = 24  # sites: one that hangs waits 5 seconds, and others go on
_LIKELY = 0.4  # how likely each call is spoiled, when it is left to chance

Call = tuple[str, int]  # an operation of S3 or DynamoDB, and which of its calls: the first is 1

# ---------------------------------------------------------------- operations


async def nothing(site: Site, user: str) -> str:
    return ""


async def begun(site: Site, user: str) -> str:
    return str((await site.api.begun(DATA, user_id=user, tags=["a"]))["image_id"])


async def sent(site: Site, user: str, data: bytes = DATA) -> str:
    upload = await site.api.begun(data, user_id=user, tags=["a"])
    assert (await site.api.transfer(upload["upload"], data)).status == 200
    return str(upload["image_id"])


async def sent_text(site: Site, user: str) -> str:
    return await sent(site, user, b"no picture")


async def published(site: Site, user: str) -> str:
    return str((await site.api.uploaded(DATA, user_id=user, tags=["a"]))["image_id"])


async def completed(site: Site, user: str) -> str:
    image_id = await sent(site, user)
    assert (await site.api.complete(image_id)).status == 200
    return image_id


async def deleted(site: Site, user: str) -> str:
    image_id = await completed(site, user)
    assert (await site.api.delete(f"/images/{image_id}", {"user_id": user})).status == 200
    return image_id


def after_a_sweep(before: "Before") -> "Before":
    """Return the same on a site where nothing else is due."""

    async def prepared(site: Site, user: str) -> str:
        await site.later.sweeper.sweep()
        return await before(site, user)

    return prepared


def of_api(ask: Callable[[ApiClient, str, str], Awaitable[Answer]]) -> "Ask":
    """Return an operation of the API: its outcome, and the image it is about."""

    async def asked(site: Site, user: str, image_id: str) -> tuple[str, str]:
        answer = await ask(site.api, user, image_id)
        made = answer.status == 201
        code = answer.outcome[1]
        return f"{answer.status} {code}" if code else str(answer.status), answer.json[
            "image_id"
        ] if made else image_id

    return asked


def keyed(api: ApiClient, user: str) -> ApiClient:
    """Return a client that sends a key with everything, the same for all that a user does."""
    return replace(api, headers={"Idempotency-Key": user})


async def sweep(site: Site, user: str, image_id: str) -> tuple[str, str]:
    try:
        swept = await site.later.sweeper.sweep()
    except Unavailable:
        return UNAVAILABLE, image_id
    return UNAVAILABLE if swept.failed else "swept", image_id


async def reconcile(site: Site, user: str, image_id: str) -> tuple[str, str]:
    try:
        found = await site.later.reconciler.reconcile()
    except Unavailable:
        return UNAVAILABLE, image_id
    return f"{found.missing} missing", image_id


Before = Callable[[Site, str], Awaitable[str]]
Ask = Callable[[Site, str, str], Awaitable[tuple[str, str]]]


@dataclass(frozen=True)
class Way:
    """An operation: what comes before it, and how it is asked for.

    `again` is what it may say beside its usual outcome where it was done already, without its client knowing; None
    where asking again makes another image. Nobody waits for what is not `awaited`.
    """

    before: Before
    ask: Ask
    again: tuple[str, ...] | None = ()
    awaited: bool = True


GONE = ("404 not_found",)
WAYS = {
    # Reconcile comes first, since it calls for every image there is.
    "reconcile": Way(after_a_sweep(published), reconcile, awaited=False),
    "begin": Way(nothing, of_api(lambda api, user, _: api.begin(DATA, user_id=user, tags=["a"])), None),
    "upload": Way(nothing, of_api(lambda api, user, _: api.upload(DATA, user_id=user, tags=["a"])), None),
    "upload a form": Way(
        nothing, of_api(lambda api, user, _: api.upload_form({"user_id": user, "title": "A photo"}, DATA)), None
    ),
    "begin with a key": Way(
        nothing, of_api(lambda api, user, _: keyed(api, user).begin(DATA, user_id=user, tags=["a"]))
    ),
    "upload with a key": Way(
        nothing, of_api(lambda api, user, _: keyed(api, user).upload(DATA, user_id=user, tags=["a"]))
    ),
    "sign": Way(begun, of_api(lambda api, user, image_id: api.post(f"/uploads/{image_id}/sign"))),
    "complete": Way(sent, of_api(lambda api, user, image_id: api.complete(image_id))),
    "complete too early": Way(begun, of_api(lambda api, user, image_id: api.complete(image_id))),
    "complete again": Way(completed, of_api(lambda api, user, image_id: api.complete(image_id))),
    "refuse": Way(sent_text, of_api(lambda api, user, image_id: api.complete(image_id))),
    "state": Way(begun, of_api(lambda api, user, image_id: api.get(f"/uploads/{image_id}"))),
    "cancel": Way(sent, of_api(lambda api, user, image_id: api.delete(f"/uploads/{image_id}")), GONE),
    "edit": Way(
        published,
        of_api(lambda api, user, image_id: api.patch(f"/images/{image_id}", {"user_id": user, "tags": ["b"]})),
    ),
    "delete": Way(
        published, of_api(lambda api, user, image_id: api.delete(f"/images/{image_id}", {"user_id": user})), GONE
    ),
    "view": Way(published, of_api(lambda api, user, image_id: api.get(f"/images/{image_id}"))),
    "download": Way(published, of_api(lambda api, user, image_id: api.download(image_id))),
    "list": Way(published, of_api(lambda api, user, image_id: api.get("/images", params={"user_id": user}))),
    "search": Way(
        published, of_api(lambda api, user, image_id: api.get("/images", params={"tags": "a", "title": "photo"}))
    ),
    "sweep an upload": Way(after_a_sweep(sent), sweep, awaited=False),
    "sweep a deleted image": Way(after_a_sweep(deleted), sweep, awaited=False),
    "sweep beside an image": Way(after_a_sweep(completed), sweep, awaited=False),
}  # fmt: skip


# ---------------------------------------------------------------- looking


@dataclass(frozen=True)
class Seen:
    """What a client sees of an operation, and of its image afterwards."""

    outcome: str
    state: str | None
    shown: tuple[tuple[str, ...], ...]  # the tags of each image that lists of its user and of its tag show


async def look(site: Site, user: str, outcome: str, image_id: str) -> Seen:
    """Return what is there now. Raises AssertionError when an image does not have its bytes."""
    upload = await site.depot.records.upload(image_id) if image_id else None
    listed = await site.api.walk(user_id=user)
    for image in listed:
        assert (await site.api.download(image["image_id"])).body == DATA, "1: other bytes"
        for tag in image["tags"]:
            assert image["image_id"] in {each["image_id"] for each in await site.api.walk(user_id=user, tags=tag)}
    return Seen(outcome, upload.state.value if upload else None, tuple(tuple(each["tags"]) for each in listed))


@dataclass(frozen=True)
class Job:
    """One operation, with the calls that are to be spoiled."""

    name: str
    faults: tuple[tuple[Call, Fault], ...] = ()

    def __str__(self) -> str:
        return f"{self.name}, " + " and ".join(f"{call} {nth}: {fault.name}" for (call, nth), fault in self.faults)

    @property
    def hangs(self) -> int:
        """Return how many of its calls hang."""
        return sum(not fault.is_quick for _, fault in self.faults)


@dataclass(frozen=True)
class Done:
    """What came of a job: what was seen, the calls there were, how many of them were spoiled."""

    seen: Seen
    calls: tuple[Call, ...]
    spoiled: int
    seconds: float
    user: str
    image_id: str


async def done(site: Site, job: Job) -> Done:
    """Do a job, and look at what came of it."""
    assert site.proxy
    proxy, way, user = site.proxy, WAYS[job.name], f"user-{secrets.token_hex(8)}"
    image_id = await way.before(site, user)
    clock = asyncio.get_running_loop().time
    proxy.calls.clear()
    proxy.faults |= dict(job.faults)
    start = clock()
    outcome, image_id = await way.ask(site, user, image_id)
    seconds = clock() - start
    calls = tuple((name, nth + 1) for name, times in proxy.calls.items() for nth in range(times))
    spoiled = len(job.faults) - len(proxy.faults)
    proxy.faults.clear()
    return Done(await look(site, user, outcome, image_id), calls, spoiled, seconds, user, image_id)


async def wrong_with(site: Site, job: Job, usual: Seen) -> tuple[int, list[str]]:
    """Do a job; return how many calls were spoiled, and what is wrong with what came of it."""
    try:
        return await _wrong_with(site, job, usual)
    except AssertionError as error:
        return len(job.faults), [f"{job}: {str(error)[:500]}"]


async def _wrong_with(site: Site, job: Job, usual: Seen) -> tuple[int, list[str]]:
    found, way = await done(site, job), WAYS[job.name]
    late = way.awaited and found.seconds > _IN_TIME
    wrong = [f"took {found.seconds:.1f} s"] if late else []
    seen = found.seen
    if found.spoiled > 1 and seen.outcome == UNAVAILABLE:
        if way.again is None:
            return found.spoiled, [f"{job}: {each}" for each in wrong]
        outcome, image_id = await way.ask(site, found.user, found.image_id)
        seen = await look(site, found.user, outcome, image_id)
        if seen.outcome in way.again:
            seen = replace(seen, outcome=usual.outcome)
    if seen != usual:
        wrong.append(f"{seen} in place of {usual}")
    return found.spoiled, [f"{job}: {each}" for each in wrong]


# ---------------------------------------------------------------- all of them


@asynccontextmanager
async def sites_on_aws(emulator: Emulator, number: int) -> AsyncIterator[Sequence[Site]]:
    """Run so many services, each on its own."""
    async with AsyncExitStack() as stack:
        yield await asyncio.gather(*(stack.enter_async_context(on_aws(emulator)) for _ in range(number)))


async def usual(site: Site) -> dict[str, Done]:
    """Return what comes of each operation, and the calls it makes, when nothing is wrong."""
    return {name: await done(site, Job(name)) for name in WAYS}


def each_alone(undisturbed: dict[str, Done], faults: Iterable[Fault]) -> list[Job]:
    """Return a job for each call of each operation, and each fault."""
    faults = tuple(faults)
    return [
        Job(name, ((call, fault),)) for name, done in undisturbed.items() for call in done.calls for fault in faults
    ]


def several(undisturbed: dict[str, Done], chance: random.Random, at_least: int) -> list[Job]:
    """Return jobs whose calls, and the SDK's second attempts at them, are spoiled at random: so many faults."""
    jobs, planned = [], 0
    while planned < at_least:
        name = chance.choice(list(undisturbed))
        calls: Any = {(call, n) for call, nth in undisturbed[name].calls for n in (nth, nth + 1)}
        hit = [each for each in sorted(calls) if chance.random() < _LIKELY]
        job = Job(name, tuple((call, chance.choice(list(Fault))) for call in hit))
        jobs.append(job)
        planned += len(hit)
    return jobs


async def do_all(sites: Sequence[Site], jobs: Iterable[Job], undisturbed: dict[str, Done], tally: Tally) -> None:
    """Do jobs on all sites at once, those that hang first; sweep in the end, and look at what is left."""
    waiting = sorted(jobs, key=lambda job: job.hangs)

    async def work(site: Site) -> None:
        while waiting:
            job = waiting.pop()
            spoiled, wrong = await wrong_with(site, job, undisturbed[job.name].seen)
            tally.count += spoiled
            tally.violations += wrong
        tally.violations += await left_over(site.later)

    with tally.timed():
        async with asyncio.TaskGroup() as group:
            for site in sites:
                group.create_task(work(site))


async def measure(emulator: Emulator, seed: int, faults: int) -> list[Tally]:
    """Spoil each call alone, and then calls at random, so many faults in all."""
    async with sites_on_aws(emulator, _AT_ONCE) as sites:
        undisturbed = await usual(sites[0])
        alone = Tally("each backend call of each operation, spoiled in each way")
        await do_all(sites, each_alone(undisturbed, Fault), undisturbed, alone)
        together = Tally("backend calls spoiled at random, several at once")
        chance = random.Random(seed)
        while (wanted := faults - alone.count - together.count) > 0:  # not every call that is planned comes
            await do_all(sites, several(undisturbed, chance, wanted), undisturbed, together)
        return [alone, together]
