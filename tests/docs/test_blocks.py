"""Nothing that a page lets a reader run goes without a test."""

import json
import re

import pytest

from tests.docs.pages import PAGES, ROOT, UNTIL_STOPPED, blocks, claimed

RUN_WITHOUT_A_CLAIM = {"sh"}
NOT_TO_BE_RUN = {"", "json", "text"}  # drawings, documents, and what a program prints


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_by_some_test(page: str) -> None:
    free = RUN_WITHOUT_A_CLAIM | NOT_TO_BE_RUN
    left = [each.text for each in blocks(page) if each.language not in free and each not in claimed()]
    assert left == [], "let a test in tests/docs claim it, with `runs`"


@pytest.mark.parametrize("page", PAGES)
def test_every_fence_is_the_beginning_or_the_end_of_a_block(page: str) -> None:
    fences = re.findall(r"^ *```", (ROOT / page).read_text(), re.MULTILINE)
    assert len(fences) == 2 * len(blocks(page))


@pytest.mark.parametrize("page", PAGES)
def test_every_document_shown_is_json(page: str) -> None:
    for each in blocks(page):
        if each.language == "json":
            json.loads(each.text)


@pytest.mark.parametrize(("command", "test"), UNTIL_STOPPED.items())
def test_what_scripts_leave_out_is_typed_elsewhere(command: str, test: str) -> None:
    assert (ROOT / test).is_file()
    lines = [line for page in PAGES for each in blocks(page) for line in each.lines]
    assert any(line.startswith(command) for line in lines)
