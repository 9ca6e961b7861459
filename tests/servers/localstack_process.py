"""LocalStack's process, on 127.0.0.1 only; functions are processes of this machine. LocalStack's Python runs it."""

import functools
import json
import os
import subprocess
import warnings
from pathlib import Path
from typing import Any

if not hasattr(warnings, "deprecated"):  # before Python 3.13
    from typing_extensions import deprecated

    warnings.deprecated = deprecated

from localstack.services.lambda_.invocation import runtime_executor
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from twisted.internet import endpoints

_FUNCTION = Path(__file__).with_name("function_process.py")
_LOOPBACK = "127.0.0.1"


class HostExecutor(runtime_executor.RuntimeExecutor):
    """Runs one execution environment as a process, which has nothing but the function's zip to import from."""

    process: "subprocess.Popen[str]"

    @classmethod
    def prepare_version(cls, function_version: Any) -> None:
        """Unpack the zip."""
        function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: Any) -> None:
        """Leave the files: they go with the directory of the test."""

    def start(self, env_vars: dict[str, Any]) -> None:
        """Start the process, and wait until it has imported the function."""
        environment = {name: str(value) for name, value in env_vars.items() if name != "AWS_SESSION_TOKEN"}
        environment |= json.loads(os.environ["FUNCTIONS_ENVIRONMENT"])
        code = self.function_version.config.code.get_unzipped_code_location()
        self.process = subprocess.Popen(
            [os.environ["FUNCTIONS_PYTHON"], "-I", "-S", str(_FUNCTION), str(code)],
            env={"PATH": os.environ["PATH"], **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        if not self.process.stdout.readline():
            raise runtime_executor.LambdaRuntimeException("The function could not be imported.")

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        """Hand it one event, and return what it answers."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(payload) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return InvocationResult(payload["invoke-id"], answer["payload"].encode(), answer["is_error"], logs="")

    def get_address(self) -> str:
        """Return where functions are."""
        return _LOOPBACK

    def get_endpoint_from_executor(self) -> str:
        """Return where functions find LocalStack."""
        return _LOOPBACK

    def get_runtime_endpoint(self) -> str:
        """Return where a runtime would report to; these do not."""
        return ""

    def get_logs(self) -> str:
        """Return nothing: functions log into LocalStack's own log."""
        return ""


if __name__ == "__main__":
    # Before anything imports either of them by name.
    runtime_executor.get_runtime_executor = lambda: HostExecutor
    endpoints.TCP4ServerEndpoint = functools.partial(endpoints.TCP4ServerEndpoint, interface=_LOOPBACK)
    from localstack.runtime.main import main

    main()
