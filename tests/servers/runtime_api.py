"""A function as Lambda runs it: AWS's own runtime client, fed by a stand-in for the Runtime API.

The client is in an environment of its own, with nothing else installed; the function's code is the unpacked zip.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web

from bootstrap.processes import LOOPBACK, Child, installed_python, path_variable, running_child

RUNTIME_CLIENT = "awslambdaric==4.2.2"
_VERSION = "/2018-06-01/runtime"
_ARN = "arn:aws:lambda:us-east-1:123456789012:function:pixdepot"
_WITHIN = 60.0  # seconds for an invocation, the first of which starts the service


Within = Callable[..., AbstractContextManager[tuple[str, ...]]]  # makes a command line of another, that limits it


@contextmanager
def unlimited(*command: str) -> Iterator[tuple[str, ...]]:
    """Return a command line as it is."""
    yield command


def install() -> Path:
    """Return the Python that has the runtime client; the first call on a machine installs it (some seconds)."""
    return installed_python(RUNTIME_CLIENT)


class FunctionError(Exception):
    """The function raised, or could not be imported: what the runtime client reported of it."""

    def __init__(self, report: dict[str, Any]) -> None:
        super().__init__(f"{report.get('errorType')}: {report.get('errorMessage')}")
        self.kind, self.message = report.get("errorType"), report.get("errorMessage", "")


@dataclass
class Function:
    """A running function. Invocations come one by one, as Lambda sends them to one execution environment."""

    child: Child
    _events: "asyncio.Queue[tuple[str, Any]]"
    _answers: dict[str, asyncio.Future[Any]]

    async def invoke(self, event: Any) -> Any:
        """Return the function's answer to an event. Raises FunctionError."""
        request_id = str(uuid4())
        self._answers[request_id] = answer = asyncio.get_running_loop().create_future()
        await self._events.put((request_id, event))
        ended = asyncio.create_task(self.child.process.wait())
        await asyncio.wait({answer, ended}, timeout=_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        assert answer.done(), f"no answer; the function's last words:\n{self.log}"
        return answer.result()

    @property
    def log(self) -> str:
        """Return what the function has printed."""
        return self.child.log.read_text(errors="replace")


@dataclass
class _RuntimeApi:
    """The stand-in's routes."""

    events: "asyncio.Queue[tuple[str, Any]]" = field(default_factory=asyncio.Queue)
    answers: dict[str, asyncio.Future[Any]] = field(default_factory=dict)

    async def next(self, _: web.Request) -> web.Response:
        request_id, event = await self.events.get()
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(int((time.time() + _WITHIN) * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": _ARN,
            "Lambda-Runtime-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
        }
        return web.Response(body=json.dumps(event).encode(), content_type="application/json", headers=headers)

    async def response(self, request: web.Request) -> web.Response:
        self.answers.pop(request.match_info["id"]).set_result(json.loads(await request.read()))
        return web.json_response({"status": "OK"}, status=202)

    async def error(self, request: web.Request) -> web.Response:
        self.answers.pop(request.match_info["id"]).set_exception(FunctionError(json.loads(await request.read())))
        return web.json_response({"status": "OK"}, status=202)

    async def init_error(self, request: web.Request) -> web.Response:
        report = json.loads(await request.read())
        while self.answers:
            self.answers.popitem()[1].set_exception(FunctionError(report))
        return web.json_response({"status": "OK"}, status=202)


@asynccontextmanager
async def _serving(api: _RuntimeApi) -> AsyncIterator[str]:
    app = web.Application(client_max_size=16 * 2**20)
    app.router.add_get(f"{_VERSION}/invocation/next", api.next)
    app.router.add_post(f"{_VERSION}/invocation/{{id}}/response", api.response)
    app.router.add_post(f"{_VERSION}/invocation/{{id}}/error", api.error)
    app.router.add_post(f"{_VERSION}/init/error", api.init_error)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.01)
    await runner.setup()
    try:
        site = web.TCPSite(runner, LOOPBACK, 0)
        await site.start()
        yield f"{LOOPBACK}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def running_function(
    handler: str,
    code: Path,
    log: Path,
    *,
    memory: int = 1769,
    within: Within = unlimited,
    **environment: str,
) -> AsyncIterator[Function]:
    """Run a function of a directory with its unpacked zip, with so many MB of memory, for the length of the block.

    `within` is the context it runs in, which may limit it.
    """
    python, api = await asyncio.to_thread(install), _RuntimeApi()
    async with _serving(api) as address:
        env = {
            **path_variable(),
            "AWS_LAMBDA_RUNTIME_API": address,
            "AWS_LAMBDA_FUNCTION_NAME": "pixdepot",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "LAMBDA_TASK_ROOT": str(code),
            "PYTHONPATH": str(code),
            "_HANDLER": handler,
            "HOME": str(log.parent),
            **environment,
        }
        with within(str(python), "-m", "awslambdaric", handler) as command:
            async with running_child(command, env=env, log=log) as child:
                yield Function(child, api.events, api.answers)
