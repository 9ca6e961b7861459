"""What is counted, how it is read at /metrics, and who may."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.api.dispatch import Api
from service.api.http import ApiRequest, ApiResponse, Route
from service.domain import model
from service.domain.errors import ObjectMissing, Unavailable
from service.domain.model import ByteStream
from service.domain.ports import ImageRepository, ObjectStore
from service.operations.admission import Budget
from service.runtime import Runtime, open_service
from service.settings import Settings, SettingsError
from service.telemetry.metrics import BUCKETS, Durations, Metrics
from service.telemetry.observed import observed
from tests.api.client import Answer, ApiClient
from tests.api.conftest import server_on_local
from tests.issuer import running_issuer
from tests.pictures import picture

TOKEN = "a-token-of-24-characters"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


async def scraped(api: ApiClient, **headers: str) -> Answer:
    return await api.fetch(f"{api.base_url}/metrics", headers=headers)


class Scrape:
    """What /metrics said, read by Prometheus's own parser."""

    def __init__(self, text: str) -> None:
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        """Return one number, 0 where there is none."""
        return self._samples.get((f"pixdepot_{name}", frozenset(labels.items())), 0)

    def labels(self) -> set[tuple[str, str]]:
        """Return every label there is with every value it has."""
        return {each for _, labels in self._samples for each in labels}


async def read(api: ApiClient) -> Scrape:
    answer = await scraped(api)
    assert answer.status == 200
    return Scrape(answer.body.decode())


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[ApiClient]:
    """Return a server that nobody else speaks to."""
    async with server_on_local(tmp_path) as client:
        yield client


# ---------------------------------------------------------------- at /metrics


async def test_prometheus_is_told_the_format(api: ApiClient) -> None:
    answer = await scraped(api)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_requests_are_counted_by_operation_and_status(api: ApiClient) -> None:
    for path in ("/images", "/images", "/images?limit=0", "/images/none", "/nowhere/at/all"):
        await api.get(path)
    seen = await read(api)
    assert seen("requests_total", operation="list_images", status="200") == 2
    assert seen("requests_total", operation="list_images", status="400") == 1
    assert seen("requests_total", operation="get_image", status="404") == 1
    assert seen("requests_total", operation="unrouted", status="404") == 1
    assert seen("request_duration_seconds_count", operation="list_images") == 3
    assert 0 < seen("request_duration_seconds_sum", operation="list_images") < 30
    assert (await read(api))("requests_total", operation="get_metrics", status="200") == 1


async def test_what_is_not_http_counts_as_well(api: ApiClient) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(api.base_url.rpartition(":")[2]))
    writer.write(b"nonsense\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()
    assert (await read(api))("requests_total", operation="unrouted", status="400") == 1


async def test_bytes_are_those_that_came_and_those_that_went(api: ApiClient) -> None:
    data = picture(size=(300, 200), noise=True)
    image = await api.uploaded(data)
    downloaded = await api.get(f"/images/{image['image_id']}?download=true")
    assert downloaded.body == data
    seen = await read(api)
    assert seen("response_bytes_total", operation="get_image") == len(data)
    assert len(data) * 4 / 3 < seen("request_bytes_total", operation="upload_image") < len(data) * 4 / 3 + 1000


async def test_a_body_that_is_only_announced_does_not_count(api: ApiClient) -> None:
    refused = await api.request("POST", "/images", body=b"{}", headers={"Content-Type": "text/plain"})
    assert refused.outcome == (415, "unsupported_media_type")
    await api.request("HEAD", "/images")
    seen = await read(api)
    assert seen("request_bytes_total", operation="upload_image") == 0
    assert seen("response_bytes_total", operation="list_images") == 0


async def test_calls_of_the_backend_are_counted_by_port(api: ApiClient) -> None:
    await api.uploaded()
    seen = await read(api)
    assert seen("backend_calls_total", port="objects", call="put", outcome="ok") >= 1
    assert seen("backend_calls_total", port="records", call="publish", outcome="ok") == 1
    assert seen("backend_calls_total", port="records", call="publish", outcome="failed") == 0
    assert seen("backend_call_duration_seconds_count", port="records", call="publish") == 1
    assert 0 < seen("backend_call_duration_seconds_sum", port="records", call="publish") < 30


async def test_memory_that_may_be_lent_is_told(api: ApiClient) -> None:
    seen = await read(api)
    assert seen("admission_limit_bytes", budget="bodies") == Settings().body_memory
    assert seen("admission_limit_bytes", budget="decodes") == Settings().decode_memory
    assert seen("admission_lent_bytes", budget="bodies") == 0


async def test_nothing_that_a_client_says_becomes_a_label(api: ApiClient) -> None:
    image = await api.uploaded(user_id="ada-of-nowhere", title="A secret place", tags=["hidden"])
    await api.get("/images?user_id=ada-of-nowhere")
    await api.get(f"/images/{image['image_id']}")
    await api.get("/ada-of-nowhere", headers={"X-Request-ID": "ada-of-nowhere"})
    await api.request("BREW", "/images")
    answer = await scraped(api)
    for each in ("ada", "secret", "hidden", image["image_id"], "BREW", "127.0.0.1"):
        assert each not in answer.body.decode()
    named = {value for name, value in Scrape(answer.body.decode()).labels() if name == "operation"}
    assert named == {"upload_image", "list_images", "get_image", "unrouted"}


async def test_where_callers_have_tokens_nobody_may_read_it(tmp_path: Path) -> None:
    async with running_issuer() as issuer, server_on_local(tmp_path, **issuer.settings) as api:
        signed_in = {"Authorization": f"Bearer {issuer.token('ada')}"}
        assert (await scraped(api)).outcome == (404, "not_found")
        assert (await scraped(api, **signed_in)).outcome == (404, "not_found")


@pytest.mark.parametrize("auth", ["open", "jwt"])
async def test_a_token_of_its_own_opens_it(auth: str, tmp_path: Path) -> None:
    async with running_issuer() as issuer:
        settings: dict[str, Any] = issuer.settings if auth == "jwt" else {}
        async with server_on_local(tmp_path, metrics_token=TOKEN, **settings) as api:
            assert (await scraped(api, Authorization=f"bearer {TOKEN}")).status == 200
            for wrong in ({}, {"Authorization": "Bearer x" + TOKEN}, {"Authorization": f"Basic {TOKEN}"}):
                refused = await scraped(api, **wrong)
                assert refused.outcome == (401, "unauthorized")
                assert "Bearer" in refused.headers["WWW-Authenticate"]


def test_its_token_is_not_shown_with_the_settings() -> None:
    settings = Settings.from_env({"PIXDEPOT_METRICS_TOKEN": TOKEN})
    assert settings.metrics_token == TOKEN
    assert TOKEN not in repr(settings)
    with pytest.raises(SettingsError, match=r"PIXDEPOT_METRICS_TOKEN must be .*"):
        Settings.from_env({"PIXDEPOT_METRICS_TOKEN": "too short"})


# ---------------------------------------------------------------- how it is counted


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0, 0), (0.001, 0), (0.0011, 1), (0.3, BUCKETS.index(0.5)), (10, len(BUCKETS) - 1), (11, len(BUCKETS))],
)
def test_a_bound_belongs_to_the_bucket_below_it(seconds: float, bucket: int) -> None:
    durations = Durations()
    durations.add(seconds)
    assert durations.counts.index(1) == bucket
    assert durations.total == seconds


class Port(Protocol):
    """As much of a port as there are kinds of methods."""

    async def put(self, key: str) -> None: ...
    async def copy(self, source: str, target: str) -> None: ...
    async def open(self, key: str) -> None: ...
    def list(self, prefix: str) -> AsyncIterator[str]: ...
    async def presign_downloads(self) -> str: ...


class Storage:
    """One that raises what it is told to, and copies by putting."""

    origin = "http://storage.example"

    def __init__(self) -> None:
        self.error: BaseException | None = None

    async def put(self, key: str) -> None:
        if self.error:
            raise self.error

    async def copy(self, source: str, target: str) -> None:
        await self.put(target)

    async def open(self, key: str) -> None:
        await asyncio.Event().wait()

    async def list(self, prefix: str) -> AsyncIterator[str]:
        for each in "abc":
            yield each
            if self.error:
                raise self.error

    async def presign_downloads(self) -> str:
        return "a link"


class Watched:
    """A storage, seen through `observed`."""

    def __init__(self) -> None:
        self.storage, self.metrics = Storage(), Metrics()
        self.port: Any = observed(self.storage, "objects", Port, self.metrics)

    def outcomes(self, call: str) -> dict[str, int]:
        return dict(self.metrics.calls["objects", call].outcomes)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ObjectMissing(), "ok"),  # that there is none is an answer
        (Unavailable(), "failed"),
        (ConnectionResetError(), "failed"),
        (asyncio.CancelledError(), "cancelled"),
    ],
)
async def test_what_a_call_raised_says_what_it_came_to(error: BaseException, outcome: str) -> None:
    watched = Watched()
    watched.storage.error = error
    with pytest.raises(type(error)):
        await watched.port.put("key")
    assert watched.outcomes("put") == {outcome: 1}


async def test_a_call_that_is_cut_off_is_told_apart(tmp_path: Path) -> None:
    watched = Watched()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await watched.port.open("key")
    assert watched.outcomes("open") == {"cancelled": 1}
    assert watched.metrics.calls["objects", "open"].durations.total >= 0.01


async def test_a_stream_counts_once_however_it_ends() -> None:
    watched = Watched()
    assert [each async for each in watched.port.list("")] == ["a", "b", "c"]
    async with aclosing(watched.port.list("")) as stream:
        assert await anext(stream) == "a"
    assert watched.outcomes("list") == {"ok": 2}
    watched.storage.error = Unavailable()
    with pytest.raises(Unavailable):
        [each async for each in watched.port.list("")]
    assert watched.outcomes("list") == {"ok": 2, "failed": 1}


async def test_what_a_port_calls_of_itself_and_what_asks_no_backend_is_not_counted() -> None:
    watched = Watched()
    await watched.port.copy("a", "b")
    assert await watched.port.presign_downloads() == "a link"
    assert (watched.outcomes("copy"), watched.outcomes("put")) == ({"ok": 1}, {})
    assert ("objects", "presign_downloads") not in watched.metrics.calls
    assert watched.port.origin == Storage.origin


@pytest.mark.parametrize("kind", [ObjectStore, ImageRepository])
async def test_every_method_of_a_port_is_watched(kind: type, tmp_path: Path) -> None:
    name = {ObjectStore: "objects", ImageRepository: "records"}[kind]
    async with open_service(Settings(data_dir=tmp_path)) as runtime:
        counted = {call for port, call in runtime.api.services.depot.metrics.calls if port == name}
    methods = {each for each in vars(kind) if not each.startswith("_")}
    assert counted == methods - {"check_room", "presign_upload", "presign_downloads", "secret"}


# ---------------------------------------------------------------- the sweeper, admission, requests


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    async with open_service(Settings(data_dir=tmp_path)) as opened:
        yield opened


async def test_rounds_of_the_sweeper_are_counted(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    depot = runtime.api.services.depot
    sweeps = depot.metrics.sweeps
    await runtime.sweeper.sweep()
    assert (dict(sweeps.outcomes), sweeps.due, sweeps.removed) == ({"ok": 1}, 0, 0)
    assert sweeps.last > 0

    async def down(*_: object) -> None:
        raise Unavailable

    monkeypatch.setattr(depot.records, "due", down)
    with pytest.raises(Unavailable):
        await runtime.sweeper.sweep()
    assert dict(sweeps.outcomes) == {"ok": 1, "failed": 1}


async def test_what_a_round_found_and_removed_is_counted(tmp_path: Path) -> None:
    async with server_on_local(tmp_path) as api:
        await api.begun(picture())
    async with open_service(Settings(data_dir=tmp_path), lambda: model.now() + timedelta(days=1)) as tomorrow:
        await tomorrow.sweeper.sweep()
        sweeps = tomorrow.api.services.depot.metrics.sweeps
        assert (sweeps.due, sweeps.removed, sweeps.failed) == (1, 1, 0)
        await tomorrow.sweeper.sweep()
        assert (sweeps.due, sweeps.removed, sweeps.outcomes["ok"]) == (0, 1, 2)


async def test_who_finds_no_room_is_counted() -> None:
    budget = Budget(10, patience=0.01)
    async with budget.admitted(8):
        assert budget.lent == 8
        with pytest.raises(Unavailable):
            async with budget.admitted(3):
                pass
    assert (budget.refused, budget.lent) == (1, 0)


async def chunks(*given: bytes) -> ByteStream:
    for each in given:
        yield each


async def half(request: ApiRequest) -> ApiResponse:
    await anext(request.body)
    return ApiResponse(200, body=chunks(b"12345", b"67"), length=7)


async def test_of_bodies_only_what_was_read_and_sent_counts(runtime: Runtime) -> None:
    api: Api = runtime.api
    answer = await api.dispatch(Route("POST", "/", "half", half), ApiRequest("POST", "/", chunks(b"abc", b"d")))
    counted = api.services.depot.metrics.requests["half"]
    assert (counted.bytes_in, counted.bytes_out) == (3, 0)
    assert not isinstance(answer.body, bytes)
    await anext(answer.body)
    assert counted.bytes_out == 5
