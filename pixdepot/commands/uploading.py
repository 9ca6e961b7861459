"""`pixdepot upload`: files, directories and patterns; what is there already is not sent again."""

import asyncio
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import aclosing, suppress
from dataclasses import dataclass
from glob import escape, glob, has_magic
from pathlib import Path
from typing import Any, Literal

import click

import pixdepot
from pixdepot.filenames import sendable
from pixdepot.formats import HEAD, sniffed
from pixdepot.gathering import as_they_end
from pixdepot.sources import digest_of, open_file, special

from .connection import Service, tags_option, talk, visibility_option, writing
from .terminal import Tell, Transfers, printing, reason, say, shown, transfers


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one file, and which image it is now, or was already."""

    path: str
    outcome: Literal["uploaded", "there", "failed"]
    image_id: str | None = None
    error: str | None = None
    filename: str | None = None  # that it was sent under, where that is not the file's own

    @property
    def told(self) -> str:
        """Return this as people read it."""
        renamed = f"  as {self.filename}" if self.filename else ""
        return f"{shown(self.outcome):8}  {self.path}  {self.error or self.image_id or ''}{renamed}".rstrip()


@dataclass(frozen=True, slots=True)
class Unfit:
    """What is below a directory and not sent, and why: it failed, or it is passed over."""

    path: Path
    problem: str
    failed: bool = False


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path())
@click.option("--title", help="Title of the images. [default: the filename without its extension]")
@click.option("--description", help="Description of the images.")
@tags_option("Tags for all images, separated by commas.")
@visibility_option
@click.option(
    "--strip-location/--keep-location",
    default=None,
    help="Remove GPS location from each picture before it is stored, or keep it. [default: the server's setting]",
)
@click.option(
    "--at-once",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="Number of files to upload concurrently.",
)
@click.option("--again", is_flag=True, help="Upload every file, even if an identical image is already stored.")
@writing
@printing
def upload(paths: tuple[str, ...], at_once: int, again: bool, service: Service, tell: Tell, **said: Any) -> None:
    """Upload images from files, directories or glob patterns.

    A directory is uploaded with its subdirectories. A pattern looks like 'photos/**/*.jpg'. Files that you have
    already uploaded, with the same SHA-256, are not sent again. After an interruption, run the command again to
    continue. If a file fails, the command continues with the others. In a directory, the command skips hidden
    files, files that are not images, links to directories, named pipes, sockets and devices.
    """
    sizes: dict[Path, int] = {}
    unread = []
    for each in found(paths):
        if isinstance(each, Path):
            sizes[each] = _size(each)
        elif each.failed:
            unread.append(Sent(click.format_filename(each.path), "failed", error=each.problem))
        else:
            say(f"skipped  {click.format_filename(each.path)}: it is {each.problem}", error=True)
    details = {name: value for name, value in said.items() if value is not None}

    async def work() -> Counter[str]:
        counts: Counter[str] = Counter()
        for sent in unread:
            tell(sent, sent.told)
            counts[sent.outcome] += 1
        async with service.client() as client:
            there = {} if again else await _there(client, service.writer, set(sizes.values()))
            with transfers(sum(sizes.values())) as drawn:
                uploads = _Uploads(client, details, sizes, there, drawn)
                async with aclosing(as_they_end(map(uploads.upload, sizes), at_once)) as results:
                    async for sent in results:
                        tell(sent, sent.told)
                        counts[sent.outcome] += 1
        return counts

    counts = talk(work())
    told = f"{counts['uploaded']} uploaded, {counts['there']} already stored, {counts['failed']} failed"
    say(told, error=True)
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
        shown, size, name = click.format_filename(path), self._sizes[path], sendable(path.name)
        renamed = name if name != path.name else None
        with self._drawn.file(name, size) as moved:
            try:
                if size not in self._shared_sizes:  # then nothing else has its sha256
                    return Sent(shown, "uploaded", await self._send(path, None, moved), filename=renamed)
                digest = await asyncio.to_thread(digest_of, path)
                async with self._turns[digest]:  # equal files become one image
                    if image_id := self._there.get((size, digest)):
                        return Sent(shown, "there", image_id)
                    image_id = self._there[size, digest] = await self._send(path, digest, moved)
                    return Sent(shown, "uploaded", image_id, filename=renamed)
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


def found(arguments: Iterable[str]) -> Iterator[Path | Unfit]:
    """Yield the files that are meant. What is not there is yielded as it was given."""
    for argument in arguments:
        # Not Path's own: these raise where something above may not be looked into.
        if os.path.isdir(argument):  # noqa: PTH112
            yield from _pictures_below(Path(argument))
        elif has_magic(argument) and not os.path.lexists(argument) and (matching := _fitting(argument)):
            yield from map(_unless_special, found(matching))
        else:
            yield Path(argument)


def _fitting(pattern: str) -> list[str]:
    """Return what fits a pattern. Its `**` follows no links, unlike glob's: two that lead back make 2**40 paths."""
    parts = Path(pattern).parts
    if "**" not in parts:
        return sorted(glob(pattern))  # noqa: PTH207 - it may begin anywhere
    at = parts.index("**")
    bases, rest = _fitting(str(Path(*parts[:at]))), [each for each in parts[at + 1 :] if each != "**"]
    if not rest:
        return bases
    places = {place for base in bases for place, _, _ in _walk(base)}
    return sorted({each for place in places for each in _fitting(str(Path(escape(place), *rest)))})


def _walk(directory: str | Path, errors: list[OSError] | None = None) -> Iterator[tuple[str, list[str], list[str]]]:
    """Go through a directory and those below it as os.walk does, without what is hidden, in the order of names."""
    note = None if errors is None else errors.append
    for place, directories, names in os.walk(directory, onerror=note):
        directories[:] = sorted(each for each in directories if not each.startswith("."))
        yield place, directories, sorted(each for each in names if not each.startswith("."))


def _pictures_below(directory: Path) -> Iterator[Path | Unfit]:
    errors: list[OSError] = []
    for place, directories, names in _walk(directory, errors):
        for each in directories:
            if (link := Path(place, each)).is_symlink():
                yield Unfit(link, "a link to a directory")
        for name in names:
            path = _unless_special(Path(place, name))
            if isinstance(path, Unfit) or _may_be_picture(path):
                yield path
    yield from (Unfit(Path(error.filename), reason(error), failed=True) for error in errors)


def _unless_special(path: Path | Unfit) -> Path | Unfit:
    """Return a file, or what it is in place of a file. What cannot be read is told of when its turn comes."""
    with suppress(OSError):
        if isinstance(path, Path) and (kind := special(path.stat())):
            return Unfit(path, kind)
    return path


def _may_be_picture(path: Path) -> bool:
    try:
        if path.stat().st_size == 0:
            return False  # as are the files of /proc: some of them wait to be read
        with open_file(path) as file:
            return sniffed(file.read(HEAD)) is not None
    except OSError:
        return True  # what cannot be read is told of, not passed over


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # it fails when its turn comes
