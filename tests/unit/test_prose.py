"""What users read is plain technical English: help, errors, logs, settings, the gallery, and the pages in PAGES.

Each pattern stands for a habit that makes a sentence hard to understand, with the remedy. A page of docs/ is
checked once it is in PAGES: add a page when all of it follows the rules.
"""

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pixdepot.cli import main
from service.domain.errors import PixdepotError, _tree
from service.settings import described

ROOT = Path(__file__).parents[2]
PAGES = ["configuration.md"]
AVOID = {
    r"who (is|are|was|may|sees|asks|writes|runs|does)|whoever|whom|somebody|nobody": "name the user or the client",
    r"such(?! as)": "name the thing",
    r"of (its|one's|their|his|her) own": "leave it out, or write 'separate'",
    r"in (the )?place of": "instead of",
    r"what (is|are|was|were|there|this|else|came|comes)": "name the thing",
    r"there (is|are|was|were)": "begin with the subject",
    r"the place": "GPS location, or location",
    r"goes? on|went on": "continue, resume",
    r"anew|under way|for good|broke off|breaks off": "again, in progress, permanently, interrupted",
    r"taken? over": "import",
    r"nothing with|no such": "No image has this ID",
    r"asked for|asks? for(?! confirmation)": "request, require",
    r"may have(?= [0-9{])": "at most, the limit is",
}


def faults(text: str) -> list[str]:
    """Return what a text has that it should not have, each with the remedy."""
    plain = " ".join(text.split())
    return [
        f"{found[0]!r} in {plain[:80]!r}: write {remedy!r}"
        for pattern, remedy in AVOID.items()
        for found in re.finditer(rf"\b(?:{pattern})\b", plain, re.IGNORECASE)
    ]


def commands(command: click.Command, name: str = "pixdepot") -> Iterator[tuple[str, click.Command]]:
    """Yield a command and those below it, by their names."""
    yield name, command
    if isinstance(command, click.Group):
        for each, below in command.commands.items():
            yield from commands(below, f"{name} {each}")


COMMANDS = dict(commands(main))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_plain_and_whole_at_80_columns(name: str) -> None:
    command = COMMANDS[name]
    shown = CliRunner().invoke(main, [*name.split()[1:], "--help"], terminal_width=80).output
    assert "..." not in shown.partition("\nCommands:\n")[2], "a summary is cut off"
    assert not faults(f"{command.help} {command.epilog or ''}")
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{option.name} has no help"
            assert not faults(option.help)
            assert option.help.endswith((".", "]")), option.help


@pytest.mark.parametrize(("name", "doc"), [(name, doc) for name, _, doc in described()])
def test_settings_are_described_plainly(name: str, doc: str) -> None:
    assert not faults(doc)
    assert doc.endswith("."), name


@pytest.mark.parametrize("kind", _tree(PixdepotError))
def test_titles_are_plain(kind: type[PixdepotError]) -> None:
    assert not faults(kind.title)
    assert not kind.title.endswith(".")


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of errors that a module makes and of lines that it logs, each with its line number."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Call) and _logs(node.func)):
            for each in ast.walk(node):
                if isinstance(each, ast.JoinedStr):
                    yield (
                        each.lineno,
                        "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in each.values),
                    )
                elif isinstance(each, ast.Constant) and isinstance(each.value, str):
                    yield each.lineno, each.value


def _logs(called: ast.expr) -> bool:
    return isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "logger"


@pytest.mark.parametrize("package", ["service", "bootstrap", "lambda_adapter", "pixdepot"])
def test_errors_and_logs_are_plain(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {fault}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, text in messages(path)
        for fault in faults(text)
    ]
    assert not found, "\n".join(found)


class _Texts(HTMLParser):
    """The texts of a page, and the attributes that are read by people."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.texts += [
            value or "" for name, value in attrs if name in {"aria-label", "placeholder", "alt", "content"}
        ]


def test_the_gallery_is_plain() -> None:
    gallery = ROOT / "service/web/gallery"
    texts = _Texts((gallery / "index.html").read_text()).texts
    for script in gallery.glob("*.js"):
        code = re.sub(r"//.*|/\*[\s\S]*?\*/", "", script.read_text())
        texts += [each[1:-1] for each in re.findall(r'"[^"\n]*"|`[^`]*`', code)]
    assert len(texts) > 100
    assert not [fault for text in texts for fault in faults(text)]


@pytest.mark.parametrize("name", PAGES)
def test_pages_are_plain(name: str) -> None:
    prose = re.sub(r"```[\s\S]*?```|`[^`\n]*`|\]\([^)]*\)", " ", (ROOT / "docs" / name).read_text())
    assert not [fault for paragraph in prose.split("\n\n") for fault in faults(paragraph)]


@pytest.mark.parametrize(
    "text",
    [
        "Who writes, where no token says it. By default who is logged in here.",
        "Take the place out of them.",
        "Change what is said about an image of one's own.",
        "There is nothing with this id.",
        "A picture may have 10,485,760 bytes.",
        "See such images.",
    ],
)
def test_habits_to_avoid_are_found(text: str) -> None:
    assert faults(text)
    assert not faults("Formats such as JPEG. The image is too large: the limit is 10 MiB.")
