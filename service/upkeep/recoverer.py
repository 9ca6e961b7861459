"""Making records again from the storage: after a database was lost, or an older one was restored.

Beside each original there is a note of who it belongs to, and what was said of it (see `notes`). The bytes are
verified like an upload's, and the variants are made again.
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
_AT_ONCE = 2  # images held in memory; clients go first
_original = re.compile(rf"images/([^/]+)/[^/]+/{ORIGINAL}").fullmatch

Outcome = Literal["recovered", "there", "deleted", "unknown", "failed"]


@dataclass(frozen=True, slots=True)
class Recovered:
    """How many originals had which outcome.

    `there` has a record already, `deleted` was deleted before, `unknown` has no note, `failed` ones are damaged.
    The last two are logged by their key, and left as they are.
    """

    looked_at: int = 0
    recovered: int = 0
    there: int = 0
    deleted: int = 0
    unknown: int = 0
    failed: int = 0

    def further(self, outcomes: Iterable[Outcome]) -> "Recovered":
        """Return the counts with these, too."""
        done = self
        for each in outcomes:
            done = replace(done, looked_at=done.looked_at + 1, **{each: getattr(done, each) + 1})
        return done


class Recoverer:
    """Makes the records that originals lack. Safe beside live traffic, and repeatable: it goes on where it was."""

    def __init__(self, depot: Depot) -> None:
        self._depot, self._quarantine = depot, Quarantine(depot)
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def recover(self, *, dry_run: bool = False, force: bool = False) -> AsyncIterator[Recovered]:
        """Go through all originals, and yield the counts so far; with `dry_run` nothing is written.

        A database that knows no image then belongs to the storage. Raises DepotMismatch for another depot's,
        unless with `force`.
        """
        if not dry_run:
            await self._depot.pairing.join(force=force)
        done = Recovered()
        async for batch in batched(self._depot.objects.list("images/"), _BATCH):
            done = done.further(await self._all([each.key for each in batch], dry_run=dry_run))
            yield done

    async def restore(self) -> tuple[int, Recovered]:
        """Give all that is in quarantine its key back, and make the records of originals that have none.

        Returns how many objects that was. What belongs to a deleted image is deleted.
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
        # One after the other for one image: it may have several copies, and the first that is whole is published.
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
