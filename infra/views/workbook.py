"""The operator's workbook."""

from __future__ import annotations

import re
from typing import Any

from infra.views.catalog import TABS, WORKSPACE_ID, WORKSPACE_TYPE, Json, Rule, View, read_query, stable_id

# What a reader of the workbook may set, and the line of a query that it stands in for; its value there is the default.
FIELDS = {"id": "Id", "input_usd_per_million": "InputUsd", "output_usd_per_million": "OutputUsd"}
LABELS = {"Id": "Turn or request id", "InputUsd": "USD per million input tokens", "OutputUsd": "USD per million output tokens"}
TEXT, TIME_RANGE, RESOURCE = 1, 4, 5
TIME_RANGES_HOURS = (0.5, 1, 4, 12, 24, 72, 168, 720)
ENVIRONMENTS = f"""resources
| where type =~ '{WORKSPACE_TYPE}' and isnotempty(tags['azd-env-name'])
| project value = id, label = tostring(tags['azd-env-name'])
| order by label asc"""


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
        "id": stable_id(f"parameter/{name}"),
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
            "id": stable_id(f"tab/{tab}"),
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
