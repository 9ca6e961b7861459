"""How much memory a base64 upload of 10 MiB takes at its peak, against the picture's size.

Memory is what the server's process grows by above what it had when it was warm from small uploads, and idle. Each
round has fresh servers: one that has served a heavy upload keeps some of that memory for the next.
"""

import statistics

from .figures import Figure
from .heavy import LOCAL, SIZE, as_json, picture, site
from .watched import OURS, WHOLE_BODY

GOAL = 1.2  # times the picture
GOAL_RIVAL = GOAL / 5
_WARM_UP = 10  # small uploads
_SMALL = 20_000  # bytes
_MIB = 2**20


async def measure(rounds: int = 7, size: int = SIZE) -> list[Figure]:
    """Return our figure for either backend, and for the rival's."""
    body, small = as_json(picture(size)), as_json(picture(_SMALL))
    grown: dict[str, list[float]] = {OURS: [], LOCAL: [], WHOLE_BODY: []}
    for _ in range(rounds):
        async with site(*grown) as servers:
            for name, found in grown.items():
                for _ in range(_WARM_UP):
                    await servers.upload(name, small)
                server = servers.servers[name]
                idle = server.memory()
                server.forget_peak()
                await servers.upload(name, body)
                found.append((server.memory("VmHWM") - idle) / _MIB)
    peak = {name: statistics.median(found) for name, found in grown.items()}
    name = f"memory of an upload of {size / _MIB:g} MiB as base64"
    return [
        Figure(f"{name}, the picture", peak[OURS], size / _MIB, GOAL, "MiB"),
        Figure(f"{name} to local files, the picture", peak[LOCAL], size / _MIB, GOAL, "MiB"),
        Figure(f"{name}, a body read whole", peak[OURS], peak[WHOLE_BODY], GOAL_RIVAL, "MiB"),
    ]
