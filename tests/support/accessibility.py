"""What axe finds on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.async_api import Page

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"


SERIOUS = {"serious", "critical"}


async def findings(page: Page) -> list[str]:
    """Return what axe has serious doubts about, once nothing moves any more."""
    await page.evaluate("Promise.all(document.getAnimations().map((it) => it.finished.catch(() => {})))")
    await page.evaluate(AXE.read_text())
    result = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{violation['id']}: {node['target']} {node['failureSummary']}"
        for violation in result["violations"]
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]


PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
