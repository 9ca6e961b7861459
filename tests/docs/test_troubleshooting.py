"""docs/troubleshooting.md explains every error code, each with its own status, and docs/glossary.md is used."""

import re

from lambda_adapter.senders import UnsupportedEvent
from service.domain.errors import PixdepotError
from tests.docs.pages import PAGES, ROOT

ROW = re.compile(r"^\| (\d{3}) \| `(\w+)` \| (.+) \| (.+) \|$", re.MULTILINE)


def codes(root: type[PixdepotError]) -> set[tuple[int, str]]:
    """Return the status and code of an error and of all errors below it, without errors that tests define."""
    below = [each for each in root.__subclasses__() if not each.__module__.startswith("tests.")]
    return {(root.status, root.code)}.union(*map(codes, below))


def test_every_error_code_is_explained_once() -> None:
    rows = ROW.findall((ROOT / "docs/troubleshooting.md").read_text())
    explained = [(int(status), code) for status, code, _, _ in rows]
    assert len(set(explained)) == len(explained)
    assert set(explained) == codes(PixdepotError) | {(UnsupportedEvent.status, UnsupportedEvent.code)}


def test_ten_setup_mistakes_each_show_what_one_sees_and_does() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text()
    mistakes = re.split(r"^### \d+\. ", page, flags=re.MULTILINE)[1:]
    assert len(mistakes) == 10
    assert [each for each in mistakes if "**You see**" not in each or "**Do this**" not in each] == []


def test_every_term_of_the_glossary_is_used_by_a_page_or_by_another_term() -> None:
    glossary = (ROOT / "docs/glossary.md").read_text()
    terms = re.findall(r"^## (.+)$", glossary, re.MULTILINE)
    assert terms == sorted(terms, key=str.lower)
    pages = " ".join((ROOT / page).read_text() for page in PAGES if page != "docs/glossary.md")
    assert [each for each in terms if not re.search(rf"\b{each}", pages, re.IGNORECASE)] == []


def test_every_link_to_the_glossary_names_one_of_its_terms() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    anchors = {each.lower().replace(" ", "-") for each in headings}
    linked = {
        anchor for page in PAGES for anchor in re.findall(r"glossary\.md#([\w-]+)", (ROOT / page).read_text())
    }
    assert len(linked) >= 10
    assert linked <= anchors
