"""Structured logs: one JSON object per line, with the request ID, and without secrets.

Call `set_up` in a process of the service. A skin with its own logger uses `Redacted`, `Requested` and `QUIET`.
"""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from service.domain.errors import PixdepotError, explained

# Libraries that tell of their own doings, requests and signatures among them.
QUIET = ("aiobotocore", "aiohttp", "boto3", "botocore", "urllib3")

_GONE = "[redacted]"
_PLAIN = r"[^\s\"'\\<>]"  # no pattern ends in the middle of an escape: what was JSON before is JSON afterwards
_NAMES = r"x-amz-[\w-]{1,40}|[\w-]{0,40}(?:signature|credential|token|secret|password|cookie)|policy|authorization"
_EQUALS = r"\\*[\"']?\s*(?:=|:|%3d)\s*|\\*[\"'],\s*b?"  # in a query, a header, a form, a dict, a tuple
# Each with what a text must have, in lower case, for there to be anything to find: few have it.
_SECRETS = (
    (("bearer", "basic"), re.compile(rf"(?i)\b(bearer|basic)\s+{_PLAIN}+"), rf"\1 {_GONE}"),
    (("?",), re.compile(rf"(?<=[\w/])\?(?=[\w.%~-]+=){_PLAIN}+"), f"?{_GONE}"),  # any URL's query
    (("://",), re.compile(r"(?<=://)[^\s\"'\\<>/@]+@"), f"{_GONE}@"),
    (
        ("x-amz-", "signature", "credential", "token", "secret", "password", "cookie", "policy", "authorization"),
        re.compile(rf"(?i)\b({_NAMES})({_EQUALS})((?:\\*[\"'])?)(?!bearer\b|basic\b|aws4-)[^\s\"'\\<>,&;)\]]+"),
        rf"\1\2\3{_GONE}",
    ),
)

_about: ContextVar[dict[str, object] | None] = ContextVar("about", default=None)


def redacted(text: str) -> str:
    """Remove the queries of URLs, signatures, tokens and credentials from a text. JSON stays valid JSON.

    This is the last defense, because exceptions of network libraries contain the URLs of failed requests.
    """
    folded = text.casefold()
    for hints, pattern, left in _SECRETS:
        if any(map(folded.__contains__, hints)):
            text = pattern.sub(left, text)
    return text


@contextmanager
def request(request_id: str) -> Iterator[None]:
    """Add the request ID, and the facts from `note`, to all records logged in the block."""
    token = _about.set({"request_id": request_id})
    try:
        yield
    finally:
        _about.reset(token)


def note(**facts: object) -> None:
    """Add facts to the current request's log records from now on."""
    about = _about.get()
    if about is not None:
        about.update(facts)


def failed(logger: logging.Logger, what: str, error: BaseException) -> None:
    """Log a failure as a warning: an expected error with its cause and remedy, any other with its traceback."""
    foreseen = isinstance(error, (PixdepotError, TimeoutError))
    logger.warning("%s: %s", what, explained(error), exc_info=None if foreseen else error)


class Requested(logging.Filter):
    """A filter that adds the facts of the current request to each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True, always."""
        record.__dict__.update(_about.get() or {})
        return True


class Redacted(logging.Formatter):
    """A formatter mixin that removes secrets from the formatted record and its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line or lines of a record."""
        return redacted(super().format(record))


def _encode(document: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(document, default=str, option=orjson.OPT_PASSTHROUGH_DATACLASS).decode()
    except TypeError:  # half of a surrogate pair, or a number of more than 64 bits
        return json.dumps(document, default=str)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        document: dict[str, Any] = {
            "time": _instant(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        return _encode(document)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(f"{name}={value}" for name, value in _extras(record).items())
        line = f"{_instant(record).astimezone():%H:%M:%S} {record.levelname} {record.getMessage()} {facts}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(Redacted, _Json):
    """A formatter for JSON: time, level, logger, message, extra fields and traceback."""


class PlainFormatter(Redacted, _Plain):
    """A formatter for people at a terminal."""


def set_up(stream: TextIO) -> None:
    """Set up logging to a stream for the whole process: as text on a terminal, otherwise as JSON."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PlainFormatter() if stream.isatty() else JsonFormatter())
    handler.addFilter(Requested())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    quieten()
    # No line tells which source line, thread or process it came from, and finding out is half of its cost:
    # https://docs.python.org/3/howto/logging.html#optimization
    logging._srcfile = None  # noqa: SLF001 - as documented there
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def quieten() -> None:
    """Log only warnings and errors of libraries, whatever the level of other loggers."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _instant(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


# What every record has; the rest was given as `extra`.
_ORDINARY = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def _extras(record: logging.LogRecord) -> Mapping[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _ORDINARY and value is not None}
