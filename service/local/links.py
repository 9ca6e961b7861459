"""Signed links to local objects. They allow exactly what S3's presigned URLs allow.

A link is relative to the service ("/storage/..."). Its query, or a form's policy, contains what it allows and when
it expires. An HMAC-SHA-256 over that and the key proves that the service signed it. The headers of a PUT are those
of S3, so that a client need not know which storage it uses.

A link contains the version of its format. Links without one have the format before, and work until they expire.
"""

import hashlib
import hmac
import json
import re
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, urlencode

from service.domain.errors import Forbidden
from service.domain.mac import Mac
from service.domain.model import LATEST, Downloads, Expected, SignedUpload

PREFIX = "/storage"

_needs_no_encoding = re.compile(r"[A-Za-z0-9/._~-]+").fullmatch

_VERSION = "2"  # of the link format. A new format needs a new number, and the checks of the old one stay
_CHECKSUM = "x-amz-checksum-sha256"


@dataclass(frozen=True, slots=True)
class Download:
    """The permissions of a download link."""

    content_type: str
    disposition: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Grant:
    """The permissions of an upload link: key, media type, length from `least` to `most` bytes, and digest."""

    key: str
    content_type: str
    least: int
    most: int
    sha256: str | None
    expires_at: datetime


class LinkSigner:
    """Signs and checks links. The `check_...` methods raise Forbidden, with as little detail as possible."""

    def __init__(self, secret: bytes, clock: Callable[[], datetime]) -> None:
        key = hmac.digest(secret, b"storage links", hashlib.sha256)
        self._mac, self._key = Mac(key), key
        self._clock = clock

    def downloads(self, expires_at: datetime) -> Downloads:
        """Return a signer of download links."""
        expires = _stamp(expires_at)

        def url(key: str, content_type: str, disposition: str) -> str:
            return self._url("GET", key, _download_query(disposition, expires, content_type))

        return Downloads(url, expires_at)

    def upload(self, key: str, expected: Expected, max_bytes: int, expires_at: datetime) -> SignedUpload:
        """Return a link that uploads the expected bytes to one key, once."""
        checksum = {_CHECKSUM: _base64_of(expected.sha256)} if expected.sha256 else {}
        headers = {"Content-Type": expected.content_type, **checksum}
        if expected.method == "PUT":
            query = {"expires": _stamp(expires_at), "type": expected.content_type}
            query |= {"length": str(expected.file_size), "sha256": expected.sha256 or ""}
            query |= {"version": _VERSION}
            url = self._url("PUT", key, _encoded(query))
            return SignedUpload("PUT", url, expires_at, headers={**headers, "If-None-Match": "*"})
        size = expected.file_size
        grant = Grant(key, expected.content_type, size or 1, size or max_bytes, expected.sha256, expires_at)
        policy = _encode_policy(grant)
        fields = {"key": key, **headers, "policy": policy, "signature": self._signature("POST", policy)}
        return SignedUpload("POST", PREFIX, expires_at, fields=fields)

    def check_download(self, key: str, query: Mapping[str, str]) -> Download:
        """Return the permissions of a download link. Raises Forbidden unless it is valid and has not expired."""
        self._check("GET", key, query)
        return Download(query["type"], query["disposition"], _instant(query["expires"]))

    def check_put(self, key: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Grant:
        """Return the permissions of an upload link. Raises Forbidden unless it and the signed headers are valid."""
        self._check("PUT", key, query)
        sha256 = query["sha256"] or None
        signed = {"content-type": query["type"], "content-length": query["length"], "if-none-match": "*"}
        if sha256:
            signed[_CHECKSUM] = _base64_of(sha256)
        if any(headers.get(name) != value for name, value in signed.items()):
            raise Forbidden(f"Send the signed headers with their signed values: {', '.join(signed)}.")
        length, expires_at = int(query["length"]), _instant(query["expires"])
        return Grant(key, query["type"], length, length, sha256, expires_at)

    def check_post(self, fields: Mapping[str, str]) -> Grant:
        """Return the permissions of a form. Raises Forbidden unless its policy and its fields are valid."""
        policy = fields.get("policy", "")
        if not self._is_signed(fields, "POST", policy, [policy, []]):
            raise Forbidden("The form's signature does not match its policy.")
        grant = _decode_policy(policy)
        self._check_time(grant.expires_at)
        signed = {"key": grant.key, "Content-Type": grant.content_type}
        if grant.sha256:
            signed[_CHECKSUM] = _base64_of(grant.sha256)
        if any(fields.get(name) != value for name, value in signed.items()):
            raise Forbidden(f"Send the signed form fields with their signed values: {', '.join(signed)}.")
        return grant

    def check_still_taken(self, grant: Grant) -> None:
        """Raise Forbidden if an upload that began before its link expired takes too long."""
        if grant.expires_at + LATEST <= self._clock():
            raise Forbidden("The link expired during the transfer: request a new link.")

    def _url(self, method: str, key: str, query: str) -> str:
        resource = _resource(key, query)
        return f"{resource}&signature={self._signature(method, resource)}"

    def _check(self, method: str, key: str, query: Mapping[str, str]) -> None:
        claims = {name: value for name, value in query.items() if name != "signature"}
        if not self._is_signed(query, method, _resource(key, _encoded(claims)), [key, sorted(claims.items())]):
            raise Forbidden("The link's signature is invalid: use the link exactly as the server returned it.")
        self._check_time(_instant(claims["expires"]))

    def _check_time(self, expires_at: datetime) -> None:
        if expires_at <= self._clock():
            raise Forbidden("The link has expired: request a new one.")

    def _is_signed(self, given: Mapping[str, str], method: str, subject: str, first: list[object]) -> bool:
        """Return whether the signature matches this subject, or `first` for a link without a version."""
        signatures = [self._signature(method, subject)]
        if "version" not in given:
            signatures.append(self._first_signature(method, first))
        return any(hmac.compare_digest(given.get("signature", "").encode(), each.encode()) for each in signatures)

    def _signature(self, method: str, subject: str) -> str:
        return self._mac.hexdigest(f"{method} {subject}".encode())

    def _first_signature(self, method: str, signed: list[object]) -> str:
        digest = hmac.digest(self._key, json.dumps([method, *signed]).encode(), hashlib.sha256)
        return urlsafe_b64encode(digest).decode().rstrip("=")


def _resource(key: str, query: str) -> str:
    """Return the text that the signature covers: the link's target and its claims."""
    return f"{PREFIX}/{key if _needs_no_encoding(key) else quote(key)}?{query}"


def _encoded(claims: Mapping[str, str]) -> str:
    """Return the claims as a query, in the order that is signed."""
    return urlencode(sorted(claims.items()), quote_via=quote, safe="")


# Cached, because it takes as long as the rest of a link, and lists repeat the same file names.
@lru_cache(maxsize=4096)
def _download_query(disposition: str, expires: str, content_type: str) -> str:
    claims = {"disposition": disposition, "expires": expires, "type": content_type, "version": _VERSION}
    return _encoded(claims)


def _encode_policy(grant: Grant) -> str:
    # A list tells that it is the first form of a policy: another would be an object, with its version.
    claims = [grant.key, grant.content_type, grant.least, grant.most, grant.sha256, _stamp(grant.expires_at)]
    return urlsafe_b64encode(json.dumps(claims).encode()).decode()


def _decode_policy(policy: str) -> Grant:
    key, content_type, least, most, sha256, expires = json.loads(urlsafe_b64decode(policy))
    return Grant(key, content_type, least, most, sha256, _instant(expires))


def _stamp(instant: datetime) -> str:
    return str(instant.timestamp())


def _instant(stamp: str) -> datetime:
    return datetime.fromtimestamp(float(stamp), UTC)


def _base64_of(sha256: str) -> str:
    return b64encode(bytes.fromhex(sha256)).decode()
