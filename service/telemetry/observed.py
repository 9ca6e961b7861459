"""Wrappers of the two ports that count, time and trace each call."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, cast

from service.domain.errors import PixdepotError, Unavailable

from .metrics import Calls, Metrics, Outcome
from .tracing import Tracer

T = TypeVar("T")

# They reckon and remember, and ask no backend: timing them would take longer than they do.
_LEFT_OUT = frozenset({"check_room", "presign_downloads", "presign_upload", "secret"})


def observed(port: T, name: str, kind: type, metrics: Metrics, tracer: Tracer | None = None) -> T:
    """Wrap an implementation of the port `kind`, and count, time and trace its calls under `name`.

    Calls between its own methods are not counted separately. Streams are not traced.
    """
    return cast(T, _Observed(port, name, kind, metrics, tracer))


def _methods(kind: type) -> list[str]:
    named = (name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_"))
    return [name for name in named if name not in _LEFT_OUT]


class _Observed:
    """Has what is observed as attributes of its own, and all else from the port."""

    def __init__(self, port: object, name: str, kind: type, metrics: Metrics, tracer: Tracer | None) -> None:
        self._port = port
        for method in _methods(kind):
            call, calls = getattr(port, method), metrics.calls[name, method]
            # As the port says: an implementation may stream by handing on another's stream.
            if not inspect.iscoroutinefunction(getattr(kind, method)):
                setattr(self, method, _stream(call, calls))
                continue
            traced = call if tracer is None else _traced(call, partial(tracer.call, name, method))
            setattr(self, method, _call(traced, calls))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


def _call(call: Callable[..., Awaitable[T]], calls: Calls) -> Callable[..., Awaitable[T]]:
    async def observed_call(*arguments: Any, **options: Any) -> T:
        with _Timed(calls):
            return await call(*arguments, **options)

    return observed_call


def _traced(
    call: Callable[..., Awaitable[T]], span: Callable[[], AbstractContextManager[None]]
) -> Callable[..., Awaitable[T]]:
    async def traced_call(*arguments: Any, **options: Any) -> T:
        with span():
            return await call(*arguments, **options)

    return traced_call


def _stream(call: Callable[..., AsyncIterator[T]], calls: Calls) -> Callable[..., AsyncIterator[T]]:
    async def observed_stream(*arguments: Any, **options: Any) -> AsyncIterator[T]:
        with _Timed(calls):  # what is done with each item counts, too
            async for each in call(*arguments, **options):
                yield each

    return observed_stream


class _Timed:
    """Counts and times its block."""

    __slots__ = ("_calls", "_started")

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._calls.ended(_outcome(error), time.perf_counter() - self._started)


def _outcome(error: BaseException | None) -> Outcome:
    """Return the outcome of a call that raised this error. A missing object is a normal result."""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    foreseen = isinstance(error, PixdepotError) and not isinstance(error, Unavailable)
    return "ok" if error is None or foreseen or isinstance(error, GeneratorExit) else "failed"
