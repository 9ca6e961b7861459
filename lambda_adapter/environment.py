"""What one execution environment keeps between its invocations: an event loop, and the service opened on it."""

import asyncio
import os
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from service.runtime import Runtime, open_service
from service.settings import Settings, SettingsError

T = TypeVar("T")


class Environment:
    """One loop and one set of clients. Lambda freezes it between invocations, and never says goodbye."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._runtime: Runtime | None = None

    @property
    def runtime(self) -> Runtime:
        """Return the service, opened on first use with the settings given, or else those of the process."""
        if self._runtime is None:
            settings = self._settings or _of_this_process()
            self._runtime = self.run(self._stack.enter_async_context(open_service(settings)))
        return self._runtime

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the one loop, and return the result."""
        return self._runner.run(work)

    def close(self) -> None:
        """Close everything, for tests and for tools: Lambda itself never does."""
        self.run(self._stack.aclose())
        self._runner.close()


def _of_this_process() -> Settings:
    settings = Settings.from_env(os.environ)
    check_exposure(settings)
    return settings


def check_exposure(settings: Settings) -> None:
    """Raise SettingsError when anyone on the network could do anything as anyone."""
    if settings.auth == "open" and not settings.allow_open_auth:
        raise SettingsError(
            "API Gateway is open to everyone, and without tokens everyone can upload and delete as any user. "
            "Require tokens (PIXDEPOT_AUTH=jwt), or set PIXDEPOT_ALLOW_OPEN_AUTH=1 to allow this."
        )
