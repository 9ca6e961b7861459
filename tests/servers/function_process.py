"""An execution environment of a function: a line with an event comes in, a line with the answer goes out."""

import importlib
import json
import os
import sys
from types import SimpleNamespace
from typing import Any


def context(invocation: dict[str, str]) -> Any:
    """Return what Lambda tells a function of one invocation."""
    return SimpleNamespace(
        function_name=os.environ["AWS_LAMBDA_FUNCTION_NAME"],
        function_version=os.environ["AWS_LAMBDA_FUNCTION_VERSION"],
        memory_limit_in_mb=int(os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]),
        invoked_function_arn=invocation["invoked-function-arn"],
        aws_request_id=invocation["invoke-id"],
        get_remaining_time_in_millis=lambda: 1000 * int(os.environ["AWS_LAMBDA_FUNCTION_TIMEOUT"]),
    )


def main() -> None:
    """Answer events until there are no more."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the function prints is its log
    sys.path.insert(0, sys.argv[1])
    module, _, name = os.environ["_HANDLER"].rpartition(".")
    handler = getattr(importlib.import_module(module), name)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        invocation = json.loads(line)
        try:
            answer, is_error = handler(json.loads(invocation["payload"]), context(invocation)), False
        except Exception as error:  # noqa: BLE001 - as a runtime does
            answer, is_error = {"errorMessage": str(error), "errorType": type(error).__name__}, True
        print(json.dumps({"payload": json.dumps(answer), "is_error": is_error}), file=answers, flush=True)


if __name__ == "__main__":
    main()
