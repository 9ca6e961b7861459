"""How long `pixdepot upload DIR` takes for a directory of photographs, against `aws s3 cp --recursive` of the same.

Both put every file into S3, on the same stand-in. Ours also has each photograph decoded, made smaller twice and
published, by a server on the same cores. So it is measured twice: over a line such as households have, which is
what both wait for; and without one, where both wait for the CPU. There the goal is out of reach: of about 105 ms of
CPU for a photograph of ours 50 verify it and make its variants, 30 are eleven calls to S3 and DynamoDB, 20 are the
stand-in's part in them and 4 the command's; its rival takes about 10, the stand-in's part and all.
"""

import secrets
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

from yarl import URL

from bootstrap.commands import up
from bootstrap.emulator import running_emulator
from tests.aws.stand_in import new_settings, sdk_environment
from tests.process.servers import PIXDEPOT, run, serving

from .figures import Figure, medians
from .publishing import photograph
from .rivals import awscli
from .uplink import behind_uplink

GOAL = 1.25  # four fifths of the throughput
PHOTOGRAPHS = 500
SIZE = (2048, 1536)  # about 1 MB
MEGABITS, LATENCY = 50.0, 0.01  # a second; seconds, each way
PATIENCE = 600  # seconds


async def measure(rounds: int = 2, photographs: int = PHOTOGRAPHS, megabits: float = MEGABITS) -> list[Figure]:
    """Return a figure for a line of so many megabits a second, and one without a line."""
    with TemporaryDirectory() as place:
        directory = Path(place, "photographs")
        write(directory, photographs)
        over_a_line = await _measure(directory, Path(mkdtemp(dir=place)), rounds, megabits)
        without = await _measure(directory, Path(mkdtemp(dir=place)), rounds, None)
    name = f"{photographs} photographs uploaded"
    return [
        Figure(f"{name} at {megabits:g} Mbit/s, aws s3 cp", *over_a_line, GOAL),
        Figure(f"{name} without a line, aws s3 cp", *without, GOAL),
    ]


def write(directory: Path, count: int) -> None:
    """Write so many photographs, each another one by a comment in its head."""
    directory.mkdir()
    data = photograph(SIZE)
    for number in range(count):
        comment = number.to_bytes(4)
        segment = b"\xff\xfe" + (2 + len(comment)).to_bytes(2) + comment
        (directory / f"photo-{number:03}.jpg").write_bytes(data[:2] + segment + data[2:])


async def _measure(directory: Path, place: Path, rounds: int, megabits: float | None) -> tuple[float, float]:
    """Return the milliseconds that ours and its rival take, each time to where nothing of it is yet."""
    settings = new_settings()
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(running_emulator(place / "aws", port=0))
        with sdk_environment(emulator.endpoint_url, emulator.root):
            await up(settings)

        async def reached(health: str) -> str:
            """Return where clients reach a server that answers there."""
            if megabits is None:
                return str(URL(health).origin())
            return await stack.enter_async_context(behind_uplink(health, megabits, LATENCY, place / "uplink.log"))

        storage = await reached(f"{emulator.endpoint_url}/_ministack/health")
        sdk = {**emulator.sdk_environment, "PIXDEPOT_S3_PUBLIC_ENDPOINT_URL": storage}
        server = await stack.enter_async_context(serving(place, **settings.environment(), **sdk))
        service = await reached(f"{server.url}/health")  # the line's width counts for pictures only

        async def ours() -> None:
            command = (PIXDEPOT, "upload", str(directory), "--user", secrets.token_hex(8))
            ended = await run(*command, directory=place, within=PATIENCE, PIXDEPOT_URL=service)
            assert ended.code == 0, ended.error

        async def rival() -> None:
            to = f"s3://{settings.bucket}/{secrets.token_hex(8)}/"
            await awscli.copied(directory, to, place, {**emulator.sdk_environment, "AWS_ENDPOINT_URL": storage})

        taken = await medians({"ours": ours, "rival": rival}, rounds, warm_up=0)
    return taken["ours"], taken["rival"]
