"""`python -m tests.faults [NAME...]`: run all sections, or those named; exit with 1 after any violation."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from bootstrap.emulator import Emulator, running_emulator
from tests.faults import (
    attack,
    bodies,
    calls,
    clocks,
    contract,
    deaths,
    hours,
    lost,
    machine,
    memory,
    races,
    shortages,
    soak,
    uploads,
)
from tests.faults.tally import HEADING, Tally


@dataclass(frozen=True)
class Run:
    """Where a section works, and how much of it there is to be."""

    place: Path
    emulator: Emulator
    seed: int
    faults: int
    kills: int
    terms: int
    disks: int
    descriptors: int
    races: int
    equal: int
    cases: int
    bodies: int
    stories: int
    uploads: int
    pictures: int
    hostile: int
    clocks: int
    lost: int
    minutes: float


SECTIONS: dict[str, Callable[[Run], Awaitable[list[Tally]]]] = {
    "faults": lambda run: calls.measure(run.emulator, run.seed, run.faults),
    "kills": lambda run: deaths.measure_kills(run.place, run.seed, run.kills),
    "terms": lambda run: deaths.measure_terms(run.place, run.seed, run.terms),
    "disks": lambda run: shortages.measure_disks(run.place, run.seed, run.disks),
    "descriptors": lambda run: shortages.measure_descriptors(run.place, run.seed, run.descriptors),
    "races": lambda run: races.measure(run.place, run.emulator, run.seed, run.races),
    "equal": lambda run: races.measure(run.place, run.emulator, run.seed, run.equal, races.CROWDS),
    "cases": lambda run: contract.measure(run.place, run.seed, run.cases),
    "bodies": lambda run: bodies.measure(run.seed, run.bodies),
    "stories": lambda run: machine.measure(run.emulator, run.seed, run.stories),
    "uploads": lambda run: uploads.measure(run.place, run.emulator, run.seed, run.uploads),
    "memory": lambda run: memory.measure(run.place, run.seed, run.pictures),
    "attack": lambda run: attack.measure(run.place, run.hostile),
    "clocks": lambda run: clocks.measure(run.place, run.emulator, run.seed, run.clocks),
    "hours": lambda run: hours.measure(run.place, run.emulator, run.seed, run.clocks),
    "lost": lambda run: lost.measure(run.place, run.emulator, run.seed, run.lost),
    "soak": lambda run: soak.measure(run.place, run.seed, run.minutes),
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(SECTIONS)))
@click.option("--seed", default=1, show_default=True, help="Equal seeds choose equally.")
@click.option("--faults", default=2000, show_default=True, help="Spoiled calls to S3 and DynamoDB, at least.")
@click.option("--kills", default=1000, show_default=True, help="kill -9 of a server under load.")
@click.option("--terms", default=200, show_default=True, help="SIGTERM of a server under load.")
@click.option("--disks", default=100, show_default=True, help="Disks that are filled under a server's load.")
@click.option("--descriptors", default=100, show_default=True, help="Times that a server may open no more files.")
@click.option("--races", default=1000, show_default=True, help="Races of each kind on each backend.")
@click.option(
    "--equal", default=20, show_default=True, help="Crowds of 50 equal requests of each kind on each backend."
)
@click.option("--cases", default=20_000, show_default=True, help="Requests made from openapi.json.")
@click.option("--bodies", default=50_000, show_default=True, help="JSON bodies of each kind, cut in any way.")
@click.option("--stories", default=200, show_default=True, help="Sequences of anything, on each backend.")
@click.option("--uploads", default=1000, show_default=True, help="Uploads by the client to each service.")
@click.option("--pictures", default=1000, show_default=True, help="Photographs in a row, at a server of 512 MiB.")
@click.option("--hostile", default=50, show_default=True, help="Uploads of each kind that is made to hurt.")
@click.option(
    "--clocks",
    default=50,
    show_default=True,
    help="Stories of clocks that jump, of each kind on each backend.",
)
@click.option("--lost", default=100, show_default=True, help="Databases and storages that are lost, or another's.")
@click.option("--minutes", default=60.0, show_default=True, help="How long the soak lasts.")
def main(names: tuple[str, ...], **amounts: float) -> None:
    """Break things on purpose, and count what was lost."""
    logging.disable()  # what is broken on purpose is logged, too
    click.echo(f"{HEADING}   seed {amounts['seed']}")
    violations = 0
    for name in names or SECTIONS:
        for tally in asyncio.run(_section(name, amounts)):
            click.echo("\n".join([tally.row(), *tally.details()]))
            violations += len(tally.violations)
    if violations:
        raise SystemExit(1)


async def _section(name: str, amounts: dict[str, float]) -> list[Tally]:
    with TemporaryDirectory() as directory:
        place = Path(directory)
        async with running_emulator(place / "emulator", port=0) as emulator:
            return await SECTIONS[name](Run(place / name, emulator, **amounts))  # type: ignore[arg-type] # click knows


if __name__ == "__main__":
    main(prog_name="python -m tests.faults")
