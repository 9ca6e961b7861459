"""LocalStack in host mode: the S3 and the API Gateway that the service's forerunner ran on. Nothing survives it.

It checks presigned links, but takes requests without a signature and any POST form. Its DynamoDB needs a program
that is not on the package index, so tables are the emulator's. Its functions want Docker; here they run as
processes of this machine (localstack_process.py).
"""

import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bootstrap.emulator import AccessKey, Emulator
from bootstrap.processes import LOOPBACK, free_port, installed_python, path_variable, running_child

LOCALSTACK = "localstack-core[runtime]==4.14.0"
# Newer ones of these lack what this LocalStack imports.
_ALONGSIDE = ("cbor2<5.9", "pyOpenSSL<25.4", "service_identity")
_PROCESS = Path(__file__).with_name("localstack_process.py")
_STARTS_WITHIN = 120.0  # seconds: it imports a lot


@dataclass(frozen=True, slots=True)
class LocalStack:
    """A running LocalStack, a key to it, and where the tables beside it are."""

    endpoint_url: str
    dynamodb_url: str
    key: AccessKey
    log: Path
    region: str = "us-east-1"


def install() -> Path:
    """Return the Python that runs LocalStack; the first call on a machine installs it (a minute or two)."""
    return installed_python(LOCALSTACK, *_ALONGSIDE, adapt=_adapt)


def _adapt(environment: Path) -> None:
    """Let Python 3.11 import it, which its metadata allows: nine modules have the syntax of type parameters."""
    if sys.version_info < (3, 12):
        for path in environment.glob("lib/python*/site-packages/localstack/**/*.py"):
            before = path.read_text()
            if (after := without_type_parameters(before)) != before:
                path.write_text(after)


def without_type_parameters(source: str) -> str:
    """Return a module's source with type variables in place of type parameters (PEP 695)."""
    variables = dict[str, None]()

    def named(parameters: str) -> str:
        names = [each.partition(":")[0].strip() for each in parameters.split(",")]
        variables.update(dict.fromkeys(names))
        return ", ".join(names)

    def of_class(found: re.Match[str]) -> str:
        bases = ", ".join([each for each in (found[3],) if each] + [f"typing.Generic[{named(found[2])}]"])
        return f"class {found[1]}({bases}):"

    def of_function(found: re.Match[str]) -> str:
        named(found[2])
        return f"def {found[1]}("

    changed = re.sub(r"\bclass (\w+)\[([^\]]+)\](?:\(([^)]*)\))?:", of_class, source)
    changed = re.sub(r"\bdef (\w+)\[([^\]]+)\]\(", of_function, changed)
    changed = re.sub(r"^type (\w+ = )", r"\1", changed, flags=re.MULTILINE)
    if variables:
        declared = "".join(f'{name} = typing.TypeVar("{name}")\n' for name in variables)
        changed = re.sub(r"^(?=@|class |def )", f"import typing\n{declared}", changed, count=1, flags=re.MULTILINE)
    return changed


@asynccontextmanager
async def running_localstack(
    directory: Path, emulator: Emulator, *, checks_signatures: bool = True
) -> AsyncIterator[LocalStack]:
    """Run LocalStack for the length of the block, with everything in `directory`.

    Functions get their tables from the emulator. Raises ServerFailed, with the end of the log.
    """
    python, port, key = install(), free_port(), emulator.root
    endpoint_url = f"http://{LOOPBACK}:{port}"
    told = {
        "AWS_ACCESS_KEY_ID": key.access_key,
        "AWS_SECRET_ACCESS_KEY": key.secret_key,
        "AWS_ENDPOINT_URL_DYNAMODB": emulator.endpoint_url,
    }
    env = {
        **path_variable(),
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "FILESYSTEM_ROOT": str(directory / "files"),
        "GATEWAY_LISTEN": f"{LOOPBACK}:{port}",
        "LOCALSTACK_HOST": f"{LOOPBACK}:{port}",
        "SERVICES": "s3,iam,sts,lambda,apigateway,events,logs,sqs",
        "S3_SKIP_SIGNATURE_VALIDATION": "0" if checks_signatures else "1",
        "DISABLE_EVENTS": "1",
        "DNS_ADDRESS": "0",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "FUNCTIONS_PYTHON": sys.executable,
        "FUNCTIONS_ENVIRONMENT": json.dumps(told),
    }
    log = directory / "localstack.log"
    async with running_child([str(python), "-P", str(_PROCESS)], env=env, log=log) as child:
        await child.until_answers(f"{endpoint_url}/_localstack/health", within=_STARTS_WITHIN)
        yield LocalStack(endpoint_url, emulator.endpoint_url, key, log)
