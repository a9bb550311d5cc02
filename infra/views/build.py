"""Builds the operator's workbook and dashboard out of the queries in ``infra/queries``: ``python infra/views/build.py``."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
QUERIES = ROOT / "infra" / "queries"
WORKBOOK = ROOT / "infra" / "core" / "monitor" / "workbook.json"
DASHBOARD = ROOT / "infra" / "core" / "monitor" / "dashboard.json"
# Bicep puts the ids of the resources here.
WORKSPACE_ID = "__WORKSPACE_ID__"
WORKSPACE_TYPE = "microsoft.operationalinsights/workspaces"

Json = dict[str, Any]
Rule = tuple[str, str | None, str | None]


@dataclass(frozen=True)
class View:
    """One query on the workbook: as a table, or as a chart of its columns over ``TimeGenerated``.

    ``colours`` maps a table's column to rules (operator, value, colour), of which the first that fits colours the cell.
    """

    query: str
    title: str
    chart: str = "table"
    width: int = 100
    colours: dict[str, list[Rule]] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """One query on the dashboard; without ``y`` a table."""

    query: str
    title: str
    chart: str = "Line"
    y: tuple[tuple[str, str], ...] = ()
    split: str | None = None


TABS: dict[str, list[View]] = {
    "Overview": [
        View(
            "overview",
            "Is it well?",
            width=40,
            colours={"State": [("==", "over the limit", "redBright"), ("==", "good", "green")]},
        ),
        View("turns_by_status", "Turns by status", "barchart", 60),
        View("turn_latency", "Turn and first text, seconds", "timechart", 50),
        View("requests_over_time", "Requests by status", "barchart", 50),
    ],
    "Requests": [
        View("requests", "Requests by route", colours={"Status": [(">=", "500", "redBright"), (">=", "400", "yellow")]}),
        View(
            "readiness",
            "Readiness probes",
            width=50,
            colours={"Answer": [("==", "ready", "green"), ("==", "200", "green"), ("Default", None, "redBright")]},
        ),
        View("sign_in_failures", "Refused sign-ins", width=50),
    ],
    "Turns": [
        View("turn_times_by_status", "Turn times by status, all turns"),
        View("slowest_turns", "Slowest turns", colours={"TurnMs": [(">", "60000", "redBright"), (">", "30000", "yellow")]}),
        View("interrupted_turns", "Interrupted turns, lost leases", "barchart", 50),
        View("idempotent_replays", "Answered again", "timechart", 50),
    ],
    "One turn": [View("one_turn", "Everything about it, in order", colours={"Failed": [("==", "true", "redBright")]})],
    "Tokens and cost": [
        View("cost_over_time", "Cost of the model, USD an hour", "barchart", 50),
        View("tokens_and_cost", "Tokens and cost by hour and model", width=50),
        View("expensive_owners", "Owners with the dearest turns"),
    ],
    "Tools": [
        View("tools", "Tool calls by outcome", colours={"Outcome": [("==", "ok", "green"), ("Default", None, "redBright")]})
    ],
    "Store": [
        View("ru_over_time", "Request units by operation", "areachart", 50),
        View(
            "ru_per_turn",
            "Request units by hour and for each turn",
            width=50,
            colours={"RequestUnitsPerTurn": [(">", "80", "yellow")]},
        ),
        View("store_operations", "Operations", colours={"Failed": [(">", "0", "yellow")]}),
        View("throttling", "Throttling and retries", "barchart", 50),
        View("store_account", "What the account has seen", width=50, colours={"StatusCode": [("==", "429", "redBright")]}),
    ],
    "Errors": [
        View("failures_by_problem", "Failures by problem type", width=40),
        View(
            "errors_by_logger",
            "Warnings and errors in the log",
            width=60,
            colours={"Severity": [(">=", "3", "redBright"), ("==", "2", "yellow")]},
        ),
    ],
    "Limits": [
        View("limits_hit", "Limits hit", "barchart", 50),
        View("streams_open", "Open streams", "timechart", 50),
        View("instances", "Instances and cold starts", colours={"FirstRequestMs": [(">", "5000", "yellow")]}),
    ],
    "Users": [
        View("feedback", "Feedback by hour", "barchart"),
        View(
            "erasures_and_retention",
            "Erasures and retention",
            colours={"Severity": [(">=", "3", "redBright"), ("==", "2", "yellow")]},
        ),
    ],
}

PARTS = [
    Part("overview", "Is it well?"),
    Part("turns_by_status", "Turns by status", "StackedColumn", (("Turns", "real"),), "Status"),
    Part("requests_over_time", "Requests by status", "StackedColumn", (("Requests", "long"),), "Status"),
    Part("turn_latency", "Turn and first text, p95, s", "Line", (("TurnP95", "real"), ("FirstTextP95", "real"))),
    Part("cost_over_time", "Model, USD an hour", "StackedColumn", (("Usd", "real"),), "Model"),
    Part("tokens_and_cost", "Tokens by hour", "Line", (("InputTokens", "real"), ("OutputTokens", "real"))),
    Part("ru_over_time", "Store, request units", "StackedArea", (("RequestUnits", "real"),), "Operation"),
    Part("throttling", "Throttling and retries", "StackedColumn", (("Count", "real"),), "Kind"),
    Part("failures_by_problem", "Failures by problem type"),
    Part("tools", "Tools"),
    Part("limits_hit", "Limits hit", "StackedColumn", (("Hits", "real"),), "Limit"),
    Part("feedback", "Feedback", "StackedColumn", (("Ratings", "real"),), "Rating"),
]

# What a reader of the workbook may set, and the line of a query that it stands in for; its value there is the default.
FIELDS = {"id": "Id", "input_usd_per_million": "InputUsd", "output_usd_per_million": "OutputUsd"}
LABELS = {"Id": "Turn or request id", "InputUsd": "USD per million input tokens", "OutputUsd": "USD per million output tokens"}
TEXT, TIME_RANGE, RESOURCE = 1, 4, 5
TIME_RANGES_HOURS = (0.5, 1, 4, 12, 24, 72, 168, 720)
ENVIRONMENTS = f"""resources
| where type =~ '{WORKSPACE_TYPE}' and isnotempty(tags['azd-env-name'])
| project value = id, label = tostring(tags['azd-env-name'])
| order by label asc"""


def read_query(name: str) -> str:
    """Return the text of a query."""
    return (QUERIES / f"{name}.kql").read_text().rstrip()


def workbook() -> Json:
    """Build the workbook: its parameters, its tabs, and a group of queries for each."""
    tabs = list(TABS)
    groups = [_group(tab, views) for tab, views in TABS.items()]
    return {
        "version": "Notebook/1.0",
        "items": [
            _parameters("parameters", [_time_range(), _environment(), _text("InputUsd"), _text("OutputUsd")]),
            _tabs(tabs),
            *groups,
        ],
        "fallbackResourceIds": [WORKSPACE_ID],
        "$schema": "https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json",
    }


def dashboard() -> Json:
    """Build the dashboard's lenses: parts in three columns."""
    return {"lenses": [{"order": 0, "parts": [_part(part, place) for place, part in enumerate(PARTS)]}]}


def _id(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"agent-chat-api/{name}"))


def _line(name: str) -> re.Pattern[str]:
    return re.compile(rf"^let {name} = ('?)(.*?)'?;$", re.MULTILINE)


def _with_fields(query: str) -> str:
    for name, parameter in FIELDS.items():
        query = _line(name).sub(rf"let {name} = \1{{{parameter}}}\1;", query)
    return query


def _default(parameter: str) -> str:
    """Return the value that the queries give to a parameter's line."""
    (name,) = (name for name, its_parameter in FIELDS.items() if its_parameter == parameter)
    queries = [read_query(view.query) for views in TABS.values() for view in views]
    (value,) = {match[2] for match in map(_line(name).search, queries) if match}
    return value


def _parameter(name: str, label: str, type: int, **more: Any) -> Json:
    return {
        "id": _id(f"parameter/{name}"),
        "version": "KqlParameterItem/1.0",
        "name": name,
        "label": label,
        "type": type,
        **more,
    }


def _text(name: str) -> Json:
    return _parameter(name, LABELS[name], TEXT, isRequired=True, value=_default(name))


def _time_range() -> Json:
    ranges = [{"durationMs": int(hours * 3_600_000)} for hours in TIME_RANGES_HOURS]
    settings = {"selectableValues": ranges, "allowCustom": True}
    return _parameter("TimeRange", "Time", TIME_RANGE, isRequired=True, value={"durationMs": 86_400_000}, typeSettings=settings)


def _environment() -> Json:
    return _parameter(
        "Environment",
        "Environment",
        RESOURCE,
        isRequired=True,
        value=WORKSPACE_ID,
        query=ENVIRONMENTS,
        queryType=1,
        resourceType="microsoft.resourcegraph/resources",
        crossComponentResources=["value::all"],
        typeSettings={"additionalResourceOptions": [], "showDefault": False},
    )


def _parameters(name: str, parameters: list[Json]) -> Json:
    content = {
        "version": "KqlParameterItem/1.0",
        "parameters": parameters,
        "style": "pills",
        "queryType": 0,
        "resourceType": WORKSPACE_TYPE,
    }
    return {"type": 9, "content": content, "name": name}


def _tabs(tabs: list[str]) -> Json:
    links = [
        {
            "id": _id(f"tab/{tab}"),
            "cellValue": "Tab",
            "linkTarget": "parameter",
            "linkLabel": tab,
            "subTarget": tab,
            "style": "link",
            "preselect": tab == tabs[0],
        }
        for tab in tabs
    ]
    return {"type": 11, "content": {"version": "LinkItem/1.0", "style": "tabs", "links": links}, "name": "tabs"}


def _group(tab: str, views: list[View]) -> Json:
    items = [_view(view) for view in views]
    if tab == "One turn":
        items = [_parameters("id", [_text("Id")]), *items]
    return {
        "type": 12,
        "content": {"version": "NotebookGroup/1.0", "groupType": "editable", "items": items},
        "conditionalVisibility": {"parameterName": "Tab", "comparison": "isEqualTo", "value": tab},
        "name": tab,
    }


def _view(view: View) -> Json:
    content: Json = {
        "version": "KqlItem/1.0",
        "query": _with_fields(read_query(view.query)),
        "size": 0,
        "title": view.title,
        "timeContextFromParameter": "TimeRange",
        "showExportToExcel": view.chart == "table",
        "queryType": 0,
        "resourceType": WORKSPACE_TYPE,
        "crossComponentResources": ["{Environment}"],
        "visualization": view.chart,
    }
    if view.chart == "table":
        content["gridSettings"] = {"formatters": [_colours(*each) for each in view.colours.items()], "filter": True}
    return {"type": 3, "content": content, "customWidth": str(view.width), "name": view.query}


def _colours(column: str, rules: list[Rule]) -> Json:
    if rules[-1][0] != "Default":
        rules = [*rules, ("Default", None, None)]
    grid = [
        {"operator": operator, "thresholdValue": value, "representation": colour, "text": "{0}{1}"}
        for operator, value, colour in rules
    ]
    return {
        "columnMatch": f"^{column}$",
        "formatter": 18,
        "formatOptions": {"thresholdsOptions": "colors", "thresholdsGrid": grid},
    }


def _part(part: Part, place: int) -> Json:
    row, column = divmod(place, 3)
    inputs: Json = {
        "resourceTypeMode": "workspace",
        "ComponentId": WORKSPACE_ID,
        "Scope": {"resourceIds": [WORKSPACE_ID]},
        "PartId": _id(f"part/{part.query}"),
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


def rendered(view: Json) -> str:
    """Return a view as it stands in its file."""
    return json.dumps(view, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    WORKBOOK.write_text(rendered(workbook()))
    DASHBOARD.write_text(rendered(dashboard()))
