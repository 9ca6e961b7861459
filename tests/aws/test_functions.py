"""Functions that AWS made and that do not run, and waits that end: what `up` and `status` say of them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bootstrap.commands import opened_setup, status
from bootstrap.deployment import Deployment
from bootstrap.emulator import Emulator, starts_functions_here
from bootstrap.functions import functions
from bootstrap.packaging import Target
from bootstrap.processes import free_port
from bootstrap.resources import NotReady, Resource, SetupFailed
from pixdepot.commands import setting_up
from tests.aws.on_lambda import package
from tests.aws.stand_in import new_settings, sdk_environment

REASON = "The role cannot be assumed."


@dataclass
class Ailing:
    """Lambda's client, at which functions are in this state until their code is deployed again."""

    client: Any
    state: dict[str, str]
    cures: bool = True
    deployed: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    async def get_function_configuration(self, **function: Any) -> Any:
        found = await self.client.get_function_configuration(**function)
        return found if self.cures and self.deployed else {**found, **self.state}

    async def update_function_code(self, **function: Any) -> Any:
        self.deployed.append(function["FunctionName"])
        return await self.client.update_function_code(**function)


@pytest.fixture(scope="module")
async def deployment(emulator: Emulator) -> AsyncIterator[Deployment]:
    """Return a deployment with its functions."""
    with sdk_environment(emulator.endpoint_url, emulator.root):
        async with opened_setup(new_settings(), package()) as setup:
            assert setup.deployment
            api = f"function {setup.deployment.name}-api"
            names = [each.name for each in setup.resources]
            for each in setup.resources[: names.index(api) + 1]:
                await each.up()
            yield setup.deployment


def api_function(deployment: Deployment, state: dict[str, str], *, cures: bool = True) -> tuple[Resource, Ailing]:
    """Return the API function as a resource, seen through a client at which it is in this state."""
    lambda_ = Ailing(deployment.lambda_, state, cures)
    found = functions(replace(deployment, lambda_=lambda_), package())
    (resource,) = (each for each in found if each.name.endswith("-api") and each.name.startswith("function"))
    return replace(resource, patience=10.0), lambda_


FAILED = {"State": "Failed", "StateReasonCode": "InvalidRole", "StateReason": REASON}
UPDATE_FAILED = {"LastUpdateStatus": "Failed", "LastUpdateStatusReason": REASON}


@pytest.mark.parametrize("state", [FAILED, UPDATE_FAILED])
async def test_a_failed_function_is_deployed_again(deployment: Deployment, state: dict[str, str]) -> None:
    function, lambda_ = api_function(deployment, state)
    found = await function.found()
    assert isinstance(found, NotReady)
    assert (found.failed, REASON in found.reason) == (True, True)
    assert await function.up()
    assert lambda_.deployed == [f"{deployment.name}-api"]
    assert await function.found() == function.wanted


@pytest.mark.parametrize("state", [FAILED, UPDATE_FAILED])
async def test_a_function_that_fails_again_ends_up_with_the_reason(
    deployment: Deployment, state: dict[str, str]
) -> None:
    function, _ = api_function(deployment, state, cures=False)
    with pytest.raises(SetupFailed, match=REASON):
        await function.up()


async def test_a_function_that_does_not_get_ready_is_told_with_its_state(deployment: Deployment) -> None:
    function, _ = api_function(deployment, {"State": "Pending", "StateReason": "Creating."}, cures=False)
    with pytest.raises(TimeoutError, match=r"not as wanted after 1 seconds\. .*State is Pending \(Creating\.\)"):
        await replace(function, patience=1.0).up()


async def test_a_function_that_is_inactive_is_as_wanted(deployment: Deployment) -> None:
    function, _ = api_function(deployment, {"State": "Inactive", "StateReason": "Idle."}, cures=False)
    assert await function.found() == function.wanted


async def test_status_says_failed_and_why(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    function, _ = api_function(deployment, FAILED, cures=False)
    monkeypatch.setattr("bootstrap.functions.functions", lambda *_: [function])
    findings = {each.name: each for each in await status(deployment.settings, package())}
    said = findings[function.name]
    assert said.state == "failed"
    assert said.detail == f"State is Failed (InvalidRole: {REASON})"


async def test_a_wait_ends_with_the_last_refusal() -> None:
    answer = {"Error": {"Code": "InvalidArgument", "Message": "Unable to validate the destination"}}
    refusal = ClientError(answer, "PutBucketNotificationConfiguration")

    async def find() -> None:
        return None

    async def refused() -> None:
        raise refusal

    resource = Resource("notification", True, find, refused, patience=0.5)
    with pytest.raises(TimeoutError, match=r"after 0\.5 seconds\. .*Unable to validate the destination") as raised:
        await resource.up()
    assert raised.value.__cause__ is refusal


# ---------------------------------------------------------------- which machine functions run on


async def test_an_emulator_that_starts_processes_is_told_from_one_with_containers(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await starts_functions_here(emulator.endpoint_url)
    assert not await starts_functions_here(f"http://127.0.0.1:{free_port()}")


def test_the_zip_is_for_what_runs_it(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_LAMBDA"):
        monkeypatch.delenv(name, raising=False)
    assert setting_up._target() == Target.aws()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")  # as LocalStack: no ministack there
    containers = setting_up._target()
    assert containers.platforms == Target.aws(containers.architecture).platforms
    assert containers.runtime in {"python3.12", "python3.13", "python3.14"}
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", emulator.endpoint_url)
    assert setting_up._target() == Target.this_machine()
