"""`pixdepot get`: images as files; what is there already is not fetched again."""

import asyncio
import os
import sys
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

import pixdepot
from pixdepot.filenames import sendable
from pixdepot.gathering import as_they_end
from pixdepot.sources import digest_of

from .connection import Service, reading, talk
from .terminal import Tell, Transfers, printing, reason, shown, transfers

_AT_ONCE = 4  # images


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of one image, and the file that it is in."""

    image_id: str
    outcome: Literal["saved", "there", "failed"]
    path: str | None = None
    error: str | None = None


@click.command()
@click.argument("image_ids", nargs=-1, required=True, metavar="IMAGE_ID...")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    default=".",
    show_default=True,
    help="Target file, or an existing directory.",
)
@reading
@printing
def get(image_ids: tuple[str, ...], to: Path, service: Service, tell: Tell) -> None:
    """Download original images and verify their SHA-256.

    An interrupted download resumes. In a directory, each file gets the image's filename. If another file already
    has that name, the image ID replaces it.
    """
    if len(image_ids) > 1 and not to.is_dir():
        raise click.BadParameter("To download several images, name an existing directory.", param_hint="'--to'")

    async def work() -> bool:
        well = True
        async with service.client() as client:
            with transfers() as drawn:
                downloads = _Downloads(client, to, drawn)
                works = map(downloads.download, dict.fromkeys(image_ids))
                async with aclosing(as_they_end(works, _AT_ONCE)) as results:
                    async for fetched in results:
                        told = fetched.error or fetched.path
                        tell(fetched, f"{shown(fetched.outcome):6}  {fetched.image_id}  {told}")
                        well = well and fetched.outcome != "failed"
        return well

    if not talk(work()):
        sys.exit(1)


class _Downloads:
    """Downloads of images to a file, or into a directory."""

    def __init__(self, client: "pixdepot.Client", to: Path, drawn: Transfers) -> None:
        self._client, self._to, self._drawn = client, to, drawn
        self._taken: set[Path] = set()
        self._turn = asyncio.Lock()

    async def download(self, image_id: str) -> Fetched:
        """Download an image, unless it is there."""
        try:
            image = await self._client.get(image_id)
            self._drawn.expect(image.file_size)
            with self._drawn.file(image.filename, image.file_size) as moved:
                async with self._turn:
                    path, there = await asyncio.to_thread(self._place, image)
                if not there:
                    await self._client.download(image, path, on_progress=moved)
        except (pixdepot.PixdepotError, OSError) as error:
            return Fetched(image_id, "failed", error=reason(error))
        return Fetched(image_id, "there" if there else "saved", click.format_filename(path))

    def _place(self, image: pixdepot.Image) -> tuple[Path, bool]:
        """Return the file that an image goes to, and whether it is there already."""
        path = self._to
        if path.is_dir():
            path = self._to / (_name(image) or image.image_id)
            if path in self._taken or (os.path.lexists(path) and not _has(path, image)):
                path = self._to / f"{image.image_id}{path.suffix}"
        self._taken.add(path)
        return path, _has(path, image)


def _name(image: pixdepot.Image) -> str:
    """Return the name of an image's file, empty where the file system here cannot have it."""
    name = sendable(Path(image.download_name).name)
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return ""
    return name


def _has(path: Path, image: pixdepot.Image) -> bool:
    """Return whether a file has an image's bytes."""
    try:
        return digest_of(path) == image.sha256
    except OSError:
        return False
