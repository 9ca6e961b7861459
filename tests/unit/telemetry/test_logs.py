"""Each line is one JSON object that tells which request it belongs to, and carries no secret."""

import asyncio
import io
import json
import logging
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.dispatch import Api
from service.api.http import ApiRequest, ApiResponse, Route
from service.domain.errors import NotFound
from service.domain.model import ByteStream
from service.runtime import open_service
from service.settings import Settings
from service.telemetry import logs

SECRET = "5f2c9d1e7b"
HOST = "https://bucket.s3.eu-central-1.amazonaws.com"


class Terminal(io.StringIO):
    """A stream that says that a person looks at it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """Return a logger that nobody else hears."""
    logger = logging.Logger("service.test")
    yield logger
    logger.handlers.clear()


def heard(logger: logging.Logger, formatter: logging.Formatter) -> io.StringIO:
    """Return where a logger's lines go."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.addFilter(logs.Requested())
    logger.addHandler(handler)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """Return an error that has a traceback."""
    try:
        raise error from cause
    except type(error):
        return error


def test_a_line_tells_when_how_bad_who_and_what(log: logging.Logger) -> None:
    stream = heard(log, logs.JsonFormatter())
    log.warning("the %s is\nhere: “é”", "moment", extra={"image_id": "1", "nothing": None})
    (line,) = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    message = "the moment is\nhere: “é”"
    assert line == {"level": "WARNING", "logger": "service.test", "message": message, "image_id": "1"}


@pytest.mark.parametrize("odd", ["half of a pair: \ud83d", 2**70])
def test_what_utf_8_or_64_bits_cannot_hold_is_logged_all_the_same(log: logging.Logger, odd: object) -> None:
    stream = heard(log, logs.JsonFormatter())
    log.info("odd", extra={"found": odd})
    (line,) = lines(stream)
    assert (line["message"], line["found"]) == ("odd", odd)


def test_a_traceback_is_in_the_object_of_its_line(log: logging.Logger) -> None:
    stream = heard(log, logs.JsonFormatter())
    log.error("unforeseen", exc_info=raised(ValueError("no such luck")))
    (line,) = lines(stream)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: no such luck")


def test_at_a_terminal_a_line_is_for_people(log: logging.Logger) -> None:
    stream = heard(log, logs.PlainFormatter())
    log.info("answered", extra={"operation": "get_image", "status": 200})
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO answered operation=get_image status=200\n", stream.getvalue())


def test_what_is_logged_within_a_request_carries_its_id_and_what_was_noted() -> None:
    async def answer(name: str, log: logging.Logger) -> None:
        with logs.request(name):
            await asyncio.sleep(0)
            log.info("begun")
            logs.note(user=f"user {name}")
            await asyncio.gather(asyncio.to_thread(log.info, "in a thread"), asyncio.sleep(0))

    async def all_at_once() -> None:
        logger = logging.Logger("service.test")
        stream = heard(logger, logs.JsonFormatter())
        await asyncio.gather(*(answer(name, logger) for name in "abc"))
        logger.info("afterwards")
        *within, afterwards = lines(stream)
        for name in "abc":
            begun, threaded = [each for each in within if each["request_id"] == name]
            assert "user" not in begun
            assert threaded["user"] == f"user {name}"
        assert "request_id" not in afterwards

    asyncio.run(all_at_once())


def test_outside_of_a_request_a_note_is_nobody_s() -> None:
    logs.note(user="ada")
    record = logging.makeLogRecord({})
    assert logs.Requested().filter(record)
    assert not hasattr(record, "user")


# ---------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    "text",
    [
        f"{HOST}/images/1?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature={SECRET}",
        f"{HOST}/images/1?response-content-type=image%2Fpng&x={SECRET}",
        f'Could not connect to the endpoint URL: "{HOST}/images/1?list-type=2&continuation={SECRET}"',
        f"URL('http://127.0.0.1:9/storage/x?expires=1.0&signature={SECRET}')",
        f"/storage/images/x?expires=1.0&signature={SECRET}",
        f"X-Amz-Signature={SECRET}",
        f"x-amz-security-token: {SECRET}/+=",
        f"{{'X-Amz-Security-Token': '{SECRET}'}}",
        f"{{'x-amz-credential': '{SECRET}/20250101/eu/s3/aws4_request'}}",
        f"X-Amz-Signature%3D{SECRET}",
        f"[('signature', '{SECRET}'), ('policy', '{SECRET}')]",
        f"(b'Authorization', b'Bearer {SECRET}.{SECRET}-_')",
        f"Authorization: Bearer {SECRET}",
        f"authorization: Basic {SECRET}==",
        f"authorization={SECRET}",
        f"Authorization: AWS4-HMAC-SHA256 Credential={SECRET}/eu, SignedHeaders=host, Signature={SECRET}",
        f"bearer  {SECRET}",
        f"access_token={SECRET}&id_token={SECRET}",
        f"aws_session_token = {SECRET}",
        f"https://ada:{SECRET}@images.example/x",
        f"Cookie: {SECRET}",
    ],
)
def test_no_secret_is_logged_wherever_it_stands(text: str, log: logging.Logger) -> None:
    json_lines, plain_lines = heard(log, logs.JsonFormatter()), heard(log, logs.PlainFormatter())
    log.info(text)
    log.info("it was %s", text)
    log.info("as a fact", extra={"fact": text, "facts": {text: [text]}})
    log.warning("it failed", exc_info=raised(OSError(text), KeyError(text)))
    assert SECRET not in json_lines.getvalue() + plain_lines.getvalue()
    assert len(lines(json_lines)) == 4


@pytest.mark.parametrize(
    "text",
    [
        "a backend does not answer: EndpointConnectionError",
        "CopyObject: NoSuchBucket",
        "What? It is well; the signature does not match.",
        "image 0199-aa not imported: The image cannot be decoded.",
        'File "/srv/service/operations/images.py", line 12, in upload',
        f"{HOST}/images/1/original",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert logs.redacted(text) == text


pieces = st.sampled_from(
    [
        "?a=",
        "x-amz-signature",
        "token",
        "\x1f",
        "=",
        ":",
        "'",
        '"',
        "\\",
        "\\n",
        "Bearer ",
        "://",
        "@",
        "é",
        "}",
        "]",
        ",",
    ]
)


@given(st.lists(pieces | st.text(max_size=5), max_size=12).map("".join))
def test_what_was_json_is_json_without_its_secrets(text: str) -> None:
    for ensure_ascii in (True, False):
        json.loads(logs.redacted(json.dumps({"message": text, "exception": repr(text)}, ensure_ascii=ensure_ascii)))


# ---------------------------------------------------------------- the process's log


@pytest.mark.parametrize(("stream", "begins"), [(io.StringIO(), "{"), (Terminal(), "")])
def test_a_process_logs_json_but_to_people(
    stream: io.StringIO, begins: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, getattr(logging, name))  # as they were, afterwards
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        root.handlers.clear()
        logs.set_up(stream)
        logging.getLogger("service.test").info("hello")
        logging.getLogger("botocore.auth").info("StringToSign: %s", SECRET)
        said = stream.getvalue()
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.captureWarnings(False)
    assert said.startswith(begins)
    assert said.count("\n") == 1
    assert "hello" in said


# ---------------------------------------------------------------- an answered request


@pytest.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Api]:
    async with open_service(Settings(data_dir=tmp_path_factory.mktemp("logs"))) as runtime:
        yield runtime.api


@pytest.fixture
def answered() -> Iterator[io.StringIO]:
    """Return what `Api.dispatch` logs."""
    logger = logging.getLogger("service.api")
    before = logger.level
    logger.setLevel(logging.INFO)
    stream = heard(logger, logs.JsonFormatter())
    yield stream
    logger.setLevel(before)
    del logger.handlers[-1]


async def body(*chunks: bytes) -> ByteStream:
    for each in chunks:
        yield each


async def well(request: ApiRequest) -> ApiResponse:
    logs.note(user="ada")
    return ApiResponse(200, body=b"12345")


async def missing(request: ApiRequest) -> ApiResponse:
    raise NotFound("There is nothing.")


async def broken(request: ApiRequest) -> ApiResponse:
    raise RuntimeError(f"at {HOST}/?X-Amz-Signature={SECRET}")


def asked(**headers: str) -> ApiRequest:
    secret = (("signature", SECRET),)
    return ApiRequest("GET", f"/a/{SECRET}", body(), query=secret, headers={"x-request-id": "r-1", **headers})


async def test_an_answer_is_one_line_by_the_operation_s_name(api: Api, answered: io.StringIO) -> None:
    await api.dispatch(Route("GET", "/a/{b}", "look", well), asked(**{"content-length": "7"}))
    (line,) = lines(answered)
    assert 0 <= line.pop("ms") < 10_000
    assert line.pop("time")
    assert line == {
        "level": "INFO", "logger": "service.api", "message": "answered", "request_id": "r-1", "operation": "look",
        "method": "GET", "status": 200, "user": "ada", "bytes_in": 7, "bytes_out": 5,
    }  # fmt: skip


async def test_a_refusal_is_one_line_with_its_code(api: Api, answered: io.StringIO) -> None:
    await api.dispatch(Route("GET", "/a/{b}", "look", missing), asked())
    await api.dispatch(None, asked())
    for line, operation in zip(lines(answered), ("look", "unrouted"), strict=True):
        assert (line["level"], line["operation"], line["status"], line["code"]) == (
            "INFO", operation, 404, "not_found",
        )  # fmt: skip


async def test_what_nobody_foresaw_is_one_line_with_its_traceback_and_no_secret(
    api: Api, answered: io.StringIO
) -> None:
    answer = await api.dispatch(Route("GET", "/a/{b}", "look", broken), asked())
    assert answer.status == 500
    assert SECRET not in answered.getvalue()
    (line,) = lines(answered)
    assert (line["level"], line["request_id"], line["status"]) == ("ERROR", "r-1", 500)
    assert "RuntimeError: at" in line["exception"]


async def test_one_request_knows_nothing_of_the_one_before(api: Api, answered: io.StringIO) -> None:
    await api.dispatch(Route("GET", "/a/{b}", "look", well), asked())
    await api.dispatch(Route("GET", "/a/{b}", "look", broken), asked())
    assert ["user" in line for line in lines(answered)] == [True, False]
