"""The Lambda skin in this process: one execution environment on the local backend, for all tests of a module."""

from collections.abc import Iterator

import pytest

from lambda_adapter.environment import Environment
from service.settings import Settings


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Return an execution environment. Tests share it, so they use users of their own."""
    made = Environment(Settings(data_dir=tmp_path_factory.mktemp("environment")))
    yield made
    made.close()
