"""The object store in one S3 bucket.

IAM actions: s3:GetObject, s3:PutObject, s3:DeleteObject on the bucket's objects; s3:ListBucket on the bucket.
The links it signs work with the same permissions.
"""

import asyncio
import hashlib
import io
import re
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from botocore.exceptions import ClientError

from service.domain.errors import ObjectMissing
from service.domain.model import ByteStream, Downloads, Expected, SignedUpload, StoredObject, is_hidden

from .session import S3Access, error_code, together, translated
from .signing import MAX_LIFETIME, Presigner, S3Signer

_CHUNK = 256 * 1024  # bytes
_LARGE = 2**20  # bytes; more than this in one piece would hold up the event loop
_RANGE = re.compile(r"bytes (\d+)-(\d+)/")
_NOTE = "pixdepot-note"  # user metadata, of which S3 takes 2 KB
_MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
# A key that is served never has other bytes, so whoever has them may keep them.
_CACHE_CONTROL = "private, max-age=86400, immutable"


class S3ObjectStore:
    """`ObjectStore` on S3 or an S3-compatible store."""

    def __init__(self, clients: S3Access, bucket: str) -> None:
        self._clients, self._s3, self._bucket = clients, clients.s3, bucket
        addressing: Literal["virtual", "path"] = "path" if clients.endpoint else "virtual"
        self._signer = S3Signer(bucket, clients.region, clients.endpoint, addressing)
        self.origin = self._signer.origin

    async def put(
        self, key: str, data: bytes, content_type: str, sha256: str | None = None, *, note: bytes = b""
    ) -> None:
        """See `ObjectStore`. S3 checks the digest, which is signed instead of the bytes."""
        digest = bytes.fromhex(sha256) if sha256 else hashlib.sha256(data).digest()
        with translated():
            await self._s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=data if len(data) <= _LARGE else _Body(data),  # type: ignore[arg-type] # it reads like a file
                ContentType=content_type,
                ChecksumSHA256=b64encode(digest).decode(),
                Metadata=_metadata(note),
            )

    async def copy(self, source: str, target: str, content_type: str, *, note: bytes = b"") -> None:
        """See `ObjectStore`. S3 copies one version of the source, even if it is overwritten meanwhile."""
        with translated():
            try:
                await self._s3.copy_object(
                    Bucket=self._bucket,
                    Key=target,
                    CopySource={"Bucket": self._bucket, "Key": source},
                    ContentType=content_type,
                    Metadata=_metadata(note),
                    MetadataDirective="REPLACE",
                )
            except ClientError as error:
                _raise_if_missing(error)
                raise

    async def note(self, key: str) -> bytes:
        """See `ObjectStore`. The note is user metadata of the object."""
        with translated():
            try:
                found = await self._s3.head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                _raise_if_missing(error)
                raise
        return b64decode(found.get("Metadata", {}).get(_NOTE, ""))

    async def annotate(self, key: str, content_type: str, note: bytes) -> None:
        """See `ObjectStore`. S3 changes metadata only when an object is copied to itself."""
        await self.copy(key, key, content_type, note=note)

    async def open(self, key: str, start: int = 0, stop: int | None = None) -> ByteStream:
        """See `ObjectStore`."""
        span = f"bytes={start}-{'' if stop is None else stop - 1}"
        with translated():
            try:
                found = await self._s3.get_object(Bucket=self._bucket, Key=key, Range=span)
            except ClientError as error:
                _raise_if_missing(error)
                raise
        return _chunks(found["Body"], _announced(found))

    async def read(self, key: str, most: int) -> bytes:
        """See `ObjectStore`."""
        data = io.BytesIO()  # gives its bytes away without a copy
        async for chunk in await self.open(key, 0, most):
            data.write(chunk)
        return data.getvalue()

    async def delete(self, *keys: str) -> None:
        """See `ObjectStore`."""
        with translated():
            await together(*(self._s3.delete_object(Bucket=self._bucket, Key=key) for key in keys))

    async def move(self, source: str, target: str) -> None:
        """See `ObjectStore`. The copy keeps the media type and the metadata."""
        with translated():
            try:
                await self._s3.copy_object(
                    Bucket=self._bucket,
                    Key=target,
                    CopySource={"Bucket": self._bucket, "Key": source},
                    MetadataDirective="COPY",
                )
            except ClientError as error:
                _raise_if_missing(error)
                raise
        await self.delete(source)

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """See `ObjectStore`."""
        with translated():
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            async for page in pages:
                for each in page.get("Contents", []):
                    if is_hidden(each["Key"], prefix):
                        continue
                    yield StoredObject(each["Key"], each["Size"], each["LastModified"])

    async def presign_upload(
        self, key: str, expected: Expected, max_bytes: int, signed_at: datetime, expires_at: datetime
    ) -> SignedUpload:
        """See `ObjectStore`. The link expires earlier if the credentials that sign it do.

        A POST can be repeated until it expires, because a policy cannot require that the object does not exist.
        """
        presigner = await self._presigner(signed_at, expires_at)
        kind, size, sha256 = expected.content_type, expected.file_size, expected.sha256
        if expected.method == "PUT" and size is not None:
            url, headers = presigner.put(key, content_type=kind, content_length=size, sha256_hex=sha256)
            return SignedUpload("PUT", url, presigner.expires_at, headers=headers)
        lengths = (size or 1, size or max_bytes)
        url, fields = presigner.post(key, content_type=kind, length_range=lengths, sha256_hex=sha256)
        return SignedUpload("POST", url, presigner.expires_at, fields=fields)

    async def presign_downloads(self, signed_at: datetime, expires_at: datetime) -> Downloads:
        """See `ObjectStore`. The links expire earlier if the credentials that sign them do."""
        presigner = await self._presigner(signed_at, expires_at)

        def url(key: str, content_type: str, disposition: str) -> str:
            return presigner.get(
                key,
                response_content_disposition=disposition,
                response_content_type=content_type,
                response_cache_control=_CACHE_CONTROL,
            )

        return Downloads(url, presigner.expires_at)

    async def _presigner(self, signed_at: datetime, expires_at: datetime) -> Presigner:
        signed_at = signed_at.replace(microsecond=0)  # S3 counts whole seconds
        lifetime = min(max((expires_at - signed_at) // timedelta(seconds=1), 1), MAX_LIFETIME)
        return self._signer.for_time(await self._clients.credentials(), signed_at, lifetime)

    async def check_room(self, size: int) -> None:
        """See `ObjectStore`. S3 is never full."""

    async def tidy(self, age: timedelta) -> None:
        """See `ObjectStore`. There is nothing to do, because S3 stores an object completely or not at all."""

    async def check(self) -> None:
        """See `ObjectStore`."""
        with translated():
            await self._s3.list_objects_v2(Bucket=self._bucket, MaxKeys=1)


class _Body:
    """A large body: to the SDK a file, to aiohttp what comes in pieces, so that others have their turn in between.

    A BytesIO would do, but aiohttp makes a copy of it to learn how long it is.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._file = memoryview(data), io.BytesIO(data)
        self.read, self.seek, self.tell = self._file.read, self._file.seek, self._file.tell

    def __len__(self) -> int:
        return len(self._data)

    async def __aiter__(self) -> AsyncIterator[memoryview]:
        for at in range(0, len(self._data), _CHUNK):
            yield self._data[at : at + _CHUNK]
            await asyncio.sleep(0)


def _metadata(note: bytes) -> dict[str, str]:
    return {_NOTE: b64encode(note).decode()} if note else {}


def _raise_if_missing(error: ClientError) -> None:
    if error_code(error) in _MISSING:
        raise ObjectMissing("The storage has no object with this key.") from error


def _announced(answer: Mapping[str, Any]) -> int | None:
    """Return how many bytes an answer says that it has."""
    if span := _RANGE.match(answer.get("ContentRange", "")):
        return int(span[2]) - int(span[1]) + 1
    return answer.get("ContentLength")


async def _chunks(body: object, length: int | None) -> AsyncIterator[bytes]:
    received = 0
    with translated():
        async with body as stream:  # type: ignore[attr-defined] # the stubs leave the body's type open
            async for chunk in stream.content.iter_chunked(_CHUNK):
                received += len(chunk)
                yield chunk
        if length not in {None, received}:
            raise ConnectionError("The length of the body differs from its Content-Length.")
