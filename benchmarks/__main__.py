"""`python -m benchmarks [NAME...] [--json]`: run all, or those named.

Exits with 1 if a figure misses its goal, or if a benchmark could not be measured.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

import click

from bootstrap.processes import ServerFailed

from . import (
    cold_start,
    crowd,
    direct_upload,
    lists_dynamodb,
    lists_floor,
    lists_rivals,
    lists_sqlite,
    metadata,
    mixed,
    overlap,
    presigning,
    publishing,
    upload_cpu,
    upload_directory,
    upload_lag,
    upload_memory,
)
from .figures import Figure
from .rivals.missing import Missing

BENCHMARKS: dict[str, Callable[[], Coroutine[Any, Any, list[Figure]]]] = {
    "cold_start": cold_start.measure,
    "crowd": crowd.measure,
    "direct_upload": direct_upload.measure,
    "lists_dynamodb": lists_dynamodb.measure,
    "lists_floor": lists_floor.measure,
    "lists_rivals": lists_rivals.measure,
    "lists_sqlite": lists_sqlite.measure,
    "metadata": metadata.measure,
    "mixed": mixed.measure,
    "overlap": overlap.measure,
    "presigning": presigning.measure,
    "publishing": publishing.measure,
    "upload_cpu": upload_cpu.measure,
    "upload_directory": upload_directory.measure,
    "upload_lag": upload_lag.measure,
    "upload_memory": upload_memory.measure,
}


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option("--json", "as_json", is_flag=True, help="One object a line.")
def main(names: tuple[str, ...], as_json: bool) -> None:
    """Run the benchmarks (by default all of them) and print their figures.

    A benchmark whose rival is not installed is reported on stderr, and the others run.
    """
    reached, not_measured = True, []
    for name in names or BENCHMARKS:
        try:
            figures = asyncio.run(BENCHMARKS[name]())
        except (Missing, ServerFailed) as reason:
            click.echo(f"{name}: not measured. {reason}", err=True)
            not_measured.append(name)
            continue
        for figure in figures:
            click.echo(_as_json(figure) if as_json else _as_text(figure))
            reached = reached and figure.ok
    if not_measured:
        click.echo(f"Not measured: {', '.join(not_measured)}. Their reasons are above.", err=True)
    if not_measured or not reached:
        raise SystemExit(1)


def _as_json(figure: Figure) -> str:
    fields = {"name": figure.name, "ours": round(figure.ours, 3), "rival": round(figure.rival, 3)}
    return json.dumps({**fields, "ratio": round(figure.ratio, 3), "goal": figure.goal, "ok": figure.ok})


def _as_text(figure: Figure) -> str:
    both = f"{figure.ours:10.2f} {figure.unit}  against {figure.rival:10.2f} {figure.unit}"
    return (
        f"{figure.name:50} {both}  = {figure.ratio:.2f}, at most {figure.goal:g}: {'ok' if figure.ok else 'MISSED'}"
    )


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
