"""`pixdepot doctor`: a picture's whole way through the configured backend, as a browser would send it.

Each step either works, or names the likely cause and the remedy. Where the whole way works, `enforced` then tries
what links must not allow. What it writes it removes again.
"""

import secrets
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from uuid import uuid4
from xml.etree import ElementTree

import aiohttp
from botocore.exceptions import ClientError

from service.aws.refusals import ADVICE, REMEDIES, UNREACHABLE, named, refused
from service.aws.session import error_code
from service.domain.errors import DepotMismatch, PixdepotError
from service.domain.model import GRACE, Details, Expected, ImageQuery, SignedUpload, State, Upload, now
from service.domain.ports import ImageRepository, ObjectStore
from service.operations.pairing import Pairing
from service.settings import Settings

from .bucket import cors_rules
from .enforcement import Enforced, Enforcement

_BYTES = b"pixdepot doctor"
_TYPE = "image/png"
_SKEW = timedelta(minutes=5)  # AWS refuses signatures 15 minutes off; a clock at 5 is on its way there


class StepFailed(Exception):
    """A step did not work; says why, and what to do."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.cause, self.remedy = cause, remedy


@dataclass(frozen=True, slots=True)
class Step:
    """What became of one step: both texts are empty where it worked."""

    name: str
    cause: str = ""
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Return whether it worked."""
        return not self.cause


@dataclass(slots=True)
class Examination:
    """One run over a backend. `base_url` is where links that are relative to the service lead."""

    objects: ObjectStore
    records: ImageRepository
    settings: Settings
    http: aiohttp.ClientSession
    base_url: str
    _mark: str = field(default_factory=lambda: f"doctor-{secrets.token_hex(8)}")
    _upload: SignedUpload | None = None
    _downloaded: bool = False

    async def steps(self) -> AsyncIterator[Step]:
        """Do every step in turn; those after one that failed, as far as they make sense without it."""
        ways: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("check the database", self.records.check),
            ("check the database for damage", self.records.examine),
            ("write a record", self._keep_a_record),
            ("check the storage", self._ask_storage),
            ("sign an upload", self._sign),
            ("compare clocks", self._compare_clocks),
            ("CORS preflight", self._preflight),
            ("upload through a link", self._send),
            ("seal", self._seal),
            ("download through a link", self._download),
        ]
        for name, way in ways:
            step = await _tried(name, way)
            yield step
            if not step.ok and way in (self._sign, self._send, self._seal):
                break
        yield await _tried("delete", self._delete)

    async def enforced(self) -> AsyncIterator[Enforced]:
        """Say what the storage enforces of links; nothing where no link has worked: none can be judged then."""
        if self._downloaded:
            enforcement = Enforcement(self.objects, self.http, self._url, self.settings.post_forms)
            async for row in enforcement.rows():
                yield row

    @property
    def _keys(self) -> tuple[str, str]:
        return f"uploads/{self._mark}", f"images/{self._mark}/sealed/original"

    def _url(self, url: str) -> str:
        return self.base_url + url if url.startswith("/") else url

    async def _keep_a_record(self) -> None:
        """Do all that the service does with a record, but for publishing it: nobody is to see it."""
        details = Details(self._mark, "Pixdepot doctor", "doctor.png", tags=(self._mark,))
        # Due already: it may be removed at once, by this or by any sweep.
        upload = Upload(str(uuid4()), details, Expected("PUT", _TYPE, len(_BYTES)), now(), now() - GRACE)
        await self.records.begin(upload)
        await self.records.prepare(upload)
        await self.records.find(ImageQuery(user_id=self._mark), None, 1)
        await self.records.find(ImageQuery(tags=(self._mark,)), None, 1)
        await self.records.due(now(), 1)
        await self.records.retire(upload.image_id, {State.PENDING}, now())
        await self.records.forget(upload.image_id, now())

    async def _ask_storage(self) -> None:
        """Ask whether it works, and whether it is the database's."""
        await self.objects.check()
        try:
            await Pairing(self.objects, self.records).check(write=False)
        except DepotMismatch as mismatch:
            raise StepFailed(f"{mismatch.title}.", mismatch.detail) from mismatch

    async def _sign(self) -> None:
        expected = Expected("PUT", _TYPE, len(_BYTES))
        ends = now() + timedelta(minutes=5)
        self._upload = await self.objects.presign_upload(self._keys[0], expected, len(_BYTES), now(), ends)

    @property
    def _link(self) -> SignedUpload:
        assert self._upload is not None  # noqa: S101 - signing comes first, or nothing does
        return self._upload

    async def _compare_clocks(self) -> None:
        async with self.http.get(self._url(self._link.url)) as answer:
            told = answer.headers.get("Date")
        if told and abs(skew := datetime.now(UTC) - parsedate_to_datetime(told)) > _SKEW:
            minutes = skew.total_seconds() / 60
            raise StepFailed(f"The clocks are {minutes:+.0f} minutes apart.", REMEDIES["RequestTimeTooSkewed"])

    async def _preflight(self) -> None:
        for origin in self._origins():
            asked = {
                "Origin": origin,
                "Access-Control-Request-Method": "PUT",
                "Access-Control-Request-Headers": ",".join(sorted(name.lower() for name in self._link.headers)),
            }
            async with self.http.options(self._url(self._link.url), headers=asked) as answer:
                allowed = answer.headers.get("Access-Control-Allow-Origin")
            if allowed not in {origin, "*"}:
                raise StepFailed(
                    f"The storage does not allow uploads from pages of {origin}.",
                    "The CORS rules are missing or different: run pixdepot bootstrap up with the same "
                    "PIXDEPOT_CORS_ORIGINS and PIXDEPOT_PUBLIC_URL as the service. If it reports that CORS is not "
                    "supported, allow the origin in the configuration of the store.",
                )

    def _origins(self) -> list[str]:
        if self.settings.uses_s3:
            origins = cors_rules(self.settings)[0]["AllowedOrigins"]
        else:  # pages of the service itself need no permission there
            origins = list(self.settings.cors_origins)
        return [each.replace(":*", ":8080") for each in origins]  # one page stands for those of every port

    async def _send(self) -> None:
        url, headers = self._url(self._link.url), self._link.headers
        async with self.http.put(url, data=_BYTES, headers=headers) as answer:
            await _check(answer)

    async def _seal(self) -> None:
        await self.objects.copy(*self._keys, _TYPE)

    async def _download(self) -> None:
        now = datetime.now(UTC).replace(microsecond=0)
        links = await self.objects.presign_downloads(now, now + timedelta(minutes=5))
        async with self.http.get(self._url(links.url(self._keys[1], _TYPE, "inline"))) as answer:
            await _check(answer)
            if await answer.read() != _BYTES:
                raise StepFailed(
                    "The downloaded bytes differ from the uploaded ones.",
                    "A proxy in front of the storage changes them.",
                )
        self._downloaded = True

    async def _delete(self) -> None:
        await self.objects.delete(*self._keys)


async def _tried(name: str, way: Callable[[], Awaitable[None]]) -> Step:
    try:
        await way()
    except StepFailed as failed:
        return Step(name, failed.cause, failed.remedy)
    except (aiohttp.ClientError, TimeoutError) as error:
        return Step(name, f"No response ({type(error).__name__}).", UNREACHABLE)
    except (PixdepotError, ClientError) as error:
        return _explained(name, error)
    return Step(name)


def _explained(name: str, error: PixdepotError | ClientError) -> Step:
    """Return what became of a step from the SDK's own error, which the backend may have put behind one of ours."""
    cause = error if isinstance(error, ClientError) else error.__cause__
    if isinstance(cause, ClientError):
        return Step(name, refused(cause), REMEDIES.get(error_code(cause), ADVICE))
    remedy = UNREACHABLE if cause is not None and not isinstance(cause, sqlite3.Error) else ADVICE
    return Step(name, f"{error} ({type(cause or error).__name__})", remedy)


async def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status < 300:
        return
    code = message = ""
    try:
        document = ElementTree.fromstring(await answer.text())  # noqa: S314 - our own storage's
        code, message = document.findtext("Code", ""), document.findtext("Message", "")
    except ElementTree.ParseError:
        pass
    said = f"The storage answered {answer.status} {named(code, message)}".rstrip()
    raise StepFailed(f"{said}.", REMEDIES.get(code, ADVICE))
