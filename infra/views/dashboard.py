"""The dashboard of the last day."""

from __future__ import annotations

from infra.views.catalog import PARTS, WORKSPACE_ID, Json, Part, read_query, stable_id


def dashboard() -> Json:
    """Build the dashboard's lenses: parts in three columns."""
    return {"lenses": [{"order": 0, "parts": [_part(part, place) for place, part in enumerate(PARTS)]}]}


def _part(part: Part, place: int) -> Json:
    row, column = divmod(place, 3)
    inputs: Json = {
        "resourceTypeMode": "workspace",
        "ComponentId": WORKSPACE_ID,
        "Scope": {"resourceIds": [WORKSPACE_ID]},
        "PartId": stable_id(f"part/{part.query}"),
        "Version": "2.0",
        "TimeRange": "P1D",
        "Query": read_query(part.query),
        "ControlType": "FrameControlChart" if part.y else "AnalyticsGrid",
        "PartTitle": part.title,
        "PartSubTitle": f"infra/queries/{part.query}.kql",
        "IsQueryContainTimeRange": False,
    }
    if part.y:
        inputs["SpecificChart"] = part.chart
        inputs["Dimensions"] = {
            "xAxis": {"name": "TimeGenerated", "type": "datetime"},
            "yAxis": [{"name": name, "type": kind} for name, kind in part.y],
            "splitBy": [{"name": part.split, "type": "string"}] if part.split else [],
            "aggregation": "Sum",
        }
        inputs["LegendOptions"] = {"isEnabled": True, "position": "Bottom"}
    return {
        "position": {"x": 6 * column, "y": 4 * row, "colSpan": 6, "rowSpan": 4},
        "metadata": {
            "inputs": [{"name": name, "value": value, "isOptional": True} for name, value in inputs.items()],
            "type": "Extension/Microsoft_OperationsManagementSuite_Workspace/PartType/LogsDashboardPart",
            "settings": {},
        },
    }
