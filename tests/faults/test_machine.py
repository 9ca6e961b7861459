"""Whatever is done, in whatever order, what was acknowledged is there, and nothing else."""

from bootstrap.emulator import Emulator
from tests.faults.machine import aws_world, live, local_world


def test_on_local() -> None:
    live(local_world, 1, stories=5, steps=20)


def test_on_aws(emulator: Emulator) -> None:
    live(aws_world(emulator), 1, stories=4, steps=20)
