"""Reading DynamoDB's answers: items come over the wire just as the SDK gives them, but for bytes.

The SDK looks at each of an attribute's ten possible types in turn, which is most of what a list costs. Its parsers
are chosen by a component of the session, which it documents no further; should that change, this is the place.
"""

from typing import Any

import orjson
from aiobotocore.parsers import AioJSONParser, AioResponseParserFactory
from botocore.model import Shape

# What has no times, and bytes in items only.
_READS = frozenset({"QueryOutput", "GetItemOutput", "BatchGetItemOutput", "ScanOutput", "UpdateItemOutput"})
_BYTES = (b'"B"', b'"BS"')


class _ItemParser(AioJSONParser):
    def _handle_json_body(self, raw_body: bytes, shape: Shape) -> Any:
        if shape.name in _READS and not any(kind in raw_body for kind in _BYTES):
            return orjson.loads(raw_body)
        return super()._handle_json_body(raw_body, shape)  # type: ignore[misc] # the stubs leave it out


class ParserFactory(AioResponseParserFactory):
    """The SDK's own, but for answers with items."""

    def create_parser(self, protocol_name: str) -> Any:
        """Return what parses the answers of services that speak this protocol."""
        if protocol_name == "json":
            return _ItemParser(**self._defaults)  # type: ignore[attr-defined] # nor do they know this
        return super().create_parser(protocol_name)
