"""An HTTP proxy in this process that makes the server behind it slow, silent, busy or gone, and counts requests.

Requests and answers pass as they are, streamed, the Host header included, so signatures made for the proxy's URL
hold behind it. What it says itself, it says as S3 or DynamoDB would.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum

from aiohttp import ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from bootstrap.processes import LOOPBACK

# What is said to one's neighbour on the way, not to the server at its end.
_HOP_BY_HOP = (
    "Connection",
    "Expect",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
)
_ADDED_UNLESS_TOLD = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class Fault(StrEnum):
    """What becomes of a request that the proxy was told to spoil."""

    NOT_DONE = "answered with 500 in place of being done"
    DONE_THEN_500 = "done, but answered with 500"
    CUT = "the connection cut in place of being done"
    DONE_THEN_CUT = "done, but the connection cut in place of an answer"
    THROTTLED = "refused as one too many"
    HANGS = "neither done nor answered, until the client gives up"
    DONE_THEN_HANGS = "done, but never answered"

    @property
    def is_done(self) -> bool:
        """Return whether the request is done all the same."""
        return self.name.startswith("DONE")

    @property
    def is_quick(self) -> bool:
        """Return whether the client learns of it at once."""
        return not self.name.endswith("HANGS")


Accident = Callable[[web.Request], Awaitable[Fault | None]]
Instead = Callable[[web.Request], web.Response | None]


async def _no_accident(_: web.Request) -> Fault | None:
    return None


def _nothing_instead(_: web.Request) -> web.Response | None:
    return None


class Proxy:
    """Forwards to `upstream`. `delay` (seconds before each request goes on) may be changed at any time.

    `calls` counts requests as they come in, by operation: `PutItem`, `Query` ... of DynamoDB, `PutObject` ... of
    S3. `faults` spoils the nth request of an operation, counted as in `calls`, once. `accident` is asked what
    becomes of each other request, and may take its time; `instead` may answer it. While `throttling` is an error's
    code, everything is refused with it. Of an object's bytes `most_of_object` pass, if that is set, and the
    connection is cut; or the answer just ends, if it `ends_early`. `request_headers` and `answer_headers` take the
    place of those that pass.
    """

    def __init__(self, upstream: str, session: ClientSession, port: int) -> None:
        self.delay = 0.0
        self.calls: Counter[str] = Counter()
        self.faults: dict[tuple[str, int], Fault] = {}
        self.accident: Accident = _no_accident
        self.instead: Instead = _nothing_instead
        self.throttling = ""
        self.most_of_object: int | None = None
        self.ends_early = False
        self.request_headers: dict[str, str] = {}
        self.answer_headers: dict[str, str] = {}
        self._upstream = upstream
        self._session = session
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._called = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = port

    @property
    def url(self) -> str:
        """The proxy's own URL, the same for its whole life."""
        return f"http://{LOOPBACK}:{self._port}"

    async def until_called(self, times: int) -> None:
        """Return when so many requests have come in."""
        while self.calls.total() < times:
            self._called.clear()
            await self._called.wait()

    def hang(self) -> None:
        """Take connections and requests from now on, and answer nothing."""
        self._flowing.clear()

    async def refuse(self) -> None:
        """Close every connection, those of requests under way too, and take no new one."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def resume(self) -> None:
        """Forward again; requests that hang and whose client still waits go on. The port stays the same."""
        self._flowing.set()
        if self._runner is None:
            self._runner = _runner(self._forward)
            await self._runner.setup()
            await web.TCPSite(self._runner, LOOPBACK, self._port).start()
            self._port = self._runner.addresses[0][1]

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        name = operation(request)
        self.calls[name] += 1
        fault = self.faults.pop((name, self.calls[name]), None)
        self._called.set()
        fault = fault or await self.accident(request)
        await self._flowing.wait()
        await asyncio.sleep(self.delay)
        if self.throttling:
            return await _throttled(request, self.throttling)
        if fault and not fault.is_done:
            return await _spoiled(request, fault)
        if (answer_instead := self.instead(request)) is not None:
            await request.read()
            return answer_instead
        async with self._session.request(
            request.method,
            URL(self._upstream + request.raw_path, encoded=True),
            headers=_passed_on(request.headers, self.request_headers),
            data=request.content if request.body_exists else None,
            allow_redirects=False,
        ) as answer:
            if fault:
                await answer.read()
                return await _spoiled(request, fault)
            response = web.StreamResponse(
                status=answer.status, reason=answer.reason, headers=_passed_on(answer.headers, self.answer_headers)
            )
            return await self._pass_on(request, answer, response)

    async def _pass_on(
        self, request: web.Request, answer: ClientResponse, response: web.StreamResponse
    ) -> web.StreamResponse:
        left = self.most_of_object if operation(request) == "GetObject" else None
        if left is not None and self.ends_early:
            del response.headers["Content-Length"]  # then only the range tells how much was to come
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk[:left])
            if left is not None and (left := left - len(chunk)) <= 0:
                if not self.ends_early:
                    assert request.transport is not None
                    request.transport.abort()
                break
        await response.write_eof()
        return response


@asynccontextmanager
async def proxied(upstream: str, port: int = 0) -> AsyncIterator[Proxy]:
    """Run a proxy to the server at `upstream` (scheme, host and port) for the length of the block.

    It listens on `port`, or on a free one.
    """
    async with ClientSession(
        connector=TCPConnector(limit=0),
        timeout=ClientTimeout(),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=_ADDED_UNLESS_TOLD,
    ) as session:
        proxy = Proxy(upstream, session, port)
        await proxy.resume()
        try:
            yield proxy
        finally:
            await proxy.refuse()


_S3 = {
    ("PUT", False): "CreateBucket",
    ("HEAD", False): "HeadBucket",
    ("GET", False): "ListObjectsV2",
    ("POST", False): "DeleteObjects",
    ("PUT", True): "PutObject",
    ("HEAD", True): "HeadObject",
    ("GET", True): "GetObject",
    ("DELETE", True): "DeleteObject",
}


def operation(request: web.Request) -> str:
    """Return what a request asks for, as `Proxy.calls` names it."""
    if _is_dynamodb(request):
        return request.headers["X-Amz-Target"].rpartition(".")[2]
    if "x-amz-copy-source" in request.headers:
        return "CopyObject"
    has_key = "/" in request.path.strip("/")
    return _S3.get((request.method, has_key), request.method)


def _is_dynamodb(request: web.Request) -> bool:
    return "X-Amz-Target" in request.headers


async def _refusal(request: web.Request, status: int, code: str) -> web.Response:
    while await request.content.readany():
        pass
    if _is_dynamodb(request):
        problem = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "The proxy says so."}
        return web.Response(status=status, text=json.dumps(problem), content_type="application/x-amz-json-1.0")
    document = f"<Error><Code>{code}</Code><Message>The proxy says so.</Message></Error>"
    return web.Response(status=status, text=document, content_type="application/xml")


async def _throttled(request: web.Request, code: str) -> web.Response:
    return await _refusal(request, 400 if _is_dynamodb(request) else 503, code)


async def _spoiled(request: web.Request, fault: Fault) -> web.Response:
    if not fault.is_quick:
        await asyncio.Event().wait()  # until the client leaves, which ends this
    if fault in {Fault.CUT, Fault.DONE_THEN_CUT}:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()  # to nobody
    if fault is Fault.THROTTLED:
        return await _throttled(request, "ThrottlingException" if _is_dynamodb(request) else "SlowDown")
    return await _refusal(request, 500, "InternalServerError" if _is_dynamodb(request) else "InternalError")


def _runner(forward: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.AppRunner:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", forward)
    return web.AppRunner(
        application,
        access_log=None,
        auto_decompress=False,
        # A request that hangs ends with its client: forwarded later, it would be a write out of nowhere.
        handler_cancellation=True,
        # To refuse is to cut everyone off. (0 would wait for ever.)
        shutdown_timeout=0.01,
    )


def _passed_on(headers: CIMultiDictProxy[str], others: dict[str, str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in (*_HOP_BY_HOP, *others):
        kept.popall(name, None)
    kept.update(others)
    return kept


async def _main(upstream: str, delay: float) -> None:
    async with proxied(upstream) as proxy:
        proxy.delay = delay
        print(proxy.url, flush=True)  # noqa: T201 - whoever started this reads it
        await asyncio.Event().wait()


if __name__ == "__main__":  # in a process of its own, where its work is not to count as the service's
    asyncio.run(_main(sys.argv[1], float(sys.argv[2])))
