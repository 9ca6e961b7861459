"""axe-core: what a screen reader, or eyes that see less, would stumble over on a page."""

from pathlib import Path
from typing import Any

from playwright.async_api import Page

from tests import npm

AXE = "axe-core@4.14.1"
_SCRIPT = "axe-core/axe.min.js"


def install() -> Path:
    """Return axe's script; the first call on a machine installs it (some seconds, over the network)."""
    return npm.installed(AXE.replace("@", "-"), _SCRIPT, AXE) / "node_modules" / _SCRIPT


async def complaints(page: Page) -> list[str]:
    """Return what is serious or critical on a page as it is now, each with the elements it is about."""
    await page.evaluate(install().read_text())
    found: dict[str, Any] = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['impact']}: {each['help']}: {', '.join(str(node['target']) for node in each['nodes'])}"
        for each in found["violations"]
        if each["impact"] in {"serious", "critical"}
    ]
