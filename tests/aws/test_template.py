"""template.yaml is a template that SAM takes, and says what bootstrap makes."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cfnlint.decode import cfn_yaml

from bootstrap.bucket import cors_rules
from bootstrap.commands import Setup, opened_setup
from bootstrap.emulator import Emulator
from bootstrap.gateway import GATEWAY_RESPONSES
from bootstrap.resources import resources
from lambda_adapter.binary import BINARY_MEDIA_TYPES
from service.aws.session import opened_clients
from service.settings import Settings
from tests.aws.on_lambda import package
from tests.aws.stand_in import sdk_environment

TEMPLATE = Path(str(files("bootstrap").joinpath("template.yaml")))
BUCKET = "my-pictures"
LOOPBACK = ("localhost", "127.0.0.1")


async def test_cfn_lint_finds_nothing_to_complain_of() -> None:
    lint = str(Path(sys.executable).with_name("cfn-lint"))
    process = await asyncio.create_subprocess_exec(
        lint, "--include-checks", "I", "--regions", "us-east-1", "--", str(TEMPLATE),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert (process.returncode, out.decode()) == (0, "")


# ---------------------------------------------------------------- what it says


class Template:
    """The template with its parameters put in: what CloudFormation would make."""

    def __init__(self, place: Mapping[str, str], **parameters: str) -> None:
        document = cfn_yaml.load(str(TEMPLATE))
        defaults = {name: each.get("Default", "") for name, each in document["Parameters"].items()}
        self._values = {**defaults, **place, **parameters}
        self._conditions = document["Conditions"]
        self._document = document

    def __getitem__(self, name: str) -> Any:
        """Return the properties of a resource."""
        return self.said(self._document["Resources"][name].get("Properties", {}))

    @property
    def function(self) -> Any:
        """Return what all functions share."""
        return self.said(self._document["Globals"]["Function"])

    def said(self, part: Any) -> Any:
        """Return a part of the template with its functions applied, as far as values are known."""
        if isinstance(part, list):
            return [self.said(each) for each in part]
        if not isinstance(part, dict):
            return part
        functions = {
            "Ref": lambda name: self._values.get(name, f"<{name}>"),
            "Fn::GetAtt": lambda path: f"<{'.'.join(path)}>",
            "Condition": self.holds,
            "Fn::If": lambda way: self.said(way[1] if self.holds(way[0]) else way[2]),
            "Fn::Split": lambda text: self.said(text[1]).split(text[0]),
            "Fn::Sub": self._filled_in,
        }
        for name, argument in part.items():
            if name in functions:
                return functions[name](argument)
        return {str(name): self.said(each) for name, each in part.items()}

    def _filled_in(self, text: str) -> str:
        return re.sub(r"\$\{([\w:.]+)\}", lambda found: str(self._values.get(found[1], found[0])), text)

    def holds(self, condition: str) -> bool:
        """Return whether a condition holds."""
        return self._holds(self._conditions[condition])

    def _holds(self, condition: Any) -> bool:
        name, argument = next(iter(condition.items()))
        if name == "Fn::Equals":
            return bool(self.said(argument[0]) == self.said(argument[1]))
        if name == "Condition":
            return self.holds(argument)
        held = [self._holds(each) for each in argument]
        return {"Fn::Not": not held[0], "Fn::Or": any(held), "Fn::And": all(held)}[name]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings(
        backend="aws", bucket=BUCKET, cors_origins=("https://app.example",), public_url="https://pictures.example"
    )


@pytest.fixture(scope="module")
async def setup(emulator: Emulator, settings: Settings) -> AsyncIterator[Setup]:
    """Return what bootstrap would make. Nothing is made."""
    with sdk_environment(emulator.endpoint_url, emulator.root):
        async with opened_setup(settings, package()) as opened:
            yield opened


@pytest.fixture(scope="module")
def wanted(setup: Setup) -> dict[str, Any]:
    """Return what bootstrap wants of everything, by name."""
    return {each.name: each.wanted for each in setup.resources}


@pytest.fixture(scope="module")
def template(setup: Setup, settings: Settings) -> Template:
    """Return the template in the place that the emulator stands for."""
    d = setup.deployment
    assert d
    place = {"AWS::Partition": d.partition, "AWS::Region": d.region, "AWS::AccountId": d.account}
    return Template(
        place, BucketName=BUCKET, CorsOrigins=",".join(settings.cors_origins), PublicUrl=settings.public_url
    )


# ---------------------------------------------------------------- the same as bootstrap


def test_the_functions_may_do_the_same(template: Template, wanted: dict[str, Any]) -> None:
    said = template["Role"]
    assert said["AssumeRolePolicyDocument"] == wanted[f"role {BUCKET}-functions"]["trust"]
    (policy,) = said["Policies"]
    assert policy["PolicyDocument"] == wanted[f"role {BUCKET}-functions"]["policy"]


@pytest.mark.parametrize(("name", "function"), [("ApiFunction", "api"), ("EventsFunction", "events")])
def test_the_functions_run_in_the_same_way(
    template: Template, wanted: dict[str, Any], name: str, function: str
) -> None:
    ours, said = wanted[f"function {BUCKET}-{function}"], {**template.function, **template[name]}
    assert said["FunctionName"] == f"{BUCKET}-{function}"
    for each in ("Handler", "Timeout", "MemorySize"):
        assert said[each] == ours[each], each
    assert ("DeadLetterQueue" in said) == ("DeadLetterConfig" in ours)
    assert "FunctionUrlConfig" not in said  # the API is the one way in


def test_the_functions_are_told_the_same(template: Template, settings: Settings) -> None:
    told = template.function["Environment"]["Variables"]
    assert Settings.from_env(told) == settings


def test_the_bucket_is_the_same(template: Template, wanted: dict[str, Any]) -> None:
    said = template["Bucket"]
    assert said["PublicAccessBlockConfiguration"] == wanted["bucket's public access block"]
    (encryption,) = said["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    (ours,) = wanted["bucket's encryption"]
    assert encryption["BucketKeyEnabled"] == ours["BucketKeyEnabled"]
    algorithms = [encryption["ServerSideEncryptionByDefault"], ours["ApplyServerSideEncryptionByDefault"]]
    assert algorithms[0] == algorithms[1]
    rules = said["LifecycleConfiguration"]["Rules"]
    assert [_as_in_the_api(rule) for rule in rules] == wanted["bucket's lifecycle"]


def _as_in_the_api(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a lifecycle rule of CloudFormation's in the words of S3's API."""
    rule = dict(rule)
    words = {"ID": rule.pop("Id"), "Filter": {"Prefix": rule.pop("Prefix")}}
    if "ExpirationInDays" in rule:
        words["Expiration"] = {"Days": rule.pop("ExpirationInDays")}
    return {**words, **rule}


@pytest.mark.parametrize("public_url", ["", "https://pictures.example"])
@pytest.mark.parametrize("origins", [(), ("https://app.example", "https://other.example")])
def test_the_same_pages_may_use_the_links(public_url: str, origins: tuple[str, ...]) -> None:
    (ours,) = cors_rules(Settings(public_url=public_url, cors_origins=origins))
    said = Template({}, PublicUrl=public_url, CorsOrigins=",".join(origins))["Bucket"]["CorsConfiguration"]
    # On Lambda the service has no page of its own, so a server's of this machine is not among the origins.
    ours["AllowedOrigins"] = [each for each in ours["AllowedOrigins"] if urlsplit(each).hostname not in LOOPBACK]
    if not ours["AllowedOrigins"]:
        assert said == "<AWS::NoValue>"
        return
    (rule,) = said["CorsRules"]
    names = {"ExposedHeaders": "ExposeHeaders", "MaxAge": "MaxAgeSeconds"}
    assert {names.get(name, name): value for name, value in rule.items()} == ours


def test_nothing_of_this_machine_is_in_the_template() -> None:
    assert not [name for name in LOOPBACK if name in TEMPLATE.read_text()]


@pytest.mark.parametrize("kind", ["REST", "HTTP"])
def test_requests_are_throttled_and_logged_without_queries(kind: str) -> None:
    limits = {"RequestsPerSecond": "7", "RequestBurst": "9"}
    template = Template({}, ApiKind=kind, **limits)
    if kind == "REST":
        (throttled,), log = template["RestApi"]["MethodSettings"], template["RestApi"]["AccessLogSetting"]
    else:
        throttled = template["HttpApiStage"]["DefaultRouteSettings"]
        log = template["HttpApiStage"]["AccessLogSettings"]
    assert (throttled["ThrottlingRateLimit"], throttled["ThrottlingBurstLimit"]) == ("7", "9")
    assert log["DestinationArn"] == "<AccessLogGroup.Arn>"
    line = json.loads(log["Format"])
    assert {"client", "method", "path", "status"} <= line.keys()
    assert "query" not in log["Format"].lower()
    without = Template({}, ApiKind=kind, AccessLog="off")
    assert not without.holds("LogsAccess")
    assert not without.holds("MakesLogRole")


@pytest.mark.parametrize("function", ["ApiFunction", "EventsFunction"])
def test_concurrency_is_reserved_where_it_is_asked_for(function: str) -> None:
    asked = Template({}, ApiConcurrency="5", EventsConcurrency="5")
    assert asked[function]["ReservedConcurrentExecutions"] == "5"
    assert Template({})[function]["ReservedConcurrentExecutions"] == "<AWS::NoValue>"


async def test_the_tables_are_the_same(template: Template, emulator: Emulator, settings: Settings) -> None:
    with sdk_environment(emulator.endpoint_url, emulator.root):
        async with opened_clients(settings) as clients:
            for each in resources(clients, settings):
                if each.name.startswith("table"):
                    await each.up()
            for name, table in (("Images", settings.table), ("ImageIndex", settings.index_table)):
                said = template[name]
                made = (await clients.dynamodb.describe_table(TableName=table))["Table"]
                assert said["TableName"] == table
                assert said["KeySchema"] == made["KeySchema"]
                assert _by_name(said["AttributeDefinitions"], "AttributeName") == _by_name(
                    made["AttributeDefinitions"], "AttributeName"
                )
                said_indexes = _by_name(said.get("GlobalSecondaryIndexes", []), "IndexName")
                made_indexes = _by_name(made.get("GlobalSecondaryIndexes", []), "IndexName")
                assert said_indexes.keys() == made_indexes.keys()
                for index, keys in said_indexes.items():
                    assert {name: made_indexes[index][name] for name in keys} == keys
                assert said["BillingMode"] == made["BillingModeSummary"]["BillingMode"]
                ttl = (await clients.dynamodb.describe_time_to_live(TableName=table))["TimeToLiveDescription"]
                assert said["TimeToLiveSpecification"]["AttributeName"] == ttl["AttributeName"]
                assert said["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True


def _by_name(parts: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return {each[name]: each for each in parts}


def test_the_same_things_call_the_functions(template: Template, wanted: dict[str, Any]) -> None:
    events = template["EventsFunction"]["Events"]
    arrived = events["Arrived"]["Properties"]
    notification = wanted["bucket's notification of uploads"]
    assert [arrived["Events"]] == notification["Events"]
    (rule,), (ours,) = arrived["Filter"]["S3Key"]["Rules"], notification["Filter"]["Key"]["FilterRules"]
    assert {name: value.lower() for name, value in ours.items()} == rule | {"Name": rule["Name"].lower()}
    assert events["Sweep"]["Properties"]["Schedule"] == wanted[f"schedule {BUCKET}-sweep"][0]


def test_what_failed_and_what_was_logged_is_kept_as_long(template: Template, wanted: dict[str, Any]) -> None:
    queue = template["FailedEvents"]
    ours = wanted[f"queue {BUCKET}-failed"]
    assert queue["QueueName"] == f"{BUCKET}-failed"
    assert str(queue["MessageRetentionPeriod"]) == ours["MessageRetentionPeriod"]
    assert json.dumps(queue["SqsManagedSseEnabled"]) == ours["SqsManagedSseEnabled"]
    for name, kind in (("ApiLogs", "api"), ("EventsLogs", "events")):
        group = template[name]["LogGroupName"]
        assert group == f"/aws/lambda/{BUCKET}-{kind}"
        assert template[name]["RetentionInDays"] == wanted[f"log group {group}"]


def test_the_rest_api_takes_and_answers_the_same(template: Template, wanted: dict[str, Any]) -> None:
    api = template["RestApi"]
    assert api["StageName"] == "dev"
    assert tuple(each.replace("~1", "/") for each in api["BinaryMediaTypes"]) == BINARY_MEDIA_TYPES
    assert set(api["DefinitionBody"]["paths"]) == set(wanted["API's routes"])
    for kind, ours in GATEWAY_RESPONSES.items():
        said = api["GatewayResponses"][kind]
        assert said["StatusCode"] == ours["statusCode"]
        headers = {f"gatewayresponse.header.{name}": value
                   for name, value in said["ResponseParameters"]["Headers"].items()}  # fmt: skip
        assert headers == ours["responseParameters"]
        assert headers["gatewayresponse.header.Access-Control-Allow-Origin"] == "'*'"  # pages read refusals, too
        texts = [said["ResponseTemplates"]["application/json"], ours["responseTemplates"]["application/json"]]
        assert json.loads(texts[0]) == json.loads(texts[1])


def test_either_kind_of_api_has_its_own_way_to_call_the_function() -> None:
    for kind, api in (("REST", "RestApi"), ("HTTP", "HttpApi")):
        template = Template({}, ApiKind=kind)
        made = [name for name, each in template._document["Resources"].items()
                if "Condition" not in each or template.holds(each["Condition"])]  # fmt: skip
        assert [name for name in made if name.endswith("Api")] == [api]
        assert [name for name in made if name.endswith("ApiPermission")] == [f"{api}Permission"]


def test_everything_that_can_fail_has_an_alarm(template: Template) -> None:
    alarms = [
        template[name]
        for name, each in template._document["Resources"].items()
        if each["Type"] == "AWS::CloudWatch::Alarm"
    ]
    watched = {(each["MetricName"], *(value["Value"] for value in each["Dimensions"])) for each in alarms}
    assert watched == {
        ("Errors", "<ApiFunction>"), ("Throttles", "<ApiFunction>"),
        ("Errors", "<EventsFunction>"), ("Throttles", "<EventsFunction>"),
        ("ApproximateNumberOfMessagesVisible", "<FailedEvents.QueueName>"),
    }  # fmt: skip
