"""What an idempotency key stands for, as a digest: equal requests have equal ones, in every version of the service.

The digest is of a document that names what differs from a fixed default. So a field that a later version adds
changes no request that does not say it. Pure.
"""

import hashlib
import json
from typing import Any

from .model import Details, Expected

_VERSION = "2:"
# A field that is added goes here, with the value that it has where nobody says it. None of these may ever change.
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
# What version 1 hashed, in its order: all fields there were.
_FIRST_DETAILS = ("user_id", "title", "filename", "description", "tags", "visibility")
_FIRST_EXPECTED = ("method", "content_type", "file_size", "sha256", "strip_location")


def fingerprint(operation: str, details: Details, expected: Expected) -> str:
    """Return the digest of a request, with its version."""
    said = {
        "operation": operation,
        "details": {name: value for name, value in _values(details, DETAILS).items() if value != DETAILS[name]},
        "expected": {name: value for name, value in _values(expected, EXPECTED).items() if value != EXPECTED[name]},
    }
    return _VERSION + _digest(json.dumps(said, sort_keys=True))


def matches(found: str, operation: str, details: Details, expected: Expected) -> bool:
    """Return whether a stored fingerprint is of this request, whatever version made it."""
    if found.startswith(_VERSION):
        return found == fingerprint(operation, details, expected)
    # Of version 1, which has none to tell. Claims live for a day: it may go when nobody upgrades from there.
    said = [operation, _values(details, _FIRST_DETAILS), _values(expected, _FIRST_EXPECTED)]
    return found == _digest(json.dumps(said))


def _values(of: Details | Expected, names: Any) -> dict[str, Any]:
    return {name: getattr(of, name) for name in names}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
