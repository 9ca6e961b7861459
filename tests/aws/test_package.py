"""The functions' zip: what is in it, and how large it is."""

import io
import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.packaging import Package, Target, build
from tests.aws.on_lambda import package

MEGABYTE = 1_000_000


def entries(package: Package) -> list[zipfile.ZipInfo]:
    return zipfile.ZipFile(io.BytesIO(package.zipped)).infolist()


def is_pillow_s(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.lower().startswith(("pil/", "pillow"))


@pytest.fixture(scope="module", params=["aws", "here", "byte-compiled for aws"])
def built(request: pytest.FixtureRequest) -> Package:
    """Return a package for AWS, one for this machine, and one that has bytecode and wheels for AWS."""
    here = Target.this_machine()
    if request.param == "here":
        return package()
    aws = Target.aws()
    return build(aws if request.param == "aws" else replace(aws, python=here.python))


def test_a_zip_has_15_megabytes_at_most_and_25_with_pillow_s_wheel(built: Package) -> None:
    pillow = sum(each.compress_size for each in entries(built) if is_pillow_s(each))
    assert pillow > MEGABYTE
    assert len(built.zipped) - pillow <= 15 * MEGABYTE
    assert len(built.zipped) <= 25 * MEGABYTE


def test_it_holds_the_service_and_the_handlers_and_no_server_s_page(built: Package) -> None:
    names = {each.filename for each in entries(built)}
    assert {"service/api/dispatch.py", "lambda_adapter/api.py", "lambda_adapter/events.py"} <= names
    others = (
        "tests/",
        "bootstrap/",
        "pixdepot/",
        "prometheus_client/",
        "service/web/",
    )
    assert not [name for name in names if name.startswith(others)]


def test_the_sdk_knows_only_the_services_that_are_called(built: Package) -> None:
    described = {each.filename.split("/")[2] for each in entries(built) if each.filename.count("/") == 4
                 and each.filename.startswith("botocore/data/")}  # fmt: skip
    assert described == {"dynamodb", "s3", "sts"}


def test_wheels_are_for_the_function_s_machine(built: Package) -> None:
    extensions = [each.filename for each in entries(built) if each.filename.endswith(".so")]
    tag = f"cpython-{built.target.python.replace('.', '')}-x86_64"
    assert built.target.architecture == "x86_64"
    assert any(tag in name for name in extensions)
    assert not [name for name in extensions if "cpython-" in name and tag not in name]


def test_what_is_built_for_this_python_is_byte_compiled() -> None:
    names = {each.filename for each in entries(package())}
    ours = [name for name in names if name.startswith(("service/", "lambda_adapter/")) and name.endswith(".py")]
    compiled = {name for name in names if name.endswith(".pyc")}
    assert ours
    for name in ours:
        directory, _, file = name.rpartition("/")
        assert any(each.startswith(f"{directory}/__pycache__/{file.removesuffix('.py')}.") for each in compiled)


def test_the_same_code_gives_the_same_bytes() -> None:
    assert build(Target.this_machine()).code_sha256 == package().code_sha256


def test_the_sizes_that_the_docs_tell_are_those_of_the_zip() -> None:
    page = Path(__file__).parents[2].joinpath("docs/lambda.md").read_text()
    told = re.search(r"The zip has about (\d+) MB \((\d+) byte-compiled\)", page)
    assert told
    here, aws = Target.this_machine(), Target.aws(python="3.13" if sys.version_info[:2] != (3, 13) else "3.12")
    built = build(aws), build(replace(aws, python=here.python))  # without bytecode, and with
    sizes = [round(len(each.zipped) / MEGABYTE) for each in built]
    assert all(abs(size - int(said)) <= 1 for size, said in zip(sizes, told.groups(), strict=True)), sizes
