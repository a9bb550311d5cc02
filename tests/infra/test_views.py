"""The workbook and the dashboard: what is committed is what the queries make, whole and without fault."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.views import build as build_views
from infra.views.catalog import WORKSPACE_ID
from infra.views.dashboard import dashboard
from infra.views.workbook import workbook
from tests.infra.kql import QUERIES, Analysis, analyse, name_faults, needs_kusto
from tests.infra.views_checks import (
    QUERY,
    Json,
    dashboard_faults,
    dashboard_queries,
    inputs,
    of_type,
    parameters,
    workbook_faults,
    workbook_queries,
)

WORKBOOK: Json = json.loads(build_views.WORKBOOK.read_text())
DASHBOARD: Json = json.loads(build_views.DASHBOARD.read_text())


@pytest.fixture(scope="module")
def of_workbook() -> dict[str, Analysis]:
    return analyse(workbook_queries(WORKBOOK))


@pytest.fixture(scope="module")
def of_dashboard() -> dict[str, Analysis]:
    return analyse(dashboard_queries(DASHBOARD))


@pytest.mark.parametrize(("path", "build"), [(build_views.WORKBOOK, workbook), (build_views.DASHBOARD, dashboard)])
def test_what_is_committed_is_what_the_queries_make(path: Path, build: Callable[[], Json]) -> None:
    assert path.read_text() == build_views.rendered(build()), "run `python -m infra.views.build`"


@needs_kusto
def test_every_query_of_the_workbook_is_correct(of_workbook: dict[str, Analysis]) -> None:
    assert {name: found.faults for name, found in of_workbook.items() if found.faults} == {}


@needs_kusto
def test_every_query_of_the_dashboard_is_correct(of_dashboard: dict[str, Analysis]) -> None:
    assert {name: found.faults for name, found in of_dashboard.items() if found.faults} == {}


def test_every_name_in_a_view_is_one_of_our_telemetry() -> None:
    queries = [*workbook_queries(WORKBOOK).values(), *dashboard_queries(DASHBOARD).values()]
    assert [fault for query in queries for fault in name_faults(query)] == []


def test_every_query_is_on_the_workbook() -> None:
    assert {item["name"] for item in of_type(WORKBOOK, QUERY)} == {path.stem for path in QUERIES.glob("*.kql")}


def test_readers_choose_time_environment_turn_and_prices() -> None:
    assert set(parameters(WORKBOOK)) == {"TimeRange", "Environment", "Id", "InputUsd", "OutputUsd"}
    queries = "".join(item["content"]["query"] for item in of_type(WORKBOOK, QUERY))
    for line in (
        "let id = '{Id}';",
        "let input_usd_per_million = {InputUsd};",
        "let output_usd_per_million = {OutputUsd};",
    ):
        assert line in queries
    assert parameters(WORKBOOK)["InputUsd"]["value"] == "2.5"


@needs_kusto
def test_the_workbook_has_no_fault(of_workbook: dict[str, Analysis]) -> None:
    assert workbook_faults(WORKBOOK, of_workbook) == []


@needs_kusto
def test_the_dashboard_has_no_fault(of_dashboard: dict[str, Analysis]) -> None:
    assert dashboard_faults(DASHBOARD, of_dashboard) == []


def test_no_view_names_a_resource_of_ours() -> None:
    for path in (build_views.WORKBOOK, build_views.DASHBOARD):
        assert "/subscriptions/" not in path.read_text()
        assert WORKSPACE_ID in path.read_text()


def change_query(workbook: Json, **changes: object) -> None:
    of_type(workbook, QUERY)[0]["content"].update(changes)


WORKBOOK_BREAKS: dict[str, Callable[[Json], object]] = {
    "no query": lambda it: change_query(it, query=" "),
    "no time range": lambda it: change_query(it, timeContextFromParameter="Environment"),
    "no parameter Nowhere": lambda it: change_query(it, crossComponentResources=["{Nowhere}"]),
    "no parameter Price": lambda it: change_query(it, query="print {Price}"),
    "no chart piechart": lambda it: change_query(it, visualization="piechart"),
    "not over time": lambda it: change_query(it, visualization="timechart"),
    "no column ^Stat$": lambda it: of_type(it, QUERY)[0]["content"]["gridSettings"]["formatters"][0].update(
        columnMatch="^Stat$"
    ),
    "overview: twice": lambda it: of_type(it, QUERY)[1].update(name="overview"),
    "show groups": lambda it: it["items"].pop(),
    "not one tab": lambda it: it["items"][1]["content"]["links"][1].update(preselect=True),
}


@needs_kusto
@pytest.mark.parametrize("fault", WORKBOOK_BREAKS)
def test_faults_of_a_workbook_are_found(fault: str, of_workbook: dict[str, Analysis]) -> None:
    broken = copy.deepcopy(WORKBOOK)
    WORKBOOK_BREAKS[fault](broken)
    assert any(fault in found for found in workbook_faults(broken, of_workbook))


@needs_kusto
def test_a_fault_in_a_query_of_a_workbook_is_found() -> None:
    broken = copy.deepcopy(WORKBOOK)
    parameters(broken)["Environment"]["query"] = "resources | project nmae"
    change_query(broken, query="AppMetrics | where Nam == 'chat.turns'")
    found = analyse(workbook_queries(broken))
    assert len(found["parameter Environment"].faults) == len(found["overview"].faults) == 1


def set_input(dashboard: Json, name: str, value: object) -> None:
    (found,) = [each for each in dashboard["lenses"][0]["parts"][1]["metadata"]["inputs"] if each["name"] == name]
    found["value"] = value


DASHBOARD_BREAKS: dict[str, Callable[[Json], object]] = {
    "lies over": lambda it: it["lenses"][0]["parts"][1]["position"].update(x=5),
    "twice": lambda it: set_input(it, "PartId", inputs(it["lenses"][0]["parts"][0])["PartId"]),
    "no time range": lambda it: set_input(it, "TimeRange", None),
    "a table none": lambda it: set_input(it, "ControlType", "AnalyticsGrid"),
    "no long column Turns": lambda it: inputs(it["lenses"][0]["parts"][1])["Dimensions"]["yAxis"][0].update(type="long"),
    "no string column Stat": lambda it: inputs(it["lenses"][0]["parts"][1])["Dimensions"]["splitBy"][0].update(name="Stat"),
}


@needs_kusto
@pytest.mark.parametrize("fault", DASHBOARD_BREAKS)
def test_faults_of_a_dashboard_are_found(fault: str, of_dashboard: dict[str, Analysis]) -> None:
    broken = copy.deepcopy(DASHBOARD)
    DASHBOARD_BREAKS[fault](broken)
    assert any(fault in found for found in dashboard_faults(broken, of_dashboard))
