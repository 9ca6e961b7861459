"""Fingerprints of requests with an idempotency key: equal requests have equal digests in every version.

The digest covers only fields that differ from a fixed default. So a field that a later version adds does not change
the fingerprint of requests without it. Pure functions.
"""

import hashlib
import json
from typing import Any

from .model import Details, Expected

_VERSION = "2:"
# Add new fields here, with the value that they have when a client omits them. Never change an existing default.
DETAILS: dict[str, Any] = {
    "user_id": None,
    "title": None,
    "filename": None,
    "description": "",
    "tags": (),
    "visibility": "private",
}
EXPECTED: dict[str, Any] = {
    "method": None,
    "content_type": None,
    "file_size": None,
    "sha256": None,
    "strip_location": False,
}
# The fields that version 1 hashed, in its order.
_FIRST_DETAILS = ("user_id", "title", "filename", "description", "tags", "visibility")
_FIRST_EXPECTED = ("method", "content_type", "file_size", "sha256", "strip_location")


def fingerprint(operation: str, details: Details, expected: Expected) -> str:
    """Return the fingerprint of a request: the version and a SHA-256 digest."""
    said = {
        "operation": operation,
        "details": {name: value for name, value in _values(details, DETAILS).items() if value != DETAILS[name]},
        "expected": {name: value for name, value in _values(expected, EXPECTED).items() if value != EXPECTED[name]},
    }
    return _VERSION + _digest(json.dumps(said, sort_keys=True))


def matches(found: str, operation: str, details: Details, expected: Expected) -> bool:
    """Return whether a stored fingerprint, of any version, belongs to this request."""
    if found.startswith(_VERSION):
        return found == fingerprint(operation, details, expected)
    # Version 1 has no version prefix. Claims expire after 24 hours, so remove this once nobody upgrades from it.
    said = [operation, _values(details, _FIRST_DETAILS), _values(expected, _FIRST_EXPECTED)]
    return found == _digest(json.dumps(said))


def _values(of: Details | Expected, names: Any) -> dict[str, Any]:
    return {name: getattr(of, name) for name in names}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
