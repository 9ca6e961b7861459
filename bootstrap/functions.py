"""The functions on Lambda: what they run as and with, what calls them, and where what failed goes.

Two functions from one zip: one answers the API (bootstrap/gateway.py), one what happens without a request: bytes
that arrive in the bucket, and the time to sweep.

IAM actions: iam:CreateRole, GetRole, DeleteRole, PassRole, UpdateAssumeRolePolicy, and Get, Put and
DeleteRolePolicy; lambda:CreateFunction, GetFunctionConfiguration, UpdateFunctionCode,
UpdateFunctionConfiguration, DeleteFunction, GetPolicy, AddPermission and RemovePermission; logs:CreateLogGroup,
DescribeLogGroups, DeleteLogGroup and PutRetentionPolicy; sqs:CreateQueue, GetQueueUrl, GetQueueAttributes,
SetQueueAttributes and DeleteQueue; events:PutRule, DescribeRule, DeleteRule, PutTargets, RemoveTargets and
ListTargetsByRule; s3:GetObject, PutObject, GetBucketNotification and PutBucketNotification.
"""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from .deployment import Deployment
from .packaging import Package
from .policy import functions_policy
from .resources import NotReady, Resource

_LOG_DAYS = 30
_FAILED_SECONDS = 14 * 24 * 3600  # SQS keeps nothing longer
_SWEEP_EVERY = "rate(5 minutes)"
_ARRIVED = "s3:ObjectCreated:*"
_UPLOADS = "uploads/"
_ZIP = "functions.zip"
# From 1,769 MB a function has a whole processor, which decoding pictures is worth.
_MEMORY = 1769
_PATIENCE = 300.0  # seconds: a zip of 20 MB takes its time to arrive, a role to be known everywhere
_LOOKS, _LOOK_AGAIN = 20, 0.1  # seconds: a change of a function takes less, as a rule


def functions(deployment: Deployment, package: Package) -> list[Resource]:
    """Return the functions and what they need to run, in the order in which it is made."""
    d = deployment
    queue = d.arn("sqs", f"{d.name}-failed")
    log_groups = [d.arn("logs", f"log-group:{name}") for name in d.log_groups]
    place = {"account": d.account, "region": d.region, "partition": d.partition}
    policy = functions_policy(d.settings, queue, log_groups, **place)
    role = d.arn("iam", f"role/{d.name}-functions")
    shared = {
        "Role": role,
        "Runtime": package.target.runtime,
        "MemorySize": _MEMORY,
        "Environment": {"Variables": d.function_settings.environment()},
    }
    answering = {**shared, "Handler": "lambda_adapter.api.handler", "Timeout": 29}  # as long as API Gateway waits
    acting = {
        **shared,
        "Handler": "lambda_adapter.events.handler",
        "Timeout": 300,
        "DeadLetterConfig": {"TargetArn": queue},
    }
    code = {"CodeSha256": package.code_sha256, "Architectures": [package.target.architecture]}
    where = {"S3Bucket": d.settings.bucket, "S3Key": _ZIP}
    return [
        _queue(d.sqs, f"{d.name}-failed"),
        *(_log_group(d.logs, name) for name in d.log_groups),
        _role(d.iam, f"{d.name}-functions", policy),
        _code(d.s3, d.settings.bucket, package),
        _Function(d.lambda_, f"{d.name}-api", answering, code, where).resource,
        _Function(d.lambda_, f"{d.name}-events", acting, code, where).resource,
    ]


def triggers(deployment: Deployment) -> list[Resource]:
    """Return what calls the events function: the bucket, and a schedule."""
    d = deployment
    function, rule = f"{d.name}-events", f"{d.name}-sweep"

    async def bucket() -> str:
        return f"arn:{d.partition}:s3:::{d.settings.bucket}"

    async def schedule() -> str:
        return d.arn("events", f"rule/{rule}")

    return [
        permission(d, function, "bucket", "s3.amazonaws.com", bucket),
        _notification(d.s3, d.settings.bucket, d.events_arn),
        permission(d, function, "schedule", "events.amazonaws.com", schedule),
        _schedule(d.events, rule, d.events_arn),
    ]


# ---------------------------------------------------------------- what functions need


def _queue(sqs: Any, name: str) -> Resource:
    wanted = {"MessageRetentionPeriod": str(_FAILED_SECONDS), "SqsManagedSseEnabled": "true"}

    async def url() -> str:
        return str((await sqs.get_queue_url(QueueName=name))["QueueUrl"])

    async def find() -> Any:
        found = await sqs.get_queue_attributes(QueueUrl=await url(), AttributeNames=[*wanted])
        return {each: found["Attributes"].get(each) for each in wanted}

    async def make() -> None:
        made = await sqs.create_queue(QueueName=name)
        await sqs.set_queue_attributes(QueueUrl=made["QueueUrl"], Attributes=wanted)

    async def remove() -> None:
        await sqs.delete_queue(QueueUrl=await url())

    return Resource(f"queue {name}", wanted, find, make, remove)


def _log_group(logs: Any, name: str) -> Resource:
    async def find() -> Any:
        found = (await logs.describe_log_groups(logGroupNamePrefix=name))["logGroups"]
        days = {each["logGroupName"]: each.get("retentionInDays", "forever") for each in found}
        return days.get(name)

    async def make() -> None:
        if await find() is None:
            await logs.create_log_group(logGroupName=name)
        await logs.put_retention_policy(logGroupName=name, retentionInDays=_LOG_DAYS)

    return Resource(f"log group {name}", _LOG_DAYS, find, make, lambda: logs.delete_log_group(logGroupName=name))


def _role(iam: Any, name: str, policy: dict[str, Any]) -> Resource:
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }

    async def find() -> Any:
        role = (await iam.get_role(RoleName=name))["Role"]
        inline = await iam.get_role_policy(RoleName=name, PolicyName="service")
        return {"trust": role["AssumeRolePolicyDocument"], "policy": inline["PolicyDocument"]}

    async def make() -> None:
        try:
            await iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
        except iam.exceptions.EntityAlreadyExistsException:
            await iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
        await iam.put_role_policy(RoleName=name, PolicyName="service", PolicyDocument=json.dumps(policy))

    async def remove() -> None:
        await iam.delete_role_policy(RoleName=name, PolicyName="service")
        await iam.delete_role(RoleName=name)

    return Resource(f"role {name}", {"trust": trust, "policy": policy}, find, make, remove)


# ---------------------------------------------------------------- functions


def _code(s3: Any, bucket: str, package: Package) -> Resource:
    """Return the zip in the bucket, under a key that no link leads to: both functions take it from there."""
    where = {"Bucket": bucket, "Key": _ZIP}

    async def find() -> Any:
        return (await s3.head_object(**where))["Metadata"].get("sha256")

    async def make() -> None:
        digest = {"sha256": package.code_sha256}
        await s3.put_object(**where, Body=io.BytesIO(package.zipped), Metadata=digest)

    return Resource("functions' code", package.code_sha256, find, make, patience=_PATIENCE)


@dataclass(frozen=True, slots=True)
class _Function:
    """One function: how it is configured, which code it has, and where that is."""

    lambda_: Any
    name: str
    configuration: dict[str, Any]
    code: dict[str, Any]
    where: dict[str, str]

    @property
    def resource(self) -> Resource:
        return Resource(f"function {self.name}", self.wanted, self.find, self.make, self.remove, _PATIENCE)

    @property
    def wanted(self) -> dict[str, Any]:
        return {**self.configuration, **self.code}

    async def find(self) -> Any:
        found = await self.lambda_.get_function_configuration(FunctionName=self.name)
        return _unready(found) or {each: found.get(each) for each in self.wanted}

    async def make(self) -> None:
        there = await self._settled()
        architectures = self.code["Architectures"]
        if there is None:
            code = {"Code": self.where, "Architectures": architectures}
            await self.lambda_.create_function(FunctionName=self.name, **code, **self.configuration)
        elif self._needs_code(there):
            await self.lambda_.update_function_code(
                FunctionName=self.name, Architectures=architectures, **self.where
            )
        elif there != self.wanted:
            # Also where it is not ready for long: Lambda refuses that in the middle of a change, but an emulator
            # that was stopped there would never end it.
            await self.lambda_.update_function_configuration(FunctionName=self.name, **self.configuration)

    def _needs_code(self, there: Any) -> bool:
        if isinstance(there, NotReady):
            return there.failed  # a new deployment of the same code is what starts a failed function again
        return any(there[each] != self.code[each] for each in self.code)

    async def _settled(self) -> Any:
        """Return what is there when no change is under way, or what is after some time."""
        for _ in range(_LOOKS):
            there = await self.resource.found()
            if not isinstance(there, NotReady) or there.failed:
                break
            await asyncio.sleep(_LOOK_AGAIN)
        return there

    async def remove(self) -> None:
        await self.lambda_.delete_function(FunctionName=self.name)


def _unready(configuration: dict[str, Any]) -> NotReady | None:
    """Return why a function does not run as its configuration says; None where it does.

    A function that was not called for weeks is Inactive: it comes back with the next call.
    https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
    """
    for state, reason in (("State", "StateReason"), ("LastUpdateStatus", "LastUpdateStatusReason")):
        now = configuration.get(state)
        if now in {"Pending", "InProgress", "Failed"}:
            code = configuration.get(f"{reason}Code")
            why = ": ".join(each for each in (code, configuration.get(reason)) if each)
            return NotReady(f"{state} is {now}" + (f" ({why})" if why else ""), failed=now == "Failed")
    return None


def permission(
    deployment: Deployment, function: str, sid: str, principal: str, source: Callable[[], Awaitable[str]]
) -> Resource:
    """Return the permission of a service to call a function, on behalf of one resource of this account."""
    lambda_, account = deployment.lambda_, deployment.account

    async def find() -> Any:
        policy = json.loads((await lambda_.get_policy(FunctionName=function))["Policy"])
        there = next((each for each in policy["Statement"] if each["Sid"] == sid), None)
        if there is None:
            return None
        condition = {
            "StringEquals": {"AWS:SourceAccount": account},
            "ArnLike": {"AWS:SourceArn": await source()},
        }
        return there["Principal"] == {"Service": principal} and there.get("Condition") == condition

    async def make() -> None:
        if await resource.found() is not None:
            await lambda_.remove_permission(FunctionName=function, StatementId=sid)
        await lambda_.add_permission(
            FunctionName=function,
            StatementId=sid,
            Action="lambda:InvokeFunction",
            Principal=principal,
            SourceAccount=account,
            SourceArn=await source(),
        )

    resource = Resource(f"permission of the {sid} to call {function}", True, find, make)
    return resource


# ---------------------------------------------------------------- what calls them


def _notification(s3: Any, bucket: str, function_arn: str) -> Resource:
    name = "pixdepot-arrived"
    rule = {"Name": "prefix", "Value": _UPLOADS}
    wanted = {
        "Id": name,
        "LambdaFunctionArn": function_arn,
        "Events": [_ARRIVED],
        "Filter": {"Key": {"FilterRules": [rule]}},
    }

    async def present() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return what others have set up on the bucket, and those of it that call functions."""
        found = await s3.get_bucket_notification_configuration(Bucket=bucket)
        found.pop("ResponseMetadata", None)
        return found, found.pop("LambdaFunctionConfigurations", [])

    async def find() -> Any:
        _, calling = await present()
        found = next((each for each in calling if each["Id"] == name), None)
        for each in found["Filter"]["Key"]["FilterRules"] if found else []:
            each["Name"] = each["Name"].lower()  # S3 answers with a capital
        return found

    async def put(*ours: dict[str, Any]) -> None:
        others, calling = await present()
        calling = [*(each for each in calling if each["Id"] != name), *ours]
        configuration = {**others, "LambdaFunctionConfigurations": calling}
        await s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)

    return Resource("bucket's notification of uploads", wanted, find, lambda: put(wanted), put)


def _schedule(events: Any, rule: str, function_arn: str) -> Resource:
    async def find() -> Any:
        found = await events.describe_rule(Name=rule)
        targets = (await events.list_targets_by_rule(Rule=rule))["Targets"]
        return found["ScheduleExpression"], found["State"], [each["Arn"] for each in targets]

    async def make() -> None:
        await events.put_rule(Name=rule, ScheduleExpression=_SWEEP_EVERY, State="ENABLED")
        await events.put_targets(Rule=rule, Targets=[{"Id": "sweep", "Arn": function_arn}])

    async def remove() -> None:
        await events.remove_targets(Rule=rule, Ids=["sweep"])
        await events.delete_rule(Name=rule)

    return Resource(f"schedule {rule}", (_SWEEP_EVERY, "ENABLED", [function_arn]), find, make, remove)
