"""axe-core: what a screen reader, or eyes that see less, would stumble over on a page."""

from pathlib import Path
from typing import Any

from playwright.async_api import Page

from bootstrap.processes import installed_once, run

AXE = "axe-core@4.14.1"
_SCRIPT = "node_modules/axe-core/axe.min.js"


def install() -> Path:
    """Return axe's script; the first call on a machine installs it (some seconds, over the network)."""
    return installed_once(AXE.replace("@", "-"), _SCRIPT, _install) / _SCRIPT


def _install(directory: Path) -> None:
    options = ("--prefix", str(directory), "--save-exact", "--ignore-scripts", "--no-audit", "--no-fund")
    run(["npm", "install", *options, AXE])


async def complaints(page: Page) -> list[str]:
    """Return what is serious or critical on a page as it is now, each with the elements it is about."""
    await page.evaluate(install().read_text())
    found: dict[str, Any] = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['impact']}: {each['help']}: {', '.join(str(node['target']) for node in each['nodes'])}"
        for each in found["violations"]
        if each["impact"] in {"serious", "critical"}
    ]
