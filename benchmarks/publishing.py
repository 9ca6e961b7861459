"""What it takes to publish a photograph of 12 megapixels, from its last byte on, with both of its variants.

Ours is the whole of `complete` on the local backend: verify, develop, encode, store, publish. Its rivals make
pictures only, by Pillow as it comes: a plain `Image.thumbnail` of both sizes, not even saved; and the mere decode
of the JPEG at the least scale that is large enough. CPU is that of all threads.
"""

import asyncio
import hashlib
import io
import random
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from service.domain.model import Details, Expected
from service.runtime import Runtime, open_service
from service.settings import Settings

from .figures import WARM_UP, Figure, medians
from .rivals.pillow import running_pillow
from .watched import cpu_seconds

SIZE = (4000, 3000)
GOAL_THUMBNAILS, GOAL_DRAFT = 0.45, 1.8
DETAILS = Details("ada", "A photo", "photo.jpg")


async def measure(rounds: int = 15) -> list[Figure]:
    """Return a figure for each rival."""
    data = photograph()
    with TemporaryDirectory() as place:
        file = Path(place, "photo.jpg")
        await asyncio.to_thread(file.write_bytes, data)
        async with open_service(Settings(data_dir=Path(place, "data"))) as runtime, running_pillow() as pillow:
            complete = await arrived(runtime, data, 2 * (rounds + WARM_UP))
            ways = {"ours": complete, **{name: partial(pillow.do, name, file) for name in ("thumbnails", "draft")}}
            wall = await medians(ways, rounds)
            theirs = partial(cpu_seconds, pillow.process.pid)
            clocks = {"ours": time.process_time, "thumbnails": theirs, "draft": theirs}
            cpu = await medians(ways, rounds, clocks)
    name = "a photograph of 12 megapixels is published"
    return [
        Figure(f"{name}, against plain thumbnails", wall["ours"], wall["thumbnails"], GOAL_THUMBNAILS),
        Figure(f"{name}, CPU, against plain thumbnails", cpu["ours"], cpu["thumbnails"], GOAL_THUMBNAILS),
        Figure(f"{name}, against a draft decode", wall["ours"], wall["draft"], GOAL_DRAFT),
        Figure(f"{name}, CPU, against a draft decode", cpu["ours"], cpu["draft"], GOAL_DRAFT),
    ]


def photograph(size: tuple[int, int] = SIZE, quality: int = 88) -> bytes:
    """Return a JPEG with about as much detail as a photograph of its size: 0.3 bytes a pixel, or more."""
    chance = random.Random(1)
    coarse = Image.frombytes("RGB", (40, 30), chance.randbytes(3 * 40 * 30)).resize(size, Image.Resampling.BICUBIC)
    grain = Image.effect_noise(size, 20).convert("RGB")
    file = io.BytesIO()
    Image.blend(coarse, grain, 0.4).save(file, "JPEG", quality=quality)
    return file.getvalue()


async def arrived(runtime: Runtime, data: bytes, count: int) -> Callable[[], Awaitable[object]]:
    """Let so many uploads of these bytes arrive, and return what completes the next of them."""
    uploads, depot = runtime.api.services.uploads, runtime.api.services.depot
    expected = Expected("PUT", "image/jpeg", len(data), hashlib.sha256(data).hexdigest())
    waiting = []
    for _ in range(count):
        upload, _ = await uploads.begin(DETAILS, expected)
        await depot.objects.put(depot.upload_key(upload.image_id), data, expected.content_type)
        waiting.append(upload.image_id)
    return lambda: uploads.complete(waiting.pop(), DETAILS.user_id)
