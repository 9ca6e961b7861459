"""Presigned S3 requests: Signature Version 4 in the query, and POST policies. Pure computation, no botocore.

The SDK takes over half a millisecond to presign a URL, most of it spent finding the endpoint again. Here all
that the URLs of one moment share is prepared once, and each costs its two hashes. What comes out is what
botocore would have signed; tests/unit/aws/test_signing.py holds the two together.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-UsingHTTPPOST.html
"""

import hmac
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Literal
from urllib.parse import quote

from service.domain.errors import Unavailable
from service.domain.mac import Mac

MAX_LIFETIME = 7 * 24 * 3600  # seconds; S3 takes no longer X-Amz-Expires

_ALGORITHM = "AWS4-HMAC-SHA256"
_needs_no_encoding = re.compile(r"[A-Za-z0-9/._~-]+").fullmatch

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"(?!.*\.\.)(?![0-9.]+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
# ARNs, directory buckets, multi-Region access points: each has a host or an algorithm of its own.
_NOT_A_PLAIN_BUCKET = re.compile(r"arn:.*|.*--[a-z]+-s3|.*\.mrap")
_AWS_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]+")
_ANY_REGION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_DNS_SUFFIXES = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
    "eu-isoe-": "cloud.adc-e.uk",
}
_ENDPOINT = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(/[A-Za-z0-9._~-]+)*)/?"
)
_IP_ADDRESS = re.compile(r"\[.*\]|[0-9.]+")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


@dataclass(frozen=True, slots=True)
class Credentials:
    """An AWS access key; `token` and `expires_at` (aware) come with temporary ones."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None


class S3Signer:
    """Presigns requests for the objects of one bucket, at one endpoint.

    Without an endpoint that is AWS, at the Region's own host: the global one redirects, which breaks a
    browser's preflight. Addressing is as asked, but for bucket names with dots, which TLS wildcards do not
    cover, and endpoints that are IP addresses: they always take the bucket in the path.

    Raises ValueError for what it could not sign for: a name that is no general purpose bucket's (an ARN,
    say), a FIPS or unknown Region, an endpoint that is not a plain http(s) URL.
    """

    def __init__(
        self,
        bucket: str,
        region: str,
        endpoint: str | None = None,
        addressing: Literal["virtual", "path"] = "virtual",
    ) -> None:
        _check_bucket(bucket)
        _check_region(region, _ANY_REGION if endpoint else _AWS_REGION)
        scheme, host, port, path = _split(endpoint or f"https://s3.{region}.{_dns_suffix(region)}")
        if addressing == "path" or "." in bucket or _IP_ADDRESS.fullmatch(host):
            path += f"/{bucket}"
        else:
            host = f"{bucket}.{host}"
        self.bucket, self.region = bucket, region
        self.host = host + port
        self.origin = f"{scheme}://{self.host}"
        self.path = path
        self._latest: tuple[tuple[Credentials, datetime, int], Presigner] | None = None

    def for_time(self, credentials: Credentials, now: datetime, expires_in: int) -> "Presigner":
        """Return what presigns for any number of keys as from `now` (aware), for `expires_in` seconds.

        The requests never outlive the credentials: the presigner's `expires_at` tells. Raises Unavailable
        when the credentials expire first of all, and ValueError for a lifetime outside 1..MAX_LIFETIME.
        """
        asked = (credentials, now, expires_in)
        latest = self._latest
        if latest is None or latest[0] != asked:
            latest = asked, Presigner(self, *asked)
            # The links of a list are asked for one by one, with all of this the same.
            self._latest = latest
        return latest[1]


class Presigner:
    """Presigns requests of one moment and lifetime; `S3Signer.for_time` makes it.

    `expires_at` is true of everything it signs. An empty key is a ValueError: the bucket itself would answer.
    """

    def __init__(self, signer: S3Signer, credentials: Credentials, now: datetime, expires_in: int) -> None:
        self._signer, self._token = signer, credentials.token
        self._origin, self._root = signer.origin, f"{signer.path}/"
        signed_at = now.astimezone(UTC).replace(microsecond=0)  # X-Amz-Date counts whole seconds
        lifetime = _lifetime(credentials, signed_at, expires_in)
        self.expires_at = signed_at + timedelta(seconds=lifetime)
        self._timestamp = signed_at.strftime("%Y%m%dT%H%M%SZ")
        date = self._timestamp[:8]
        scope = f"{date}/{signer.region}/s3/aws4_request"
        self._credential = f"{credentials.access_key}/{scope}"
        self._key = _signing_key(credentials.secret_key, date, signer.region)
        # The string to sign up to its last line is hashed already: each URL goes on from a copy of it.
        preamble = f"{_ALGORITHM}\n{self._timestamp}\n{scope}\n"
        self._mac = Mac(self._key, preamble.encode())
        # Parameters stand in the order S3 sorts them, so the query needs no other form to be signed.
        parameters = {"X-Amz-Algorithm": _ALGORITHM, "X-Amz-Credential": self._credential}
        parameters |= {"X-Amz-Date": self._timestamp, "X-Amz-Expires": str(lifetime)}
        parameters |= {"X-Amz-Security-Token": self._token} if self._token else {}
        self._parameters = "".join(f"{name}={_encoded(value)}&" for name, value in parameters.items())
        self._get_query, self._get_headers = self._signed({})

    def get(
        self,
        key: str,
        *,
        response_content_disposition: str | None = None,
        response_content_type: str | None = None,
        response_cache_control: str | None = None,
    ) -> str:
        """Return a URL that reads the object; S3 answers with the response headers given here."""
        overrides = _overrides(response_cache_control, response_content_disposition, response_content_type)
        return self._url("GET", key, self._get_query + overrides, self._get_headers)

    def put(
        self,
        key: str,
        *,
        content_type: str,
        content_length: int,
        sha256_hex: str | None = None,
        create_only: bool = True,
    ) -> tuple[str, dict[str, str]]:
        """Return a URL that writes the object, and the headers that a client must send with it.

        S3 takes a body of exactly this type and length (bytes), of this hash if one is given, and with
        `create_only` answers 412 where an object already is. Content-Length is signed, yet not among the
        headers: clients set it from the body, and browsers let nobody else.
        """
        headers = {"Content-Type": content_type}
        headers |= {"If-None-Match": "*"} if create_only else {}
        headers |= {"x-amz-checksum-sha256": _checksum(sha256_hex)} if sha256_hex is not None else {}
        query, canonical_headers = self._signed(headers | {"Content-Length": str(content_length)})
        return self._url("PUT", key, query, canonical_headers), headers

    def post(
        self, key: str, *, content_type: str, length_range: tuple[int, int], sha256_hex: str | None = None
    ) -> tuple[str, dict[str, str]]:
        """Return the URL of a form that writes the object, and its fields; the file is the last, `file`.

        S3 takes exactly this key and type, and from least to most bytes, both included. A policy cannot say
        "create only": until it expires, the form can be sent again.
        """
        fields = {"key": _not_empty(key), "Content-Type": content_type}
        fields |= {"x-amz-checksum-sha256": _checksum(sha256_hex)} if sha256_hex is not None else {}
        fields |= {"x-amz-algorithm": _ALGORITHM, "x-amz-credential": self._credential}
        fields |= {"x-amz-date": self._timestamp}
        fields |= {"x-amz-security-token": self._token} if self._token else {}
        exactly = [{name: value} for name, value in fields.items()]
        conditions = [{"bucket": self._signer.bucket}, ["content-length-range", *length_range], *exactly]
        document = {"expiration": self.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"), "conditions": conditions}
        policy = b64encode(json.dumps(document).encode())
        signature = hmac.digest(self._key, policy, "sha256").hex()
        fields |= {"policy": policy.decode(), "x-amz-signature": signature}
        return self._signer.origin + (self._signer.path or "/"), fields

    def _signed(self, headers: Mapping[str, str]) -> tuple[str, str]:
        """Return the query, and the end of the canonical request, for these headers and Host."""
        values = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
        ordered = sorted((values | {"host": self._signer.host}).items())
        names = [name for name, _ in ordered]
        lines = "".join(f"{name}:{value}\n" for name, value in ordered)
        query = f"{self._parameters}X-Amz-SignedHeaders={'%3B'.join(names)}"
        return query, f"{lines}\n{';'.join(names)}\nUNSIGNED-PAYLOAD"

    def _url(self, method: str, key: str, query: str, canonical_headers: str) -> str:
        path = self._root + (key if _needs_no_encoding(key) else quote(_not_empty(key)))
        canonical_request = f"{method}\n{path}\n{query}\n{canonical_headers}".encode()
        signature = self._mac.hexdigest(sha256(canonical_request).hexdigest().encode())
        return f"{self._origin}{path}?{query}&X-Amz-Signature={signature}"


def _lifetime(credentials: Credentials, signed_at: datetime, expires_in: int) -> int:
    if not 1 <= expires_in <= MAX_LIFETIME:
        raise ValueError(f"A presigned request must expire after 1 to {MAX_LIFETIME} seconds, not {expires_in}.")
    if credentials.expires_at is None:
        return expires_in
    left = (credentials.expires_at - signed_at) // timedelta(seconds=1)
    if left < 1:
        raise Unavailable("The server's storage credentials have expired.")
    return min(expires_in, left)


@lru_cache(maxsize=16)
def _signing_key(secret_key: str, date: str, region: str) -> bytes:
    key = f"AWS4{secret_key}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


# As dear as all the rest of a URL, and the same file names keep coming back.
@lru_cache(maxsize=4096)
def _overrides(cache_control: str | None, disposition: str | None, content_type: str | None) -> str:
    """Return the end of the query that asks for these fields in the head of S3's response, as S3 sorts them."""
    fields = {"cache-control": cache_control, "content-disposition": disposition, "content-type": content_type}
    return "".join(f"&response-{name}={_encoded(value)}" for name, value in fields.items() if value is not None)


def _encoded(value: str) -> str:
    return quote(value, safe="")


def _not_empty(key: str) -> str:
    if not key:
        raise ValueError("The object key is empty.")
    return key


def _checksum(sha256_hex: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256_hex):
        raise ValueError("A SHA-256 must have 64 hexadecimal digits.")
    return b64encode(bytes.fromhex(sha256_hex)).decode()


def _check_bucket(bucket: str) -> None:
    if _NOT_A_PLAIN_BUCKET.fullmatch(bucket):
        raise ValueError(f"{bucket!r} is an access point or directory bucket; it must be a plain bucket.")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"{bucket!r} is not an S3 bucket name.")


def _check_region(region: str, pattern: re.Pattern[str]) -> None:
    if "fips" in region.split("-"):
        raise ValueError(f"FIPS endpoints are not supported: set the plain Region name instead of {region!r}.")
    if not pattern.fullmatch(region):
        raise ValueError(f"{region!r} is not an AWS Region name.")


def _dns_suffix(region: str) -> str:
    suffixes = (suffix for prefix, suffix in _DNS_SUFFIXES.items() if region.startswith(prefix))
    return next(suffixes, "amazonaws.com")


def _split(endpoint: str) -> tuple[str, str, str, str]:
    """Return scheme, host, ":port" and path; the port is "" where clients leave it out of Host."""
    parts = _ENDPOINT.fullmatch(endpoint)
    if parts is None:
        raise ValueError(
            "The S3 endpoint must be a URL such as https://host, http://host:port or https://host/path."
        )
    port = parts["port"]
    needless = port is None or port == _DEFAULT_PORTS[parts["scheme"]]
    return parts["scheme"], parts["host"].lower(), "" if needless else f":{port}", parts["path"]
