"""What every command has in common: JSON where it is asked for, exit codes, and completion."""

import re
from pathlib import Path
from typing import Any

import pytest

from pixdepot.cli import main
from tests.process.servers import PIXDEPOT, Server, run, serving
from tests.process.typist import Typist, documents

# These print no results: they run until they are stopped, or print a document of their own.
WITHOUT_RESULTS = {"serve", "emulator", "openapi", "template", "completion"}


def commands() -> dict[str, Any]:
    """Return every command by its name, those of a group among them."""
    found = dict(main.commands)
    for group in [each for each in found.values() if hasattr(each, "commands")]:
        del found[group.name or ""]
        found |= group.commands
    return found


_RECOVERED = ("looked_at", "recovered", "there", "deleted", "unknown", "failed")


def test_every_command_that_prints_results_prints_json() -> None:
    printing = {name for name, each in commands().items() if "--json" in {o for p in each.params for o in p.opts}}
    assert printing == commands().keys() - WITHOUT_RESULTS


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("sweep", {"due": 0, "removed": 0, "failed": 0}),
        (
            "reconcile --dry-run",
            {
                "orphans": 0,
                "missing": 0,
                "lists": {"missing": 0, "stale": 0, "miscounted": 0},
                "purged": 0,
                "noted": 0,
                "dry_run": True,
            },
        ),
        ("reindex", {"total": 0, "looked_at": 0, "indexed": 0, "adopted": 0, "refused": 0}),
        ("recover", {**dict.fromkeys(_RECOVERED, 0), "looked_at": 1, "there": 1, "dry_run": False}),
        ("variants", {"looked_at": 1, "outdated": 0, "failed": 0}),
    ],
)
async def test_what_is_found_is_printed_as_an_object(tmp_path: Path, line: str, printed: dict[str, Any]) -> None:
    async with serving(tmp_path) as server:
        await server.api.uploaded()
    finished = await run(PIXDEPOT, *line.split(), "--json", directory=tmp_path, PIXDEPOT_DATA_DIR="data")
    assert (finished.code, documents(finished)) == (0, [printed])


async def test_the_doctor_prints_an_object_for_each_step_and_each_thing_enforced(tmp_path: Path) -> None:
    async with serving(tmp_path):
        pass
    finished = await run(PIXDEPOT, "doctor", "--data", "data", "--json", directory=tmp_path)
    assert finished.code == 0
    steps = [each for each in documents(finished) if "enforced" not in each]
    assert [each["name"] for each in steps][-1] == "delete"
    assert all(each["ok"] and not each["cause"] for each in documents(finished))
    told = await run(PIXDEPOT, "doctor", directory=tmp_path, PIXDEPOT_DATA_DIR="data")
    row = r"yes    enforces: [\w -]+\n|no     enforces: [\w -]+\n       .+\n"
    assert re.fullmatch(rf"(ok     [\w ]+\n)+({row})+", told.out)


async def test_work_on_a_terminal_is_shown_as_a_bar_which_is_gone_when_it_is_done(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.api.uploaded()
    typist = Typist(tmp_path, "", "", {"PIXDEPOT_DATA_DIR": "data"})
    code, shown = await typist.on_terminal("variants")
    assert code == 0
    assert "━" in shown
    assert shown.rstrip().endswith("1 images checked, 0 outdated")


async def test_the_reader_of_results_may_have_enough(pixdepot: Typist, server: Server) -> None:
    for _ in range(3):
        await server.api.uploaded(user_id=pixdepot.user)
    line = f"{PIXDEPOT} ls --user {pixdepot.user} | head -1"
    finished = await run("bash", "-c", line, directory=pixdepot.directory, PIXDEPOT_URL=server.url)
    assert (finished.code, finished.error) == (0, "")
    assert len(finished.out.splitlines()) == 1


# ---------------------------------------------------------------- completion


async def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    script = """
        eval "$(pixdepot completion bash)"
        complete -p pixdepot
        completed() {
            COMPREPLY=() COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
            _pixdepot_completion pixdepot
            echo "${COMPREPLY[@]}"
        }
        completed pixdepot mig
        completed pixdepot sign --var
        completed pixdepot sign --variant d
    """
    finished = await run("bash", "-euc", script, directory=tmp_path)
    assert finished.out.splitlines()[1:] == ["migrate", "--variant", "display"]
    assert finished.error == ""


@pytest.mark.parametrize("shell", ["zsh", "fish"])
async def test_other_shells_are_told_how_to_ask(tmp_path: Path, shell: str) -> None:
    script = (await run(PIXDEPOT, "completion", shell, directory=tmp_path)).out
    assert f"_PIXDEPOT_COMPLETE={shell}_complete" in script
    words = {"COMP_WORDS": "pixdepot mig", "COMP_CWORD": "1" if shell == "zsh" else "mig"}
    asked = await run(PIXDEPOT, directory=tmp_path, _PIXDEPOT_COMPLETE=f"{shell}_complete", **words)
    assert "migrate" in asked.out


async def test_a_shell_that_nobody_knows_is_a_slip_of_the_pen(tmp_path: Path) -> None:
    assert (await run(PIXDEPOT, "completion", "csh", directory=tmp_path)).code == 2


# ---------------------------------------------------------------- setting up


async def test_setting_up_prints_json_too(tmp_path: Path, emulator: Any) -> None:
    names = {f"PIXDEPOT_{name}": f"printing-{name[:5].lower()}" for name in ("BUCKET", "TABLE", "INDEX_TABLE")}

    async def bootstrap(line: str) -> tuple[int, list[dict[str, Any]]]:
        words = ("bootstrap", *line.split(), "--json")
        finished = await run(PIXDEPOT, *words, directory=tmp_path, **names, **emulator.sdk_environment)
        return finished.code, documents(finished)

    code, missing = await bootstrap("status")
    assert code == 1
    assert {each["state"] for each in missing} == {"missing"}
    code, (made,) = await bootstrap("up")
    assert (code, made["url"]) == (0, None)
    assert {each["name"] for each in missing} >= set(made["made"])
    code, there = await bootstrap("status")
    assert (code, {each["state"] for each in there}) == (0, {"ok"})
    assert await bootstrap("down --yes") == (0, [{"removed": list(names.values())}])
