"""What CPU time a base64 upload of 10 MiB costs the server, on S3 and DynamoDB.

Against a server that reads the body whole, parses and decodes it with the standard library, and lets the SDK send
it; and against the least there is: to read the body and forget it, and send as many bytes on. That one never looks
at what it gets or says what it sends: the last figure has what that takes as well, one SHA-256 of the picture and
one strict decode of its base64, each of the quickest kind.
"""

import hashlib
import time

import pybase64

from .figures import Figure, medians
from .heavy import SIZE, as_json, picture, site
from .watched import DISCARD, OURS, WHOLE_BODY, cpu_seconds

GOAL_WHOLE, GOAL_DISCARD = 0.25, 1.5


async def measure(rounds: int = 30, size: int = SIZE) -> list[Figure]:
    """Return a figure for each rival."""
    data = picture(size)
    body, text = as_json(data), pybase64.b64encode(data)

    async def digest_and_decode() -> None:
        hashlib.sha256(data).digest()
        pybase64.b64decode(text, validate=True)

    async with site(OURS, WHOLE_BODY, DISCARD) as servers:
        pids = [each.pid for each in servers.servers.values()]

        def clock() -> float:
            return sum(map(cpu_seconds, pids))  # one of them works at a time

        ways = {name: (lambda name=name: servers.upload(name, body)) for name in servers.servers}
        taken = await medians(ways, rounds, clock)
        hashed = await medians({"hash": digest_and_decode}, rounds, time.process_time)
    ours, least = taken[OURS], taken[DISCARD]
    name = f"CPU of an upload of {size / 2**20:g} MiB as base64"
    return [
        Figure(f"{name}, a body read whole", ours, taken[WHOLE_BODY], GOAL_WHOLE),
        Figure(f"{name}, discard and a raw PUT", ours, least, GOAL_DISCARD),
        Figure(f"{name}, that and its digest", ours, least + hashed["hash"], GOAL_DISCARD),
    ]
