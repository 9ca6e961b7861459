"""SQLite keeps no claim for longer than it counts."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from service.domain.model import CLAIM_LIFE, Claim
from service.local.sqlite import SqliteRepository

NOON = datetime(2025, 9, 15, 12, tzinfo=UTC)


def a_claim(user: str, created_at: datetime) -> Claim:
    return Claim(user, "key", "fingerprint", "process", f"image of {user}", created_at, created_at)


async def test_a_claim_removes_those_that_have_expired(tmp_path: Path) -> None:
    path = tmp_path / "pixdepot.db"
    async with SqliteRepository.opened(path, 100) as records:
        for user, hours in (("ada", 0), ("bob", 1)):
            await records.claim(a_claim(user, NOON + timedelta(hours=hours)))
        await records.claim(a_claim("eve", NOON + CLAIM_LIFE))
    with sqlite3.connect(path) as connection:
        assert {user for (user,) in connection.execute("SELECT user_id FROM claims")} == {"bob", "eve"}
    connection.close()
