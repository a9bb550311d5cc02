"""What the pages in docs/ name is there: tests, logs, queries, and the other pages."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_faults_name_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs/faults.md").read_text()))
    texts = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    there = {name for text in texts for name in re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE)}
    assert len(named) > 50
    assert named - there == set()


def test_the_logs_that_the_pages_name_are_modules() -> None:
    text = "".join((ROOT / "docs" / name).read_text() for name in ("faults.md", "operations.md"))
    named = {
        name
        for line in re.findall(r"the log of (`[\w.`]+(?:\s(?:or|and)\s`[\w.]+`)?)", text)
        for name in re.findall(r"[\w.]{4,}", line)
    }
    assert len(named) >= 6
    assert [name for name in sorted(named) if not (ROOT / f"{name.replace('.', '/')}.py").is_file()] == []


def test_the_queries_that_the_pages_name_exist() -> None:
    text = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    named = set(re.findall(r"`(\w+\.kql)`", text))
    assert named - {path.name for path in (ROOT / "infra" / "queries").rglob("*.kql")} == set()


def test_links_between_the_pages_lead_somewhere() -> None:
    pages = {page: page.read_text() for page in [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]}
    dead = []
    for page, text in pages.items():
        for file, anchor in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([\w-]+))?\)", text):
            target = (page.parent / file).resolve() if file else page
            if not target.exists() or (anchor and target in pages and anchor not in _anchors(pages[target])):
                dead.append(f"{page.relative_to(ROOT)}: {file}#{anchor}")
    assert dead == []


def _anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
