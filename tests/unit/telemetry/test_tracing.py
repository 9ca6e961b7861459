"""Spans: off without its variables, and true with them."""

import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from service.api.dispatch import Api
from service.api.http import ApiRequest, ApiResponse, Route
from service.domain.errors import NotFound, Unavailable
from service.domain.model import ByteStream
from service.domain.ports import ImageRepository
from service.runtime import Runtime, open_service
from service.server import listen
from service.settings import Settings, SettingsError
from service.telemetry.observed import observed
from service.telemetry.tracing import Tracer, opened_tracer
from service.upkeep.sweeper import Sweeper
from tests.pictures import picture
from tests.process.servers import serving

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


@dataclass
class Traced:
    """A service whose spans stay here."""

    api: Api
    exporter: InMemorySpanExporter

    async def dispatched(self, route: Route | None, **headers: str) -> ApiResponse:
        return await self.api.dispatch(route, ApiRequest("GET", "/a/secret", nothing(), headers=headers))

    def spans(self) -> dict[str, ReadableSpan]:
        return {each.name: each for each in self.exporter.get_finished_spans()}


async def nothing() -> ByteStream:
    for each in ():
        yield each


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    async with open_service(Settings(data_dir=tmp_path)) as opened:
        yield opened


@pytest.fixture
async def traced(runtime: Runtime) -> Traced:
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer, services = Tracer(provider.get_tracer("test")), runtime.api.services
    records = observed(services.depot.records, "records", ImageRepository, services.depot.metrics, tracer)
    depot = replace(services.depot, records=records, tracer=tracer)
    return Traced(Api(replace(services, depot=depot)), exporter)


def looking(api: Api, error: Exception | None = None) -> Route:
    """Return a route that asks the database, and then fails with the error if one is given."""

    async def look(request: ApiRequest) -> ApiResponse:
        await api.services.depot.records.image("none")
        if error:
            raise error
        return ApiResponse(200, body=b"12345")

    return Route("GET", "/a/{b}", "look", look)


async def test_a_request_is_a_span_and_each_call_of_a_backend_one_below_it(traced: Traced) -> None:
    await traced.dispatched(looking(traced.api))
    request, call = traced.spans()["look"], traced.spans()["records.image"]
    assert request.context
    assert call.parent
    assert (request.kind, call.kind) == (SpanKind.SERVER, SpanKind.CLIENT)
    assert request.parent is None
    assert call.parent.span_id == request.context.span_id
    assert dict(request.attributes or {}) == {"http.request.method": "GET", "http.response.status_code": 200}
    assert request.status.status_code is StatusCode.UNSET


async def test_it_is_below_the_span_that_the_client_names(traced: Traced) -> None:
    await traced.dispatched(looking(traced.api), traceparent=TRACEPARENT)
    request = traced.spans()["look"]
    assert request.context
    assert request.parent
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == PARENT


@pytest.mark.parametrize(
    "bad", ["", "nonsense", f"00-{'0' * 32}-{PARENT}-01", TRACEPARENT.upper() + "-\u00e9" * 999]
)
async def test_a_bad_traceparent_is_none(traced: Traced, bad: str) -> None:
    assert (await traced.dispatched(looking(traced.api), traceparent=bad)).status == 200
    assert traced.spans()["look"].parent is None


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound("of ada's secret"), 404, StatusCode.UNSET),
        (Unavailable("of ada's secret"), 503, StatusCode.ERROR),
        (RuntimeError("of ada's secret"), 500, StatusCode.ERROR),
    ],
)
async def test_only_what_is_the_service_s_fault_is_an_error(
    traced: Traced, error: Exception, status: int, code: StatusCode
) -> None:
    await traced.dispatched(looking(traced.api, error))
    request = traced.spans()["look"]
    assert (request.attributes or {})["http.response.status_code"] == status
    assert request.status.status_code is code
    assert "secret" not in request.to_json()


async def test_a_failed_call_tells_what_kind_of_failure_it_was(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracer = traced.api.services.depot.tracer
    assert tracer
    with pytest.raises(Unavailable), tracer.call("records", "image"):
        raise Unavailable("of ada's secret")
    call = traced.spans()["records.image"]
    assert dict(call.attributes or {}) == {"pixdepot.port": "records", "error.type": "Unavailable"}
    assert call.status.status_code is StatusCode.ERROR
    assert "secret" not in call.to_json()


async def test_what_is_for_no_operation_is_a_span_too(traced: Traced) -> None:
    assert (await traced.dispatched(None)).status == 404
    assert list(traced.spans()) == ["unrouted"]


async def test_a_round_of_the_sweeper_is_one_span_with_its_calls(traced: Traced) -> None:
    await Sweeper(traced.api.services.depot).sweep()
    sweep, call = traced.spans()["sweep"], traced.spans()["records.due"]
    assert sweep.context
    assert call.parent
    assert call.parent.span_id == sweep.context.span_id


async def test_the_log_names_the_trace(traced: Traced, caplog: pytest.LogCaptureFixture) -> None:
    from service.telemetry.logs import Requested

    caplog.handler.addFilter(Requested())
    with caplog.at_level(logging.INFO, "service.api.dispatch"):
        await traced.dispatched(looking(traced.api), traceparent=TRACEPARENT)
    assert [vars(each)["trace_id"] for each in caplog.records if each.message == "answered"] == [TRACE]


# ---------------------------------------------------------------- who asks for it


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SERVICE_NAME": "pictures"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
    ],
)
async def test_without_a_place_to_send_them_to_there_are_no_spans(environ: Mapping[str, str]) -> None:
    async with opened_tracer(environ) as tracer:
        assert tracer is None


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_EXPORTER": "console"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"},
    ],
)
async def test_with_one_there_are(environ: Mapping[str, str]) -> None:
    async with opened_tracer(environ) as tracer:
        assert tracer


async def test_an_exporter_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(SettingsError, match="OTEL_TRACES_EXPORTER must be"):
        async with opened_tracer({"OTEL_TRACES_EXPORTER": "zipkin"}):
            pass


def test_without_the_packages_it_says_so_and_goes_on() -> None:
    script = (
        "import asyncio, sys; sys.modules['opentelemetry.sdk'] = None\n"
        "from service.telemetry.tracing import opened_tracer\n"
        "async def main():\n"
        "    async with opened_tracer({'OTEL_TRACES_EXPORTER': 'otlp'}) as tracer: print(tracer)\n"
        "asyncio.run(main())"
    )
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert ran.stdout == "None\n"
    assert "install pixdepot[otel]" in ran.stderr


# ---------------------------------------------------------------- a server, and a collector


@dataclass
class Collector:
    """Takes spans by OTLP over HTTP."""

    url: str
    spans: list[Any] = field(default_factory=list)
    services: set[str] = field(default_factory=set)

    async def take(self, request: web.Request) -> web.Response:
        for resource in ExportTraceServiceRequest.FromString(await request.read()).resource_spans:
            self.services |= {each.value.string_value for each in resource.resource.attributes
                              if each.key == "service.name"}  # fmt: skip
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return web.Response()


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    listening = listen("127.0.0.1", 0)
    collector, app = Collector(f"http://127.0.0.1:{listening.getsockname()[1]}"), web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    yield collector
    await runner.cleanup()


async def test_a_server_sends_its_spans_and_the_last_at_its_end(collector: Collector, tmp_path: Path) -> None:
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "60000"}
    async with serving(tmp_path, **variables) as server:
        client = replace(server.api, headers={"traceparent": TRACEPARENT})
        assert (await client.upload(picture(), user_id="ada-the-secret")).status == 201
        server.process.terminate()
        assert await server.ended() == 0
    assert collector.services == {"pixdepot"}
    named = {each.name: each for each in collector.spans}
    assert {"upload_image", "objects.put", "records.publish"} <= named.keys()
    assert named["upload_image"].trace_id.hex() == TRACE
    assert named["records.publish"].parent_span_id == named["upload_image"].span_id
    assert "ada-the-secret" not in str(collector.spans)


async def test_a_collector_that_is_down_hinders_nobody(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as unused:
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
    async with serving(tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=nowhere, OTEL_BSP_SCHEDULE_DELAY="50") as server:
        assert (await server.api.upload()).status == 201
        ending = time.monotonic()
        server.process.terminate()
        assert await server.ended() == 0
        assert time.monotonic() - ending < 10
