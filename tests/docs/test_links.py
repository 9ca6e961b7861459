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
