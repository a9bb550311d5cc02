"""What is wrong with a workbook or a dashboard, beyond its queries: ids, parameters, tabs, columns, places."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any

from tests.infra.kql import Analysis

Json = dict[str, Any]
NUMBERS = {"int", "long", "real", "decimal"}
CHARTS = {"table", "timechart", "areachart", "barchart"}
GROUP, QUERY, PARAMETERS, LINKS = 12, 3, 9, 11


def items(workbook: Json) -> Iterator[Json]:
    """Return all items, those in groups too."""
    for item in workbook["items"]:
        yield item
        if item["type"] == GROUP:
            yield from items(item["content"])


def of_type(workbook: Json, type: int) -> list[Json]:
    return [item for item in items(workbook) if item["type"] == type]


def parameters(workbook: Json) -> dict[str, Json]:
    return {each["name"]: each for item in of_type(workbook, PARAMETERS) for each in item["content"]["parameters"]}


def workbook_queries(workbook: Json) -> dict[str, str]:
    """Return the queries by name, with each parameter's value where a query has the parameter."""
    values = {f"{{{name}}}": each["value"] for name, each in parameters(workbook).items() if isinstance(each["value"], str)}
    queries = {item["name"]: item["content"]["query"] for item in of_type(workbook, QUERY)}
    queries |= {f"parameter {name}": each["query"] for name, each in parameters(workbook).items() if "query" in each}
    for name, query in queries.items():
        for parameter, value in values.items():
            query = query.replace(parameter, value)
        queries[name] = query
    return queries


def inputs(part: Json) -> Json:
    return {each["name"]: each["value"] for each in part["metadata"]["inputs"]}


def dashboard_parts(dashboard: Json) -> dict[str, Json]:
    """Return the parts of the dashboard by title."""
    return {inputs(part)["PartTitle"]: part for lens in dashboard["lenses"] for part in lens["parts"]}


def dashboard_queries(dashboard: Json) -> dict[str, str]:
    return {title: inputs(part)["Query"] for title, part in dashboard_parts(dashboard).items()}


def workbook_faults(workbook: Json, analyses: dict[str, Analysis]) -> list[str]:
    faults = [f"{name}: twice" for name in doubles(item["name"] for item in items(workbook))]
    faults += [f"{id}: twice" for id in doubles(re.findall(r'"id": "([^"]+)"', json.dumps(workbook)))]
    known = parameters(workbook)
    for item in of_type(workbook, QUERY):
        faults += [f"{item['name']}: {fault}" for fault in query_item_faults(item["content"], known, analyses[item["name"]])]
    tabs = [link["subTarget"] for item in of_type(workbook, LINKS) for link in item["content"]["links"]]
    groups = [item["conditionalVisibility"]["value"] for item in of_type(workbook, GROUP)]
    if tabs != groups:
        faults.append(f"tabs {tabs} show groups {groups}")
    if [link["preselect"] for item in of_type(workbook, LINKS) for link in item["content"]["links"]].count(True) != 1:
        faults.append("not one tab is open at first")
    return faults


def query_item_faults(content: Json, known: dict[str, Json], found: Analysis) -> Iterator[str]:
    if not content["query"].strip():
        yield "no query"
    if content["timeContextFromParameter"] not in known or known[content["timeContextFromParameter"]]["type"] != 4:
        yield "no time range"
    used = re.findall(r"'?\{(\w+)\}'?", content["query"]) + [each.strip("{}") for each in content["crossComponentResources"]]
    yield from (f"no parameter {name}" for name in used if name not in known)
    if content["visualization"] not in CHARTS:
        yield f"no chart {content['visualization']}"
    if content["visualization"] != "table" and not is_over_time(found):
        yield "not over time"
    for formatter in content.get("gridSettings", {}).get("formatters", []):
        if formatter["columnMatch"].strip("^$") not in found.columns:
            yield f"no column {formatter['columnMatch']}"
        *rules, last = formatter["formatOptions"]["thresholdsGrid"]
        if last["operator"] != "Default" or any(rule["operator"] == "Default" for rule in rules):
            yield "the default is not the last rule"


def dashboard_faults(dashboard: Json, analyses: dict[str, Analysis]) -> list[str]:
    parts = dashboard_parts(dashboard)
    faults = [f"{id}: twice" for id in doubles(inputs(part)["PartId"] for part in parts.values())]
    for (first, one), (second, other) in combinations(parts.items(), 2):
        if overlap(one["position"], other["position"]):
            faults.append(f"{first} lies over {second}")
    for title, part in parts.items():
        given, columns = inputs(part), analyses[title].columns
        if not given["TimeRange"] or given["IsQueryContainTimeRange"]:
            faults.append(f"{title}: no time range")
        if (given["ControlType"] == "FrameControlChart") != ("Dimensions" in given):
            faults.append(f"{title}: a chart has dimensions, a table none")
        for axis in axes(given.get("Dimensions", {})):
            if columns.get(axis["name"]) != axis["type"]:
                faults.append(f"{title}: no {axis['type']} column {axis['name']}")
    return faults


def axes(dimensions: Json) -> Iterator[Json]:
    if dimensions:
        yield from (dimensions["xAxis"], *dimensions["yAxis"], *dimensions["splitBy"])


def overlap(one: Json, other: Json) -> bool:
    return all(
        one[start] < other[start] + other[span] and other[start] < one[start] + one[span]
        for start, span in (("x", "colSpan"), ("y", "rowSpan"))
    )


def is_over_time(found: Analysis) -> bool:
    return found.columns.get("TimeGenerated") == "datetime" and bool(NUMBERS & set(found.columns.values()))


def doubles(values: Iterable[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]
