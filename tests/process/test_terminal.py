"""One terminal for results, logs, errors and bars: each line is there once, and no bar is left."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.pictures import picture
from tests.process.servers import PIXDEPOT, Server, run, serving
from tests.process.test_upload_command import write
from tests.process.typist import Typist, documents

MANY = 150
BAR = "━"


def without(beginning: str, lines: Sequence[str]) -> list[str]:
    return [each for each in lines if not each.startswith(beginning)]


async def test_many_uploads_leave_a_line_for_each_and_no_bars(server: Server, pixdepot: Typist) -> None:
    write(pixdepot.directory, *(f"in/{number:03}.jpg" for number in range(MANY)))
    code, lines = await pixdepot.on_screen("upload in --user ME")
    assert code == 0
    assert without("uploaded  in/", lines) == [f"{MANY} uploaded, 0 already stored, 0 failed"]
    assert len(set(lines)) == len(lines) == MANY + 1
    code, lines = await pixdepot.on_screen("upload in missing.jpg --user ME")
    assert code == 1
    assert without("exists    in/", lines) == [
        "failed    missing.jpg  No such file or directory",
        f"0 uploaded, {MANY} already stored, 1 failed",
    ]
    assert len(set(lines)) == len(lines) == MANY + 2


async def test_many_downloads_leave_a_line_for_each_and_no_bars(server: Server, pixdepot: Typist) -> None:
    ids = [(await server.api.uploaded(picture(seed=each), user_id=pixdepot.user))["image_id"] for each in range(40)]
    code, lines = await pixdepot.on_screen(f"get {' '.join(ids)}")
    assert code == 0
    # A line is longer than the terminal is wide: it goes on in the next.
    assert sorted(each.split()[1] for each in lines if each.startswith("saved")) == sorted(ids)
    assert not [each for each in lines if BAR in each]


@pytest.mark.parametrize(
    ("line", "last"),
    [
        ("variants --data data", "5 images checked, 0 outdated"),
        ("reindex --data data", "0 images indexed, 0 imported, 0 rejected"),
    ],
)
async def test_upkeep_leaves_its_result_and_no_bars(tmp_path: Path, line: str, last: str) -> None:
    async with serving(tmp_path) as server:
        for _ in range(5):
            await server.api.uploaded()
    assert await Typist(tmp_path, "", "").on_screen(line) == (0, [last])


async def test_what_is_logged_meanwhile_stands_above_the_bars(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        ids = [(await server.api.uploaded())["image_id"] for _ in range(20)]
    for original in (tmp_path / "data" / "objects").glob("images/**/original"):
        original.write_bytes(b"damaged")
    typist = Typist(tmp_path, "", "", {"PIXDEPOT_VARIANT_FORMAT": "avif"})
    code, lines = await typist.on_screen("variants --rebuild --data data")
    text = "".join(lines)
    assert code == 1
    assert BAR not in text
    assert [text.count(f"variants of image {each} not rebuilt") for each in ids] == [1] * len(ids)
    assert lines[-1] == "20 images checked, 0 rebuilt, 20 failed"


# ---------------------------------------------------------------- what a terminal cannot show


TITLE = "日本 \N{GRINNING FACE} é"


@pytest.mark.parametrize(
    "encoding",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "utf-8:strict"},
        {"LANG": "", "LC_ALL": "C"},
        {"LANG": "", "LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    ],
    ids=lambda each: " ".join(each.values()),
)
async def test_a_title_is_printed_whatever_the_output_can_show(
    server: Server, pixdepot: Typist, encoding: dict[str, str]
) -> None:
    image = await server.api.uploaded(title=TITLE[:-2], user_id=pixdepot.user, filename="日本.jpg")
    line = f"{PIXDEPOT} ls --user {pixdepot.user}"
    settings = {"PIXDEPOT_URL": server.url, **encoding}
    for_people = await run(*line.split(), directory=pixdepot.directory, **settings)
    assert (for_people.code, for_people.error) == (0, "")
    assert TITLE[:-2] in for_people.out or r"\u65e5\u672c \U0001f600" in for_people.out
    for_programs = await run(*line.split(), "--json", directory=pixdepot.directory, **settings)
    assert for_programs.code == 0
    assert for_programs.out.isascii()
    assert [each["title"] for each in documents(for_programs)] == [TITLE[:-2]]
    fetched = await run(PIXDEPOT, "get", image["image_id"], "--json", directory=pixdepot.directory, **settings)
    assert (fetched.code, [each["outcome"] for each in documents(fetched)]) == (0, ["saved"])


async def test_an_error_is_printed_whatever_the_output_can_show(server: Server, pixdepot: Typist) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    for line in (f"upload {TITLE[:2]}.jpg", f"get {TITLE[:2]}", f"sign {TITLE[:2]}", f"--{TITLE[:2]}"):
        finished = await pixdepot(line, **ascii_only)
        assert finished.code in {1, 2}
        assert "Traceback" not in finished.error


@pytest.mark.parametrize(
    "words",
    [
        ("ls", "--title"),
        ("ls", "--user"),
        ("ls", "--tags"),
        ("get",),
        ("rm", "--yes"),
        ("edit", "an-id", "--title"),
        ("upload", "a.jpg", "--description"),
    ],
)
async def test_what_is_typed_in_another_encoding_is_refused_not_left_out(
    server: Server, pixdepot: Typist, words: tuple[Any, ...]
) -> None:
    finished = await run(PIXDEPOT, *words, "caf\udce9", directory=pixdepot.directory, PIXDEPOT_URL=server.url)
    assert finished.code == 2
    assert "The value is not valid UTF-8." in finished.error
    assert finished.out == ""
