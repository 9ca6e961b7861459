"""What docs/lambda.md says of SAM, typed word for word up to AWS: an emulator that applies AWS's own transform."""

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aioboto3
import pytest
from cfnlint.decode import cfn_yaml

from benchmarks.rivals import awscli
from bootstrap.emulator import Emulator, running_emulator
from tests.aws.on_lambda import package
from tests.aws.test_template import TEMPLATE
from tests.docs.pages import ROOT, runs, typed
from tests.docs.test_guides import cached
from tests.process.servers import COMMANDS
from tests.servers import checkov, sam

STACK = "my-pictures"
FUNCTIONS = ("ApiFunction", "EventsFunction")


@pytest.fixture(scope="module")
async def cloud(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Emulator]:
    """Return an emulator whose CloudFormation takes SAM's templates."""
    directory = tmp_path_factory.mktemp("cloud")
    async with running_emulator(directory, port=0, installed=sam.install_emulator) as running:
        yield running


def with_sam(cloud: Emulator, directory: Path) -> dict[str, str]:
    """Return an environment in which `sam` is a command, of this directory, and AWS is the emulator."""
    path = os.pathsep.join([str(COMMANDS), str(sam.command(directory)), os.environ["PATH"]])
    return {**cached(), **cloud.sdk_environment, "PATH": path, "SAM_CLI_TELEMETRY": "0"}


async def asked(cloud: Emulator, service: str, operation: str, **arguments: Any) -> Any:
    """Return the emulator's answer to its root."""
    key = (cloud.root.access_key, cloud.root.secret_key)
    async with aioboto3.Session(*key, region_name=cloud.region).client(
        service, endpoint_url=cloud.endpoint_url
    ) as client:
        return await getattr(client, operation)(**arguments)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the template and a zip beside it."""
    directory = tmp_path_factory.mktemp("built")
    (directory / "pixdepot.zip").write_bytes(package().zipped)
    return directory


OTHERWISE = "ApiKind=HTTP AccessLog=off ApiConcurrency=5 EventsConcurrency=2 CorsOrigins=https://app.example"


@pytest.mark.parametrize(("stack", "parameters"), [(STACK, ""), ("other-pictures", OTHERWISE)])
@runs("docs/lambda.md", "sam deploy")
async def test_what_the_page_on_lambda_says_of_sam_deploys_a_stack(
    script: str, stack: str, parameters: str, cloud: Emulator, tmp_path: Path
) -> None:
    script = f"{script.replace(STACK, stack)} {parameters}"
    if parameters:  # tables are named by parameters of their own
        script += " TableName=other-images IndexTableName=other-index"
    finished = await typed(script, tmp_path, **with_sam(cloud, tmp_path))
    assert "is a valid SAM Template" in finished.out
    (made_stack,) = (await asked(cloud, "cloudformation", "describe_stacks", StackName=stack))["Stacks"]
    assert made_stack["StackStatus"] == "CREATE_COMPLETE"
    assert any(each["OutputKey"] == "ApiUrl" for each in made_stack["Outputs"])
    for name, handler in (("api", "lambda_adapter.api.handler"), ("events", "lambda_adapter.events.handler")):
        made = await asked(cloud, "lambda", "get_function_configuration", FunctionName=f"{stack}-{name}")
        assert (made["Handler"], made["Runtime"]) == (handler, "python3.13")
        assert made["CodeSize"] == (tmp_path / "pixdepot.zip").stat().st_size


def code_of(template: Path) -> set[str]:
    """Return where the functions of a template have their code."""
    resources = cfn_yaml.load(str(template))["Resources"]
    return {resources[name]["Properties"]["CodeUri"] for name in FUNCTIONS}


@pytest.mark.parametrize("command", ["sam package", "aws cloudformation package"])
async def test_other_ways_to_upload_the_zip_leave_both_functions_code_in_the_bucket(
    cloud: Emulator, built: Path, command: str
) -> None:
    bucket = f"artifacts-{command.split(maxsplit=1)[0]}"
    await asked(cloud, "s3", "create_bucket", Bucket=bucket)
    aws = f"{awscli.install()} -m awscli"
    options = f"--template-file template.yaml --s3-bucket {bucket} --output-template-file packaged.yaml"
    script = f"pixdepot bootstrap template > template.yaml\n{re.sub('^aws', aws, command)} {options}"
    await typed(script, built, **with_sam(cloud, built))
    (code,) = code_of(built / "packaged.yaml")
    assert code.startswith(f"s3://{bucket}/")
    stored = await asked(cloud, "s3", "head_object", Bucket=bucket, Key=code.removeprefix(f"s3://{bucket}/"))
    assert stored["ContentLength"] == len(package().zipped)


# ---------------------------------------------------------------- security


def listed() -> set[tuple[str, str]]:
    """Return the findings that docs/lambda.md gives a reason for, each with its resource."""
    rows = re.findall(r"^\| (CKV_\w+) \| (.+?) \| .+\. \|$", (ROOT / "docs/lambda.md").read_text(), re.MULTILINE)
    return {(rule, resource) for rule, names in rows for resource in re.findall(r"`(\w+)`", names)}


async def test_what_checkov_finds_in_the_template_has_a_reason_in_the_docs(tmp_path: Path) -> None:
    found = await checkov.findings(TEMPLATE, tmp_path)
    assert {(rule, resource.rpartition(".")[2]) for rule, resource in found} == listed()
