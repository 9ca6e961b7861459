"""The metrics in Prometheus's text format.

The module uses its own registry, so that it exposes only the metrics named here. Each scrape reads the numbers from
`Metrics`, so that they are stored only once.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.registry import Collector

from .metrics import BUCKETS, Calls, Durations, Lending, Metrics, Requests

__all__ = ["CONTENT_TYPE", "exposition"]

_BOUNDS = [*(str(each) for each in BUCKETS), "+Inf"]


def exposition(metrics: Metrics, lending: Callable[[], Mapping[str, Lending]]) -> Callable[[], bytes]:
    """Return a function that renders all metrics in Prometheus's text format (CONTENT_TYPE), in milliseconds.

    `lending` returns the state of each memory budget. The function is safe to call in any thread.
    """
    registry = CollectorRegistry()
    registry.register(_Counted(metrics, lending))
    ProcessCollector(registry=registry)
    return lambda: generate_latest(registry)


class _Counted(Collector):
    def __init__(self, metrics: Metrics, lending: Callable[[], Mapping[str, Lending]]) -> None:
        self._metrics, self._lending = metrics, lending

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        yield from _of_requests(self._metrics.requests.copy())
        yield from _of_calls(self._metrics.calls.copy())
        yield from self._of_sweeps()
        yield from self._of_admission()

    def _of_sweeps(self) -> Iterator[Metric]:
        sweeps = self._metrics.sweeps
        rounds = CounterMetricFamily("pixdepot_sweep_rounds", "Rounds of the sweeper.", labels=["outcome"])
        for outcome in ("ok", "failed"):
            rounds.add_metric([outcome], sweeps.outcomes[outcome])
        yield rounds
        yield CounterMetricFamily("pixdepot_sweep_removed", "Uploads that were swept away.", sweeps.removed)
        failed = "Uploads that a round could not remove; the next one tries again."
        yield CounterMetricFamily("pixdepot_sweep_failed", failed, sweeps.failed)
        yield GaugeMetricFamily("pixdepot_sweep_due", "Uploads that the last round found due.", sweeps.due)
        last = "When the last round ended that was ok; 0 before the first."
        yield GaugeMetricFamily("pixdepot_sweep_last_success_timestamp_seconds", last, sweeps.last)

    def _of_admission(self) -> Iterator[Metric]:
        lent = GaugeMetricFamily("pixdepot_admission_lent_bytes", "Memory in use for pictures.", labels=["budget"])
        limit = GaugeMetricFamily("pixdepot_admission_limit_bytes", "The most there may be.", labels=["budget"])
        told = "Requests that found no room in time."
        refused = CounterMetricFamily("pixdepot_admission_refused", told, labels=["budget"])
        for name, budget in self._lending().items():
            lent.add_metric([name], budget.lent)
            limit.add_metric([name], budget.total)
            refused.add_metric([name], budget.refused)
        yield from (lent, limit, refused)


def _of_requests(counted: dict[str, Requests]) -> Iterator[Metric]:
    answered = CounterMetricFamily(
        "pixdepot_requests", "Requests that were answered.", labels=["operation", "status"]
    )
    told = "From a request's head to its answer, before that is sent."
    lasted = HistogramMetricFamily("pixdepot_request_duration_seconds", told, labels=["operation"])
    taken = CounterMetricFamily("pixdepot_request_bytes", "Bytes of bodies that were read.", labels=["operation"])
    given = CounterMetricFamily("pixdepot_response_bytes", "Bytes of bodies that were sent.", labels=["operation"])
    for operation, requests in sorted(counted.items()):
        for status, count in sorted(requests.statuses.copy().items()):
            answered.add_metric([operation, str(status)], count)
        _add(lasted, [operation], requests.durations)
        taken.add_metric([operation], requests.bytes_in)
        given.add_metric([operation], requests.bytes_out)
    return iter((answered, lasted, taken, given))


def _of_calls(counted: dict[tuple[str, str], Calls]) -> Iterator[Metric]:
    told = "Calls of the backend: objects are the storage, records the database."
    ended = CounterMetricFamily("pixdepot_backend_calls", told, labels=["port", "call", "outcome"])
    lasted = HistogramMetricFamily(
        "pixdepot_backend_call_duration_seconds", "How long they took.", labels=["port", "call"]
    )
    for (port, call), calls in sorted(counted.items()):
        for outcome in ("ok", "failed", "cancelled"):
            ended.add_metric([port, call, outcome], calls.outcomes[outcome])
        _add(lasted, [port, call], calls.durations)
    return iter((ended, lasted))


def _add(family: HistogramMetricFamily, labels: Iterable[str], durations: Durations) -> None:
    below = accumulate(durations.counts.copy())
    family.add_metric(list(labels), list(zip(_BOUNDS, below, strict=True)), durations.total)
