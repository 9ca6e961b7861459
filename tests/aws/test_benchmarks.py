"""The benchmarks run, and say what they should; how fast anything is, is not for a test to judge."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import (
    cold_start,
    crowd,
    direct_upload,
    heavy,
    lists_dynamodb,
    lists_sqlite,
    overlap,
    publishing,
    upload_cpu,
    upload_directory,
    upload_lag,
    upload_memory,
)
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.figures import Figure
from benchmarks.rivals import nginx, pillow
from benchmarks.rivals.missing import Missing
from benchmarks.servers import running
from service.media import inspect
from service.media.variants import DISPLAY, THUMB


async def test_publishing_is_measured_against_every_rival() -> None:
    figures = await publishing.measure(rounds=1)
    rivals = [each.name.rpartition("against ")[2] for each in figures]
    assert rivals == ["plain thumbnails"] * 2 + ["a draft decode"] * 2
    assert all(each.ours > 0 < each.rival for each in figures)
    assert (pillow.DISPLAY, pillow.THUMB) == (DISPLAY, THUMB)


async def test_the_overlap_of_an_upload_s_writes_is_measured() -> None:
    figures = await overlap.measure(rounds=1, sizes=(1_000, 2_000_000))
    away = overlap.DELAY.total_seconds() * 1000
    assert [figure.name.rpartition(", ")[2] for figure in figures] == ["1,000 bytes", "2,000,000 bytes"]
    for figure in figures:
        assert figure.ours > away
        assert figure.rival > away
        assert figure.goal == 1.15


async def test_a_crowd_of_uploads_is_timed_beside_the_sdk_s_own_way() -> None:
    (figure,) = await crowd.measure(rounds=1, at_once=3)
    away = crowd.DELAY.total_seconds() * 1000
    assert figure.ours > 2 * away  # the writes, and the one that publishes
    assert figure.rival > 4 * away  # one after the other


@pytest.mark.parametrize("size", [20_000, 66_200, 300_000])
def test_a_heavy_picture_has_exactly_its_size_and_few_pixels(size: int) -> None:
    data = heavy.picture(size)
    assert len(data) == size
    picture = inspect(data, max_pixels=64 * 48)
    assert (picture.content_type, picture.width, picture.height) == ("image/jpeg", 64, 48)


async def test_the_memory_of_an_upload_is_measured_on_either_backend() -> None:
    ours, local, rival = await upload_memory.measure(rounds=1, size=3 * 2**20)
    assert ours.rival == local.rival == 3
    assert min(ours.ours, local.ours) > 2  # MiB: the picture at least is held, or was
    assert rival.rival > 6  # the body and its text


async def test_the_cpu_of_an_upload_is_measured_beside_every_rival() -> None:
    whole, least, hashed = await upload_cpu.measure(rounds=1, size=2**20)
    assert whole.ours == least.ours == hashed.ours > 0
    assert 0 < least.rival < hashed.rival


async def test_the_worst_lag_is_measured_while_uploads_arrive() -> None:
    (figure,) = await upload_lag.measure(rounds=1, size=2**20)
    assert 0 < figure.ours < 10_000
    assert 0 < figure.rival < 10_000


async def test_a_direct_upload_is_timed_beside_nginx() -> None:
    if missing := nginx.available():
        pytest.skip(missing)
    wall, cpu = await direct_upload.measure(rounds=1, quality=30)
    assert min(wall.ours, wall.rival, cpu.ours, cpu.rival) > 10  # milliseconds: each decodes a photograph


async def test_what_lists_read_is_counted_on_dynamodb() -> None:
    figures = {figure.name: figure for figure in await lists_dynamodb.measure(short=True)}
    assert figures["a user, 300 images"].ours >= 1
    assert figures["a user, 300 images, against a scan"].ratio < 1
    assert figures["a title of 18 letters, 3 tags: its record"].ours == 1
    assert figures["a title of 18 letters, 3 tags: its index rows"].ours > 3


async def test_every_shape_of_list_is_timed_on_sqlite() -> None:
    figures = await lists_sqlite.measure(short=True)
    assert len(figures) == 10
    assert all(figure.ours > 0 and figure.rival == figures[0].rival for figure in figures)


async def test_a_cold_start_is_timed_from_the_functions_zip() -> None:
    (figure,) = await cold_start.measure(rounds=1)
    assert min(figure.ours, figure.rival) > 50  # milliseconds: each was a process that answered


async def test_an_upload_of_a_directory_is_timed_over_a_line_and_without() -> None:
    over_a_line, without = await upload_directory.measure(rounds=1, photographs=3, megabits=20)
    carried = 3 * 1_000_000 * 8 / 20e6 * 1000  # milliseconds that the line takes
    assert min(over_a_line.ours, over_a_line.rival) > carried
    assert min(without.ours, without.rival) > 100
    assert over_a_line.goal == without.goal == 1.25


def test_a_figure_is_good_up_to_its_goal() -> None:
    figure = Figure("a question", ours=11.5, rival=10, goal=1.15)
    assert (figure.ratio, figure.ok) == (1.15, True)
    assert not replace(figure, ours=11.6).ok


def test_the_command_prints_an_object_a_line_and_fails_where_a_goal_is_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def measured() -> list[Figure]:
        return [Figure("one", 10, 10, 1.1), Figure("two", 20, 10, 1.1)]

    monkeypatch.setitem(BENCHMARKS, "overlap", measured)
    ended = CliRunner().invoke(main, ["overlap", "--json"])
    lines = [json.loads(line) for line in ended.output.splitlines()]
    assert ended.exit_code == 1
    assert lines[0] == {"name": "one", "ours": 10, "rival": 10, "ratio": 1.0, "goal": 1.1, "ok": True}
    assert (lines[1]["ratio"], lines[1]["ok"]) == (2.0, False)


async def test_a_rival_that_is_not_installed_is_named_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def measured() -> list[Figure]:
        return [Figure("one", 10, 10, 1.1)]

    monkeypatch.setattr(nginx, "_PATH", str(tmp_path))  # where no program is
    monkeypatch.setitem(BENCHMARKS, "overlap", measured)
    ended = await asyncio.to_thread(CliRunner().invoke, main, ["direct_upload", "overlap", "--json"])
    missing, summary = ended.stderr.splitlines()
    assert (ended.exit_code, ended.exception.__class__) == (1, SystemExit)
    assert missing.startswith("direct_upload: not measured. nginx is not installed.")
    assert missing.endswith("sudo apt-get install nginx")
    assert summary.startswith("Not measured: direct_upload.")
    assert [json.loads(line)["name"] for line in ended.stdout.splitlines()] == ["one"]


async def test_a_rival_s_package_that_is_not_installed_is_named(tmp_path: Path) -> None:
    (tmp_path / "rival.py").write_text("import no_such_package.part\n")
    with pytest.raises(Missing, match=r"no_such_package is not installed.*\[bench\]"):
        async with running(tmp_path, {"rival": (str(tmp_path / "rival.py"),)}, {}):
            raise AssertionError("it runs")
