"""`pixdepot upload`: files, directories and patterns; what is there already is not sent again."""

import asyncio
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import aclosing
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import Any, Literal

import click

import pixdepot
from pixdepot.gathering import as_they_end
from pixdepot.sources import HEAD, digest_of, sniffed

from .connection import Service, tags_option, talk, visibility_option, writing
from .terminal import Tell, Transfers, printing, reason, transfers


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one file, and which image it is now, or was already."""

    path: str
    outcome: Literal["uploaded", "there", "failed"]
    image_id: str | None = None
    error: str | None = None


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--title", help="By default each file's name without its ending.")
@click.option("--description", help="What else there is to say.")
@tags_option("Tags for all of them, with commas between.")
@visibility_option
@click.option(
    "--strip-location/--keep-location",
    default=None,
    help="Take the place out of them. By default the service says.",
)
@click.option(
    "--at-once", type=click.IntRange(1, 64), default=8, show_default=True, help="Files under way together."
)
@click.option("--again", is_flag=True, help="Upload all, without looking for what is there.")
@writing
@printing
def upload(paths: tuple[str, ...], at_once: int, again: bool, service: Service, tell: Tell, **said: Any) -> None:
    """Upload pictures: files, all in a directory and below, or what a pattern such as 'photos/**/*.jpg' fits.

    What the user has already, by its sha256, is not sent again: when it was cut off, run it a second time. One that
    fails stops none of the others. In a directory, hidden files and those that are no pictures are passed over.
    """
    sizes = {path: _size(path) for path in found(paths)}
    details = {name: value for name, value in said.items() if value is not None}

    async def work() -> Counter[str]:
        counts: Counter[str] = Counter()
        async with service.client() as client:
            there = {} if again else await _there(client, service.writer, set(sizes.values()))
            with transfers(sum(sizes.values())) as drawn:
                uploads = _Uploads(client, details, sizes, there, drawn)
                async with aclosing(as_they_end(map(uploads.upload, sizes), at_once)) as results:
                    async for sent in results:
                        tell(sent, f"{sent.outcome:8}  {sent.path}  {sent.error or sent.image_id or ''}".rstrip())
                        counts[sent.outcome] += 1
        return counts

    counts = talk(work())
    told = f"{counts['uploaded']} uploaded, {counts['there']} there already, {counts['failed']} failed"
    click.echo(told, err=True)
    if counts["failed"]:
        sys.exit(1)


class _Uploads:
    """Uploads of files, of which some may be there: by size and sha256, their image's id."""

    def __init__(
        self,
        client: "pixdepot.Client",
        details: Mapping[str, Any],
        sizes: Mapping[Path, int],
        there: dict[tuple[int, str], str],
        drawn: Transfers,
    ) -> None:
        self._client, self._details, self._drawn = client, details, drawn
        self._sizes, self._there = sizes, there
        times = Counter(sizes.values())
        self._shared_sizes = {size for size, _ in there} | {size for size in times if times[size] > 1}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def upload(self, path: Path) -> Sent:
        """Upload a file, unless it is there."""
        shown, size = click.format_filename(path), self._sizes[path]
        with self._drawn.file(path.name, size) as moved:
            try:
                if size not in self._shared_sizes:  # then nothing else has its sha256
                    return Sent(shown, "uploaded", await self._send(path, None, moved))
                digest = await asyncio.to_thread(digest_of, path)
                async with self._turns[digest]:  # equal files become one image
                    if image_id := self._there.get((size, digest)):
                        return Sent(shown, "there", image_id)
                    image_id = self._there[size, digest] = await self._send(path, digest, moved)
                    return Sent(shown, "uploaded", image_id)
            except (pixdepot.PixdepotError, OSError) as error:
                return Sent(shown, "failed", error=reason(error))

    async def _send(self, path: Path, digest: str | None, moved: pixdepot.Progress) -> str:
        image = await self._client.upload(
            pixdepot.NewImage(path, sha256=digest, **self._details), on_progress=moved
        )
        return image.image_id


async def _there(client: "pixdepot.Client", user: str, sizes: Set[int]) -> dict[tuple[int, str], str]:
    """Return the ids of a user's images of these sizes, by size and sha256."""
    images = client.images(user_id=user)
    return {(each.file_size, each.sha256): each.image_id async for each in images if each.file_size in sizes}


def found(arguments: Iterable[str]) -> Iterator[Path]:
    """Yield the files that are meant. What is not there is yielded as it was given."""
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            yield from _pictures_below(path)
        elif has_magic(argument) and not path.exists() and (matching := _fitting(argument)):
            yield from found(matching)
        else:
            yield path


def _fitting(pattern: str) -> list[str]:
    return sorted(glob(pattern, recursive=True))  # noqa: PTH207 - it may begin anywhere


def _pictures_below(directory: Path) -> Iterator[Path]:
    for place, directories, names in os.walk(directory):
        directories[:] = sorted(each for each in directories if not each.startswith("."))
        for name in sorted(each for each in names if not each.startswith(".")):
            path = Path(place, name)
            if _may_be_picture(path):
                yield path


def _may_be_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return sniffed(file.read(HEAD)) is not None
    except OSError:
        return True  # what cannot be read is told of, not passed over


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # it fails when its turn comes
