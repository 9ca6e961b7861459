"""DynamoDB's answers are read as the SDK reads them, only faster."""

import base64
import json
from typing import Any

import pytest
from aiobotocore.parsers import AioResponseParserFactory
from botocore.loaders import Loader
from botocore.model import ServiceModel
from hypothesis import given
from hypothesis import strategies as st

from service.aws.parsing import ParserFactory

DYNAMODB = ServiceModel(Loader().load_service_model("dynamodb", "service-2"), "dynamodb")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(['"B"', "B", 'B":', "BS"])
numbers = st.integers().map(str) | st.just("1E-130")
blobs = st.binary(max_size=9).map(lambda data: base64.b64encode(data).decode())
plain = st.one_of(
    st.builds(lambda value: {"S": value}, texts),
    st.builds(lambda value: {"N": value}, numbers),
    st.builds(lambda value: {"BOOL": value}, st.booleans()),
    st.just({"NULL": True}),
    st.builds(lambda value: {"SS": value}, st.lists(texts, min_size=1, max_size=3)),
)
with_bytes = plain | st.one_of(
    st.builds(lambda value: {"B": value}, blobs), st.builds(lambda value: {"BS": [value]}, blobs)
)


def nested(leaves: Any) -> Any:
    return st.recursive(
        leaves,
        lambda inner: (
            st.builds(lambda value: {"L": value}, st.lists(inner, max_size=3))
            | st.builds(lambda value: {"M": value}, st.dictionaries(texts, inner, max_size=3))
        ),
        max_leaves=6,
    )


items = st.dictionaries(texts, nested(plain) | nested(with_bytes), max_size=4)
answers = st.one_of(
    st.builds(lambda item: ("GetItem", {"Item": item}), items),
    st.just(("GetItem", {})),
    st.builds(
        lambda found, last, units: (
            "Query",
            {
                "Items": found,
                "Count": len(found),
                "ScannedCount": len(found),
                **({"LastEvaluatedKey": last} if last else {}),
                **({"ConsumedCapacity": {"TableName": "images", "CapacityUnits": units}} if units else {}),
            },
        ),
        st.lists(items, max_size=3),
        items,
        st.sampled_from([0, 0.5, 12.0]),
    ),
    st.builds(
        lambda found, left: (
            "BatchGetItem",
            {"Responses": {"images": found}, "UnprocessedKeys": {"images": {"Keys": left}} if left else {}},
        ),
        st.lists(items, max_size=3),
        st.lists(items, max_size=2),
    ),
)


async def parsed(factory: AioResponseParserFactory, operation: str, body: bytes, status: int = 200) -> Any:
    response = {"status_code": status, "headers": {"x-amzn-requestid": "1"}, "body": body, "context": {}}
    shape = DYNAMODB.operation_model(operation).output_shape
    return await factory.create_parser("json").parse(response, shape)


@given(answers, st.booleans())
async def test_whatever_is_in_an_item_it_comes_out_as_from_the_sdk(
    answer: tuple[str, dict[str, Any]], ascii_only: bool
) -> None:
    operation, document = answer
    body = json.dumps(document, ensure_ascii=ascii_only).encode()
    ours = await parsed(ParserFactory(), operation, body)
    assert ours == await parsed(AioResponseParserFactory(), operation, body)


@pytest.mark.parametrize(
    ("operation", "document", "status"),
    [
        ("DescribeTable", {"Table": {"TableName": "images", "CreationDateTime": 1767225600.5}}, 200),
        ("PutItem", {"__type": "x#ConditionalCheckFailedException", "Item": {"image_id": {"S": "a"}}}, 400),
    ],
)
async def test_whatever_else_is_the_sdk_s_own(operation: str, document: dict[str, Any], status: int) -> None:
    body = json.dumps(document).encode()
    ours = await parsed(ParserFactory(), operation, body, status)
    assert ours == await parsed(AioResponseParserFactory(), operation, body, status)
