"""How long it takes to presign the links of a page: 100 keys that were never seen before, their files' names were.

Ours is what lists ask the aws backend for. Its rivals are aiobotocore's own presigning, asked for the same, and the
hashes of the same requests alone: no link with Signature Version 4 has fewer than these two.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import aioboto3
from aiobotocore.config import AioConfig

from bootstrap.emulator import AccessKey
from service.aws.s3 import S3ObjectStore
from service.aws.session import opened_clients
from service.domain.model import Downloads
from service.settings import Settings
from tests.aws.stand_in import sdk_environment

from .figures import WARM_UP, Figure, medians

PAGE = 100
GOAL_SDK, GOAL_HASHES = 1 / 80, 1.4
BUCKET, LIFE = Settings().bucket, timedelta(hours=2)
KEY = AccessKey("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
NOWHERE = "http://127.0.0.1:9"  # nothing is sent
# What is asked of a link: a key, the type and the Content-Disposition of the answer.
Wanted = tuple[str, str, str]


async def measure(rounds: int = 100) -> list[Figure]:
    """Return a figure for each rival."""
    async with opened() as (store, rival):
        pages = [page() for _ in range(2 * rounds + 6 * WARM_UP)]

        async def ours() -> list[str]:
            return links(await presigned(store), pages.pop())

        async def theirs() -> list[str]:
            return [await by_aiobotocore(rival, each) for each in pages[0]]

        ways = {"ours": ours, "aiobotocore": theirs, "hashes": _hashes(await ours())}
        # The rival takes so long that it would leave nothing of ours in the caches: it has rounds of its own.
        taken = await medians({name: ways[name] for name in ("ours", "hashes")}, rounds, time.thread_time)
        beside = await medians(
            {name: ways[name] for name in ("ours", "aiobotocore")}, max(rounds // 5, 1), time.thread_time
        )
    return [
        Figure(f"presign {PAGE} links, against aiobotocore", beside["ours"], beside["aiobotocore"], GOAL_SDK),
        Figure(f"presign {PAGE} links, against their hashes alone", taken["ours"], taken["hashes"], GOAL_HASHES),
    ]


@asynccontextmanager
async def opened() -> AsyncIterator[tuple[S3ObjectStore, Any]]:
    """Open the service's store, and the SDK's client."""
    config = AioConfig(signature_version="s3v4", s3={"addressing_style": "path"})
    async with AsyncExitStack() as stack:
        with sdk_environment(NOWHERE, KEY):
            clients = await stack.enter_async_context(opened_clients(Settings()))
            sdk = await stack.enter_async_context(aioboto3.Session().client("s3", config=config))
        yield S3ObjectStore(clients, BUCKET), sdk


def page() -> list[Wanted]:
    """Return what a page of new images asks for."""
    names = (f"IMG_{n:04}.jpg" for n in range(PAGE))
    return [
        (f"images/{secrets.token_hex(16)}/0123456789abcdef/original", "image/jpeg", f'inline; filename="{name}"')
        for name in names
    ]


async def presigned(store: S3ObjectStore) -> Downloads:
    """Return what makes links as from now."""
    now = datetime.now(UTC).replace(microsecond=0)
    return await store.presign_downloads(now, now + LIFE)


def links(downloads: Downloads, wanted: list[Wanted]) -> list[str]:
    """Return the service's links."""
    return [downloads.url(*each) for each in wanted]


async def by_aiobotocore(s3: Any, wanted: Wanted) -> str:
    """Return the SDK's link to the same."""
    key, content_type, disposition = wanted
    params = {"Bucket": BUCKET, "Key": key, "ResponseContentType": content_type}
    params |= {"ResponseContentDisposition": disposition}
    params |= {"ResponseCacheControl": "private, max-age=86400, immutable"}
    seconds = int(LIFE.total_seconds())
    url: str = await s3.generate_presigned_url("get_object", Params=params, ExpiresIn=seconds)
    return url


def _hashes(urls: list[str]) -> Callable[[], Awaitable[object]]:
    requests = [_canonical(url) for url in urls]
    # As the signer does: the string to sign is the same but for its end, so its beginning is hashed once.
    begun = hmac.new(
        b"k" * 32, b"AWS4-HMAC-SHA256\n20260101T000000Z\n20260101/us-east-1/s3/aws4_request\n", "sha256"
    )

    async def hash_all() -> None:
        for request in requests:
            signature = begun.copy()
            signature.update(hashlib.sha256(request).hexdigest().encode())
            signature.hexdigest()

    return hash_all


def _canonical(url: str) -> bytes:
    """Return the request that a link's signature is over."""
    parts = urlsplit(url)
    query = parts.query.rpartition("&X-Amz-Signature=")[0]
    return f"GET\n{parts.path}\n{query}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD".encode()
