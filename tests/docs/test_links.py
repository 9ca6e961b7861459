"""What pages point to is there: for readers of the repository; the site is built strictly (test_site.py)."""

import re

import pytest

from tests.docs.pages import PAGES, ROOT

# Written as code: a file or a folder of the repository by its path.
NAMED = re.compile(r"`((?:tests|service|bootstrap|benchmarks|pixdepot|lambda_adapter|docs|\.ci)/[\w/.-]*)`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_within_the_repository_leads_to_a_file(page: str) -> None:
    targets = LINK.findall((ROOT / page).read_text())
    assert [each for each in targets if not (ROOT / page).parent.joinpath(each).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_is_there(page: str) -> None:
    named = NAMED.findall((ROOT / page).read_text())
    assert [each for each in named if not (ROOT / each).exists()] == []


# Generated, or a record of what was: pages that nobody reads to learn how to do something.
WITHOUT_AIM = re.compile(r"CHANGELOG\.md|docs/api\.md|docs/decisions/\d")


@pytest.mark.parametrize("page", [page for page in PAGES if not WITHOUT_AIM.match(page)])
def test_every_page_begins_with_what_its_reader_can_do_after_it(page: str) -> None:
    opening, *_ = (ROOT / page).read_text().split("\n## ", 1)
    assert re.search(r"^After this page you (can|know) ", opening, re.MULTILINE)
