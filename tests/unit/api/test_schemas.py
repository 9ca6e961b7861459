"""What is worked out once from a schema is what the schema itself says."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest

from benchmarks.library import library, with_variants
from service.api import answers, schemas
from service.domain.errors import InvalidParameter
from service.domain.model import Image

IMAGES = [
    *with_variants(library(20)),
    replace(next(library(1)), created_at=datetime(987, 6, 5, 4, 3, 2, 1_999, UTC)),
]


@pytest.mark.parametrize("image", IMAGES)
def test_a_dumper_dumps_as_its_schema_does(image: Image) -> None:
    dumped = json.loads(orjson.dumps(answers.dumper(answers.Metadata)(image)))
    assert dumped == answers.Metadata().dump(image)
    assert list(dumped) == list(answers.Metadata().dump_fields)


def test_a_query_means_the_same_whenever_it_comes() -> None:
    schema = schemas.ListQuery()
    for _ in range(2):
        for limit in (7, 8):
            assert schemas.load_query(schema, (("limit", str(limit)),))["limit"] == limit
        with pytest.raises(InvalidParameter):
            schemas.load_query(schema, (("limit", "0"),))
        with pytest.raises(InvalidParameter):
            schemas.load_query(schema, (("limit", "7"), ("limit", "7")))
