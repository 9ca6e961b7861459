"""A note says all that fits, and the owner, the times and the digest in any case."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from service.domain.model import Details
from service.domain.notes import MOST, Note, decoded, encoded

AT = datetime(2026, 11, 27, 12, 0, 0, 123_000, UTC)
DETAILS = Details("ada", "Zürich", "写真.jpg", "About it", ("sea", "Sunset"), "public")
NOTE = Note("0190f3c2-0000-7000-8000-000000000000", DETAILS, AT, AT, "ab" * 32)
LONGEST = replace(
    NOTE,
    details=Details(
        "ü" * 128, "題" * 200, "写" * 80 + ".jpg", "説" * 2000, tuple(f"{n:02}" + "札" * 48 for n in range(20))
    ),
)


def test_what_fits_is_read_back_as_it_was() -> None:
    assert decoded(encoded(NOTE)) == NOTE


def test_what_is_too_long_is_cut_where_it_is_missed_least() -> None:
    data = encoded(LONGEST)
    found = decoded(data)
    assert len(data) <= MOST
    assert found
    assert replace(found, details=LONGEST.details) == LONGEST
    assert (found.details.user_id, found.details.filename) == (LONGEST.details.user_id, LONGEST.details.filename)
    assert LONGEST.details.title.startswith(found.details.title)


def test_a_description_goes_before_a_tag() -> None:
    found = decoded(encoded(replace(NOTE, details=replace(DETAILS, description="x" * 5000))))
    assert found
    assert found.details.tags == DETAILS.tags
    assert found.details.description == "x" * (5000 // 8)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", encoded(NOTE)[:-2], b'{"tags": 1}'])
def test_what_is_no_note_is_none(data: bytes) -> None:
    assert decoded(data) is None
