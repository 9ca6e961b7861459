"""What a storage enforces of the links that the service signs, by trying what they must not allow.

Some stores check every part of a link, some none: an emulator in its default setting takes unsigned requests. The
service relies on signatures. All else `complete` checks again, so a storage without it is safe.
"""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256

import aiohttp
from yarl import URL

from service.domain.errors import ObjectMissing
from service.domain.model import Expected, SignedUpload, now
from service.domain.ports import ObjectStore

_BYTES = b"pixdepot doctor"
_OTHERS = _BYTES[::-1]  # as many
_TYPE = "image/png"
_MINUTES = timedelta(minutes=1)

_DEVELOPMENT = "use this storage for development only, or configure it to check signatures."
_WRITABLE = f"Anyone who can reach the storage can write to the bucket: {_DEVELOPMENT}"
_READABLE = f"Anyone who knows the key of an image can read it: {_DEVELOPMENT}"
_TYPE_CHECKED = "`complete` checks the type of the bytes and rejects other types."
_LENGTH_CHECKED = (
    "`complete` rejects another length. Until then a client can store more than it declared: limit the size of "
    "requests in a reverse proxy."
)

_DIGEST_CHECKED = "`complete` checks the SHA-256 and rejects other bytes."
_SEALED_WITHOUT = (
    "A request can carry unsigned headers or fields, such as an ACL; `complete` publishes a copy without them."
)


@dataclass(frozen=True, slots=True)
class Enforced:
    """Whether the storage enforces one thing, and what follows where it does not (or where that is a mistake)."""

    name: str
    enforced: bool
    follows: str = ""
    ok: bool = True


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Something that a link must not allow: what is sent in place of the right bytes through the right link."""

    name: str
    follows: str
    change: Callable[[SignedUpload], SignedUpload]
    data: bytes = _BYTES
    age: timedelta = timedelta()
    relied_on: bool = False
    with_digest: bool = False


def _same(link: SignedUpload) -> SignedUpload:
    return link


def _altered(link: SignedUpload) -> SignedUpload:
    return replace(link, url=_other_end(link.url))


def _unsigned(link: SignedUpload) -> SignedUpload:
    return replace(link, url=_without_query(link.url))


def _other_type(link: SignedUpload) -> SignedUpload:
    return replace(link, headers={**link.headers, "Content-Type": "text/html"})


def _altered_form(link: SignedUpload) -> SignedUpload:
    (name,) = [name for name in link.fields if name.lower().endswith("signature")]
    return replace(link, fields={**link.fields, name: _other_end(link.fields[name])})


def _another_header(link: SignedUpload) -> SignedUpload:
    return replace(link, headers={**link.headers, "x-amz-meta-doctor": "unsigned"})


def _another_field(link: SignedUpload) -> SignedUpload:
    return replace(link, fields={**link.fields, "Cache-Control": "no-store"})


def _form_of_other_type(link: SignedUpload) -> SignedUpload:
    return replace(link, fields={**link.fields, "Content-Type": "text/html"})


_PUTS = (
    _Attempt("altered upload link", _WRITABLE, _altered, relied_on=True),
    _Attempt("unsigned upload", _WRITABLE, _unsigned, relied_on=True),
    _Attempt("expired upload link", _WRITABLE, _same, age=60 * _MINUTES, relied_on=True),
    _Attempt("another type", _TYPE_CHECKED, _other_type),
    _Attempt("another length", _LENGTH_CHECKED, _same, _BYTES + b"!"),
    _Attempt("another SHA-256", _DIGEST_CHECKED, _same, _OTHERS, with_digest=True),
    _Attempt("unsigned header", _SEALED_WITHOUT, _another_header),
)
_FORMS = (
    _Attempt("altered form", _WRITABLE, _altered_form, relied_on=True),
    _Attempt("expired form", _WRITABLE, _same, age=60 * _MINUTES, relied_on=True),
    _Attempt("form with another type", _TYPE_CHECKED, _form_of_other_type),
    _Attempt("form with another length", _LENGTH_CHECKED, _same, _BYTES + b"!"),
    _Attempt("form with another SHA-256", _DIGEST_CHECKED, _same, _OTHERS, with_digest=True),
    _Attempt("form with an unsigned field", _SEALED_WITHOUT, _another_field),
)
_TWICE = (
    "The link accepts other bytes until it expires. Published images do not change, because `complete` copies the "
    "verified bytes to a key that no link can write."
)
_NO_FORMS = 'Set PIXDEPOT_POST_FORMS=0: the server then rejects the method "POST".'
_FORMS_UNUSED = 'The storage supports them. Remove PIXDEPOT_POST_FORMS=0 to offer the method "POST".'


@dataclass(slots=True)
class Enforcement:
    """One look at a storage that takes and gives pictures already. `url` makes a link absolute."""

    objects: ObjectStore
    http: aiohttp.ClientSession
    url: Callable[[str], str]
    post_forms: bool  # whether the service offers them
    _mark: str = field(default_factory=lambda: f"doctor-{secrets.token_hex(8)}")
    _keys: list[str] = field(default_factory=list)

    async def rows(self) -> AsyncIterator[Enforced]:
        """Try one thing after the other. What is stored on the way is removed at the end."""
        try:
            for attempt in _PUTS:
                yield await self._tried(attempt, "PUT")
            yield await self._twice()
            async for row in self._downloads():
                yield row
            async for row in self._forms():
                yield row
        finally:
            await self.objects.delete(*self._keys)

    async def _tried(self, attempt: _Attempt, method: str) -> Enforced:
        key, link = await self._link(method, attempt.age, with_digest=attempt.with_digest)
        await self._send(attempt.change(link), attempt.data)
        return _row(attempt.name, await self._stored(key) is None, attempt.follows, relied_on=attempt.relied_on)

    async def _twice(self) -> Enforced:
        key, link = await self._link("PUT")
        for data in (_BYTES, _OTHERS):
            await self._send(link, data)
        return _row("second PUT", await self._stored(key) == _BYTES, _TWICE)

    async def _downloads(self) -> AsyncIterator[Enforced]:
        key = self._new_key()
        await self.objects.put(key, _BYTES, _TYPE)

        async def link(age: timedelta = timedelta()) -> str:
            signed_at = now().replace(microsecond=0) - age
            return (await self.objects.presign_downloads(signed_at, signed_at + 5 * _MINUTES)).url(
                key, _TYPE, "inline"
            )

        right = await link()
        for name, url in (
            ("altered download link", _other_end(right)),
            ("unsigned download", _without_query(right)),
            ("expired download link", await link(60 * _MINUTES)),
        ):
            yield _row(name, await self._got(url) != _BYTES, _READABLE, relied_on=True)

    async def _forms(self) -> AsyncIterator[Enforced]:
        key, link = await self._link("POST")
        await self._send(link, _BYTES)
        if await self._stored(key) != _BYTES:
            yield Enforced("POST form", enforced=False, follows=_NO_FORMS, ok=not self.post_forms)
            return
        yield Enforced("POST form", enforced=True, follows="" if self.post_forms else _FORMS_UNUSED)
        for attempt in _FORMS:
            yield await self._tried(attempt, "POST")

    def _new_key(self) -> str:
        self._keys.append(f"uploads/{self._mark}-{len(self._keys)}")
        return self._keys[-1]

    async def _link(
        self, method: str, age: timedelta = timedelta(), *, with_digest: bool = False
    ) -> tuple[str, SignedUpload]:
        """Return a key, and a link for the bytes under it that was signed so long ago."""
        key, signed_at = self._new_key(), now().replace(microsecond=0) - age
        digest = sha256(_BYTES).hexdigest() if with_digest else None
        expected = Expected(method, _TYPE, len(_BYTES), digest)  # type: ignore[arg-type]
        return key, await self.objects.presign_upload(
            key, expected, len(_BYTES), signed_at, signed_at + 5 * _MINUTES
        )

    async def _send(self, link: SignedUpload, data: bytes) -> None:
        """Send it, whatever the answer is: what counts is what is stored then."""
        url, body = URL(self.url(link.url), encoded=True), aiohttp.FormData(link.fields)
        body.add_field("file", data, filename="doctor.png", content_type=_TYPE)
        # Some close the connection before they have read the body.
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self.http.request(
                link.method, url, data=data if link.method == "PUT" else body, headers=link.headers
            ) as answer:
                await answer.read()

    async def _got(self, url: str) -> bytes:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with self.http.get(URL(self.url(url), encoded=True)) as answer:
                return await answer.read()
        return b""

    async def _stored(self, key: str) -> bytes | None:
        try:
            return await self.objects.read(key, len(_BYTES) + 1)
        except ObjectMissing:
            return None


def _row(name: str, enforced: bool, follows: str, *, relied_on: bool = False) -> Enforced:
    return Enforced(name, enforced) if enforced else Enforced(name, enforced, follows, ok=not relied_on)


def _without_query(url: str) -> str:
    return url.partition("?")[0]


def _other_end(text: str) -> str:
    """Return a text with another last character, which is a signature's."""
    return text[:-1] + ("0" if text[-1] != "0" else "1")
