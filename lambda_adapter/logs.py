"""The functions' log: Powertools' lines, and in the same shape what the service and its libraries say."""

import logging
import sys

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter

from service.telemetry import logs


class _Formatter(logs.Redacted, LambdaPowertoolsFormatter):
    """Powertools' JSON, without secrets."""


def _set_up() -> Logger:
    formatter = _Formatter()
    logger = Logger(service="pixdepot", logger_formatter=formatter)
    # Lambda's runtime has put a handler there, for all others. One formatter, so that all name the invocation.
    root = logging.getLogger()
    for handler in root.handlers or [logging.StreamHandler(sys.stdout)]:
        handler.setFormatter(formatter)
        handler.addFilter(logs.Requested())
        root.addHandler(handler)
    logging.getLogger("service").setLevel(logging.INFO)
    logs.quieten()
    return logger


logger = _set_up()
