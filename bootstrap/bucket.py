"""The settings of the bucket: what is wanted of them, and what becomes of those that a store does not have.

AWS has every setting. Other stores answer NotImplemented, or something else than was asked for; they accept a
setting and do not keep it, or refuse every write once they have it. Such a setting is `NotSupported`, with the
reason, which `up` notes in the bucket: a store often says only when a setting is made that it cannot make it, and
`status` makes nothing.

IAM actions, on stores other than AWS: s3:PutObject, GetObject and DeleteObject below bootstrap/ and uploads/, and
what removes each setting.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from service.aws.session import error_code
from service.settings import Settings

_NOTES = "bootstrap/not-supported/"  # beside the prefixes of the service, which lists neither
_KEPT_WITHIN = 5.0  # seconds until a store shows what it was given
# How stores refuse a setting that they do not know, or a part of it.
_UNKNOWN = frozenset(
    {
        "405",
        "501",
        "InvalidArgument",
        "InvalidRequest",
        "MalformedXML",
        "MethodNotAllowed",
        "NotImplemented",
        "NotSupported",
        "UnsupportedOperation",
        # A store that passes over ?encryption and the like takes the request for CreateBucket.
        "BucketAlreadyExists",
        "BucketAlreadyOwnedByYou",
    }
)

Call = Callable[[], Awaitable[Any]]


class NotSupported(Exception):
    """The store does not have this setting, or cannot work with it. The message says how that showed."""


@dataclass(slots=True)
class BucketSetting:
    """One setting of a bucket at a store that may not have it; `get`, `put` and `delete` are calls of the SDK.

    All three methods raise NotSupported, and ClientError for what else the store refuses.
    """

    s3: Any
    bucket: str
    name: str
    wanted: Any
    get: Call
    put: Call
    delete: Call
    _put_at: float | None = field(default=None, init=False)

    async def find(self) -> Any:
        """Return what the store has, in the words of `wanted`. Changes nothing."""
        try:
            found = await self.get()
        except KeyError:
            found = None  # as some answer where there is none, and others to what they do not know
        except ClientError as error:
            if error_code(error) in _UNKNOWN:
                raise NotSupported(_refusal(error)) from error
            await self._raise_if_noted()
            raise
        if found != self.wanted:
            await self._raise_if_noted()
        return found

    async def make(self) -> None:
        """Ask the store for the setting. Repeatable: it may take a while to show."""
        now = asyncio.get_running_loop().time()
        self._put_at = self._put_at or now
        if now - self._put_at > _KEPT_WITHIN:
            await self._give_up("the store accepts it but does not keep it")
        try:
            await self.put()
        except ClientError as error:
            if error_code(error) in _UNKNOWN:
                await self._give_up(_refusal(error))
            raise

    async def prove(self) -> None:
        """Try whether the bucket takes writes with this setting; take it back where it takes them only without.

        Repeatable. Nothing that is written stays.
        """
        refused = await self._refused_write()
        if refused is None:
            return
        await self.delete()
        if await self._refused_write() is None:
            await self._give_up(f"writes fail with it ({_refusal(refused)}), so it was removed again")
        await self.put()  # something else is at fault

    async def _refused_write(self) -> ClientError | None:
        key = f"uploads/bootstrap-{secrets.token_hex(8)}"
        try:
            await self.s3.put_object(Bucket=self.bucket, Key=key, Body=b"pixdepot bootstrap")
        except ClientError as error:
            return error
        await self.s3.delete_object(Bucket=self.bucket, Key=key)
        return None

    @property
    def _note(self) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": _NOTES + self.name}

    async def _give_up(self, reason: str) -> None:
        with suppress(ClientError):  # then `status` calls it missing
            await self.s3.put_object(**self._note, Body=reason.encode())
        raise NotSupported(reason)

    async def _raise_if_noted(self) -> None:
        try:
            note = await self.s3.get_object(**self._note)
        except ClientError:
            return  # there is none, or it may not be read
        async with note["Body"] as body:
            raise NotSupported((await body.read()).decode())


async def forget_notes(s3: Any, bucket: str) -> None:
    """Forget what the store did not support, so that it is asked again: it may be another version by now."""
    found = await s3.list_objects_v2(Bucket=bucket, Prefix=_NOTES)
    for each in found.get("Contents", []):
        await s3.delete_object(Bucket=bucket, Key=each["Key"])


def _refusal(error: ClientError) -> str:
    return f"{error.operation_name}: {error_code(error)}"


# ---------------------------------------------------------------- what is wanted


def cors_rules(settings: Settings) -> list[dict[str, Any]]:
    """Return the rules that let the service's own page and the allowed origins use presigned links."""
    own = [settings.public_url] if settings.public_url else ["http://localhost:8080", "http://127.0.0.1:8080"]
    return [
        {
            "AllowedOrigins": [*dict.fromkeys([*own, *settings.cors_origins])],
            "AllowedMethods": ["GET", "HEAD", "PUT", "POST"],
            "AllowedHeaders": ["content-type", "if-none-match", "x-amz-checksum-sha256", "range"],
            "ExposeHeaders": ["ETag", "Content-Range", "Accept-Ranges"],
            "MaxAgeSeconds": 7200,
        }
    ]


_LIFECYCLE = [
    # Sweep removes abandoned uploads within minutes; this is for when nothing sweeps.
    {
        "ID": "abandoned-uploads",
        "Filter": {"Prefix": "uploads/"},
        "Status": "Enabled",
        "Expiration": {"Days": 2},
    },
    {
        "ID": "abandoned-multiparts",
        "Filter": {"Prefix": ""},
        "Status": "Enabled",
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    },
]
_PRIVATE = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}


def bucket_settings(s3: Any, settings: Settings) -> list[BucketSetting]:
    """Return what the bucket is to have, in the order in which it is made."""
    bucket, rules = settings.bucket, cors_rules(settings)
    encryption = [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}]

    async def public_access() -> Any:
        return (await s3.get_public_access_block(Bucket=bucket))["PublicAccessBlockConfiguration"]

    async def cors() -> Any:
        found = (await s3.get_bucket_cors(Bucket=bucket))["CORSRules"]
        return rules if _same(found, rules) else found

    async def lifecycle() -> Any:
        found = (await s3.get_bucket_lifecycle_configuration(Bucket=bucket))["Rules"]
        return _LIFECYCLE if _same([*map(_with_filter, found)], _LIFECYCLE) else found

    async def encrypted() -> Any:
        rules = (await s3.get_bucket_encryption(Bucket=bucket))["ServerSideEncryptionConfiguration"]["Rules"]
        return [
            {"BucketKeyEnabled": False, **{k: v for k, v in rule.items() if k in encryption[0]}} for rule in rules
        ]

    return [
        BucketSetting(
            s3, bucket, "public access block", _PRIVATE, public_access,
            lambda: s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=_PRIVATE),
            lambda: s3.delete_public_access_block(Bucket=bucket),
        ),
        BucketSetting(
            s3, bucket, "CORS", rules, cors,
            lambda: s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules}),
            lambda: s3.delete_bucket_cors(Bucket=bucket),
        ),
        BucketSetting(
            s3, bucket, "lifecycle", _LIFECYCLE, lifecycle,
            lambda: s3.put_bucket_lifecycle_configuration(
                Bucket=bucket, LifecycleConfiguration={"Rules": _LIFECYCLE}
            ),
            lambda: s3.delete_bucket_lifecycle(Bucket=bucket),
        ),
        BucketSetting(
            s3, bucket, "encryption", encryption, encrypted,
            lambda: s3.put_bucket_encryption(
                Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": encryption}
            ),
            lambda: s3.delete_bucket_encryption(Bucket=bucket),
        ),
    ]  # fmt: skip


def _same(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    """Return whether rules say the same; stores add members, and keep rules and lists in an order of their own."""
    if len(found) != len(wanted):
        return False
    pairs = zip(sorted(found, key=_name), sorted(wanted, key=_name), strict=True)
    return all(_plain(here.get(name)) == _plain(value) for here, rule in pairs for name, value in rule.items())


def _name(rule: dict[str, Any]) -> str:
    return str(rule.get("ID", ""))


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _with_filter(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule of a lifecycle with its prefix where ours have it; some stores write it elsewhere."""
    return {**rule, "Filter": {"Prefix": rule.get("Prefix", rule.get("Filter", {}).get("Prefix", ""))}}
