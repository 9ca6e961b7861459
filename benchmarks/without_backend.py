"""The service's own server with nothing behind it: one image, kept in memory. Everything before that is real."""

import asyncio
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.library import library, with_variants
from service.api.calls import Services
from service.api.dispatch import Api
from service.api.identity import Identity
from service.domain import model
from service.domain.model import Image
from service.local.disk import Disk
from service.local.files import LocalObjectStore
from service.local.links import LinkSigner
from service.operations.depot import Depot
from service.operations.images import ImageService
from service.operations.inspection import Inspector
from service.operations.limits import RateLimiter
from service.operations.uploads import UploadService
from service.server import answering, listen
from service.settings import Settings
from service.telemetry import logs

ORIGIN = "https://app.example"


class OneImage:
    """As much of an `ImageRepository` as a view needs."""

    def __init__(self, image: Image) -> None:
        self._image = image

    async def image(self, image_id: str) -> Image | None:
        """Return the image, if it is the one."""
        return self._image if image_id == self._image.image_id else None


def image() -> Image:
    """Return an image with both variants."""
    return next(with_variants(library(1)))


async def _serve(port: int) -> None:
    settings = Settings(cors_origins=(ORIGIN,))
    with TemporaryDirectory() as directory, closing(listen("127.0.0.1", port)) as listening:
        disk = Disk(Path(directory), settings.disk_reserve)
        disk.prepare()
        objects = LocalObjectStore(disk, LinkSigner(b"k" * 32, model.now))
        depot = Depot(objects, OneImage(image()), settings, Inspector(settings))
        services = Services(
            ImageService(depot), UploadService(depot), depot, Identity(), dict, RateLimiter(settings.rate_limit)
        )
        async with answering(Api(services), listening):
            await asyncio.Event().wait()


if __name__ == "__main__":
    logs.set_up(sys.stderr)
    asyncio.run(_serve(int(sys.argv[1])))
