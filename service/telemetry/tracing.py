"""OpenTelemetry spans. Tracing is off, and the SDK is not imported, unless its variables (OTEL_*) enable it.

The SDK reads its variables; this module only checks whether an exporter is configured. A span contains the
operation, the method and the status of a request, but no path, query, user or error message.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from service.domain.errors import PixdepotError
from service.settings import SettingsError

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import SpanExporter

logger = logging.getLogger(__name__)

_LAST_SECONDS = 3.0  # for the last spans to be sent in
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class Answering:
    """The span of a request in progress."""

    def __init__(self, span: "trace.Span") -> None:
        self._span = span

    @property
    def trace_id(self) -> str:
        """Return the trace ID in hexadecimal, for the log."""
        return f"{self._span.get_span_context().trace_id:032x}"

    def answered(self, status: int) -> None:
        """Set the status of the response."""
        self._span.set_attribute("http.response.status_code", status)
        if status >= PixdepotError.status:
            _failed(self._span)


class Tracer:
    """Creates spans for the service's work."""

    def __init__(self, tracer: "trace.Tracer") -> None:
        self._tracer = tracer

    @contextmanager
    def request(self, operation: str, method: str, headers: Mapping[str, str]) -> Iterator[Answering]:
        """Create the span of a request, as a child of its traceparent (W3C Trace Context)."""
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        with self._span(operation, SpanKind.SERVER, {"http.request.method": method}, extract(headers)) as span:
            yield Answering(span)

    @contextmanager
    def call(self, port: str, method: str) -> Iterator[None]:
        """Create the span of one backend call."""
        from opentelemetry.trace import SpanKind

        with self._span(f"{port}.{method}", SpanKind.CLIENT, {"pixdepot.port": port}):
            yield

    @contextmanager
    def work(self, name: str) -> Iterator[None]:
        """Create the span of work without a request."""
        from opentelemetry.trace import SpanKind

        with self._span(name, SpanKind.INTERNAL, {}):
            yield

    @contextmanager
    def _span(
        self, name: str, kind: "trace.SpanKind", attributes: Mapping[str, str], parent: Any = None
    ) -> Iterator["trace.Span"]:
        with self._tracer.start_as_current_span(
            name,
            parent,
            kind,
            attributes,
            # Messages of errors are not for everybody who reads traces.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except BaseException as error:
                span.set_attribute("error.type", type(error).__qualname__)
                if not isinstance(error, PixdepotError) or error.status >= PixdepotError.status:
                    _failed(span)
                raise


def _failed(span: "trace.Span") -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR))


@asynccontextmanager
async def opened_tracer(environ: Mapping[str, str]) -> AsyncIterator[Tracer | None]:
    """Open a tracer, or None if `environ` does not enable it. Export the last spans within 3 seconds at the end.

    Raises SettingsError for an unknown exporter. If OpenTelemetry is not installed, log it and return None.
    """
    if not (names := _exporters(environ)):
        yield None
        return
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        logger.warning("OTEL_ variables enable tracing, but OpenTelemetry is not installed: install pixdepot[otel]")
        yield None
        return
    named = "OTEL_SERVICE_NAME" in environ or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    resource = Resource.create({} if named else {"service.name": "pixdepot"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for name in names:
        provider.add_span_processor(BatchSpanProcessor(_exporter(name)))
    try:
        yield Tracer(provider.get_tracer("pixdepot", version("pixdepot")))
    finally:
        # Where the collector is down this would take longer than most have patience with a server that stops.
        last = threading.Thread(target=provider.shutdown, daemon=True)
        last.start()
        await asyncio.to_thread(last.join, _LAST_SECONDS)


def _exporters(environ: Mapping[str, str]) -> list[str]:
    """Return the configured exporters by name, or OTLP if it has an endpoint."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    usual = "otlp" if any(environ.get(each) for each in _ENDPOINTS) else "none"
    names = (each.strip() for each in (environ.get("OTEL_TRACES_EXPORTER") or usual).split(","))
    return [each for each in names if each not in {"", "none"}]


def _exporter(name: str) -> "SpanExporter":
    if name == "otlp":
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    raise SettingsError("OTEL_TRACES_EXPORTER must be otlp (over HTTP), console or none.")
