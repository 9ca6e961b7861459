"""What MkDocs needs to be told: the pages at the top of the repository belong to the site, too.

Links are written for readers of the repository; here they are turned to where the same pages are on the site.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# By their name on the site.
AT_THE_TOP = {
    "index.md": "README.md",
    "SECURITY.md": "SECURITY.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "openapi.json": "openapi.json",
    "images/icon.svg": "service/web/gallery/icon.svg",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is not below docs/."""
    for name, source in AT_THE_TOP.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Lead links between docs/ and the top of the repository to the one folder that the site is."""
    beside = "/" not in page.file.src_uri  # of pages in folders, `..` is docs/ itself
    return re.sub(r"(?<=\]\()(?:\.\./|docs/)" if beside else "^$", "", markdown).replace(
        "](README.md", "](index.md"
    )
