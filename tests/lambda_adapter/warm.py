"""`python -m tests.lambda_adapter.warm`: one execution environment, invoked again and again; prints what that took.

Not within pytest, which keeps what is logged.
"""

import gc
import json
import os
import tracemalloc
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from lambda_adapter.api import handler
from tests.api.client import form
from tests.api.gateway import BASE_URL, Context, http_event, rest_event
from tests.pictures import picture

WARMING_UP, WARM = 150, 1_000  # invocations
DATA = picture(size=(64, 48), seed=13)


def invoked(event: dict[str, Any]) -> dict[str, Any]:
    """Return the function's answer."""
    return handler(event, Context())  # type: ignore[arg-type] # as much of a context as Powertools asks for


def upload() -> dict[str, Any]:
    """Return the event of an upload."""
    kind, body = form({"user_id": "ada", "title": "A photo"}, DATA)
    return rest_event("POST", f"{BASE_URL}/images", {"Content-Type": kind}, body)


def requests(image_id: str) -> Iterator[dict[str, Any]]:
    """Yield what clients ask for, without end."""
    asked = [
        ("GET", "/images?limit=5"),
        ("GET", f"/images/{image_id}"),
        ("GET", f"/images/{image_id}?download=true"),
        ("GET", "/nowhere"),
        ("HEAD", "/health/ready"),
        ("POST", "/images"),
    ]
    for method, path in cycle(asked):
        for make in (rest_event, http_event):
            yield make(method, BASE_URL + path, {}, b"")
        yield upload()


def taken() -> tuple[int, int]:
    """Return the bytes that Python has in use, and how many files and sockets are open."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0], len([*Path("/dev/fd").iterdir()])


def main() -> None:
    """Warm up, measure, go on, and measure again."""
    tracemalloc.start()
    for _ in range(WARMING_UP):  # the SDK remembers the URLs it has called lately, but not too many
        answer = invoked(upload())
    events = requests(json.loads(answer["body"])["image_id"])
    for event in islice(events, WARMING_UP):
        invoked(event)
    memory, sockets = taken()
    statuses = {invoked(event)["statusCode"] for event in islice(events, WARM)}
    more, opened = taken()
    found = {"statuses": sorted(statuses), "memory": more - memory, "sockets": opened - sockets}
    print(json.dumps(found), flush=True)  # noqa: T201
    os._exit(0)  # as on Lambda, nothing is taken leave of


if __name__ == "__main__":
    main()
