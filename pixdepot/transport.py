"""Requests to the service and to its storage. The token goes to the service only."""

import json as jsonlib
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from .errors import APIError, ConnectionFailed, TimedOut, UnreadableAnswer, kind_of
from .proxies import proxy_for
from .retries import Attempts, retry_after


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered; `after_lost_answer` as in APIError."""

    document: Mapping[str, Any]
    etag: str | None
    after_lost_answer: bool


class Transport:
    """Speaks HTTP. `timeout` is in seconds: for a whole call of the API, for each piece of a transfer.

    With `trust_env` through the proxy that the environment names for a URL.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        token: str | None,
        timeout: float,
        max_retries: int,
        *,
        trust_env: bool = False,
    ) -> None:
        self.timeout = timeout
        self._max_retries = max_retries
        self._session = session
        self._base_url = base_url
        self._trust_env = trust_env
        self._authorization = {"Authorization": f"Bearer {token}"} if token else {}

    def attempts(self) -> Attempts:
        """Return a count of attempts that begins now."""
        return Attempts(self._max_retries)

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the service's answer, asking again where that may help: what is asked must be safe to repeat.

        Raises ConnectionFailed, TimedOut, UnreadableAnswer, and the APIError that was answered.
        """
        url = URL(self._base_url + path).with_query(params or {})
        body, described = None, {}
        if json is not None:
            body = jsonlib.dumps(json).encode()
            described = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        attempts = self.attempts()
        while True:
            try:
                return await self._called(method, url, {**described, **(headers or {})}, body, attempts.lost)
            except APIError as error:
                error.after_lost_answer = attempts.lost
                await attempts.again(error)
            except ConnectionFailed as error:
                await attempts.again(error)

    async def _called(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None, after_lost_answer: bool
    ) -> Answer:
        whole = aiohttp.ClientTimeout(total=self.timeout)
        sent = {**headers, **self._authorization}
        async with self._answer(method, url, sent, None if body is None else _once(body), whole) as response:
            if response.status >= 300:
                raise await refusal(response)
            return Answer(_document(await response.read()), response.headers.get("ETag"), after_lost_answer)

    @asynccontextmanager
    async def picture(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """GET bytes of the service, unread, whatever its answer."""
        url, sent = URL(self._base_url + path), {**headers, **self._authorization}
        async with self._answer("GET", url, sent, None, self._in_pieces) as response:
            yield response

    @asynccontextmanager
    async def storage(
        self, method: str, url: str, headers: Mapping[str, str], body: AsyncIterable[bytes] | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Follow a signed link into storage, exactly as it is, without the token. The answer is unread."""
        async with self._answer(method, URL(url, encoded=True), headers, body, self._in_pieces) as response:
            yield response

    @property
    def _in_pieces(self) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=None, sock_connect=self.timeout, sock_read=self.timeout)

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: AsyncIterable[bytes] | None,
        limits: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        with _translated(url):
            async with self._session.request(
                method,
                url,
                headers=headers,
                data=body,
                timeout=limits,
                proxy=proxy_for(url) if self._trust_env else None,
                # A redirect would take what was signed, or the token, to somewhere else.
                allow_redirects=False,
                raise_for_status=False,
            ) as response:
                yield response


async def _once(body: bytes) -> AsyncIterator[bytes]:
    """Yield a body. aiohttp sends some requests again by itself, but no iterator; `Attempts` has to know of it."""
    yield body


@contextmanager
def _translated(url: URL) -> Iterator[None]:
    """Raise what goes wrong on the way as errors of ours, which name the server and no more of a link."""
    try:
        yield
    except TimeoutError as error:
        raise TimedOut(f"{url.host} did not respond in time.") from error
    except aiohttp.ClientProxyConnectionError as error:
        raise ConnectionFailed(f"The proxy {error.host} cannot be reached: {error.strerror}", sent=False) from error
    except aiohttp.ClientHttpProxyError as error:
        raise ConnectionFailed(
            f"The proxy refused the connection to {url.host}: status {error.status}.", sent=False
        ) from error
    except aiohttp.ClientConnectorError as error:
        raise ConnectionFailed(f"{url.host} cannot be reached: {error.strerror}", sent=False) from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise ConnectionFailed(f"The connection to {url.host} failed ({type(error).__name__}).") from error


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        document = jsonlib.loads(body)
    except ValueError as error:
        raise UnreadableAnswer(
            "The response is not JSON: check that the URL belongs to a Pixdepot server."
        ) from error
    if not isinstance(document, dict):
        raise UnreadableAnswer(
            "The response is not a JSON object: check that the URL belongs to a Pixdepot server."
        )
    return document


async def refusal(response: aiohttp.ClientResponse) -> APIError:
    """Return the error that an answer amounts to. It may be a proxy's, which knows nothing of problem documents."""
    try:
        problem = _document(await response.read())
    except UnreadableAnswer:
        problem = {}
    return kind_of(response.status)(
        response.status,
        str(problem.get("code", "")),
        str(problem.get("detail", "")),
        request_id=str(problem.get("request_id", response.headers.get("X-Request-ID", ""))),
        errors=problem.get("errors"),
        retry_after=retry_after(response.headers.get("Retry-After")),
    )
