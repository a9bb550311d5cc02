"""Builds the operator's workbook and dashboard out of the queries in ``infra/queries``: ``python -m infra.views.build``."""

from __future__ import annotations

import json

from infra.views.catalog import ROOT, Json
from infra.views.dashboard import dashboard
from infra.views.workbook import workbook

WORKBOOK = ROOT / "infra" / "core" / "monitor" / "workbook.json"
DASHBOARD = ROOT / "infra" / "core" / "monitor" / "dashboard.json"


def rendered(view: Json) -> str:
    """Return a view as it stands in its file."""
    return json.dumps(view, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    WORKBOOK.write_text(rendered(workbook()))
    DASHBOARD.write_text(rendered(dashboard()))
