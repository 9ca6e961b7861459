"""What the doctor says."""

from contextlib import AbstractContextManager

import aiohttp

from bootstrap.doctor import Examination, Step
from service.runtime import open_service
from service.settings import Settings
from tests.aws.stand_in import opened_in


async def examined(settings: Settings, environment: AbstractContextManager[None]) -> dict[str, Step]:
    """Return what became of each of the doctor's steps, by name, under these settings in this environment."""
    async with opened_in(environment, open_service(settings)) as runtime, aiohttp.ClientSession() as http:
        depot = runtime.api.services.depot
        examination = Examination(depot.objects, depot.records, settings, http, "http://nowhere.example")
        return {step.name: step async for step in examination.steps()}


def failed(steps: dict[str, Step]) -> dict[str, str]:
    """Return what those that failed said, by name: the cause, and the remedy."""
    return {name: f"{step.cause} {step.remedy}" for name, step in steps.items() if not step.ok}
