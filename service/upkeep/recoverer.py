"""Recover: rebuild records from the storage, after the database was lost or restored from an older backup.

Each original has a note with its owner and its metadata (see `notes`). Recover verifies the bytes like an upload,
and rebuilds the variants.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from service.domain import notes
from service.domain.errors import PixdepotError, Unavailable
from service.domain.model import Image, State
from service.operations.depot import ORIGINAL, Depot, batched, variants_beside

from .migrator import publish_copy
from .quarantine import Quarantine

logger = logging.getLogger(__name__)

_BATCH = 100  # objects
_AT_ONCE = 2  # images in memory, few because clients take precedence
_original = re.compile(rf"images/([^/]+)/[^/]+/{ORIGINAL}").fullmatch

Outcome = Literal["recovered", "there", "deleted", "unknown", "failed"]


@dataclass(frozen=True, slots=True)
class Recovered:
    """The number of originals by outcome.

    `there` already had a record, `deleted` was deleted before, `unknown` has no note, and `failed` is damaged. The
    last two are logged with their key and not changed.
    """

    looked_at: int = 0
    recovered: int = 0
    there: int = 0
    deleted: int = 0
    unknown: int = 0
    failed: int = 0

    def further(self, outcomes: Iterable[Outcome]) -> "Recovered":
        """Return the counts with these outcomes added."""
        done = self
        for each in outcomes:
            done = replace(done, looked_at=done.looked_at + 1, **{each: getattr(done, each) + 1})
        return done


class Recoverer:
    """Creates the missing records of originals.

    Safe to run while the service serves requests, and safe to retry: it skips originals that have a record.
    """

    def __init__(self, depot: Depot) -> None:
        self._depot, self._quarantine = depot, Quarantine(depot)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def recover(self, *, dry_run: bool = False, force: bool = False) -> AsyncIterator[Recovered]:
        """Recover all originals, and yield the counts so far. With `dry_run` write nothing.

        A database without images is paired with the storage. Raises DepotMismatch if the database belongs to
        another depot, unless `force` is set.
        """
        if not dry_run:
            await self._depot.pairing.join(force=force)
        done = Recovered()
        async for batch in batched(self._depot.objects.list("images/"), _BATCH):
            done = done.further(await self._all([each.key for each in batch], dry_run=dry_run))
            yield done

    async def restore(self) -> tuple[int, Recovered]:
        """Move all objects in quarantine back to their keys, and recover originals without a record.

        Return the number of objects and the counts of originals. Objects of deleted images are deleted instead.
        """
        await self._depot.pairing.check(fresh=True)
        restored, originals = 0, []
        async for each in self._quarantine.everything():
            if await self._depot.records.is_deleted(each.original_key.split("/")[1]):
                await self._depot.objects.delete(each.key)
                continue
            await self._quarantine.restore(each)
            originals.append(each.original_key)
            restored += 1
        return restored, Recovered().further(await self._all(originals, dry_run=False))

    async def _all(self, keys: Iterable[str], *, dry_run: bool) -> list[Outcome]:
        # Try the copies of one image one after the other, because the first intact copy is published.
        copies: dict[str, list[str]] = {}
        for key in keys:
            if found := _original(key):
                copies.setdefault(found[1], []).append(key)
        works = (self._each(image_id, keys, dry_run=dry_run) for image_id, keys in copies.items())
        return [outcome for outcomes in await asyncio.gather(*works) for outcome in outcomes]

    async def _each(self, image_id: str, keys: Iterable[str], *, dry_run: bool) -> list[Outcome]:
        return [await self._attempt(image_id, key, dry_run=dry_run) for key in keys]

    async def _attempt(self, image_id: str, key: str, *, dry_run: bool) -> Outcome:
        async with self._turns:
            try:
                return await self._recover(image_id, key, dry_run=dry_run)
            except Unavailable:
                raise
            except PixdepotError as error:
                logger.error("%s not recovered: %s", key, error.detail)  # noqa: TRY400 - no trace to tell
                return "failed"

    async def _recover(self, image_id: str, key: str, *, dry_run: bool) -> Outcome:
        depot = self._depot
        begun = await depot.records.upload(image_id)
        if await depot.records.is_deleted(image_id):
            return "deleted"
        if begun is not None and begun.state is not State.PENDING:
            return "deleted" if begun.state is State.DELETED else "there"
        note = notes.decoded(await depot.objects.note(key))
        if note is None or note.image_id != image_id:
            logger.error(
                "%s not recovered: its owner is unknown, because no copy of its record is stored with it", key
            )
            return "unknown"
        data = await depot.whole(key)
        made = await depot.inspector.inspected(data, sha256=note.sha256 or None)
        if dry_run:
            return "recovered"
        said = (note.details, made.content, key, note.created_at, note.updated_at)
        image = Image(image_id, *said, variants_beside(key, made))
        published = await publish_copy(depot, image, begun, lambda: depot.puts(image, made, original=False))
        return "recovered" if published else "deleted"
