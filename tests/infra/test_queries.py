"""The operator's queries: they parse, and every table, column, metric, attribute and log line in them exists."""

from __future__ import annotations

import re

import pytest

from tests.infra.kql import QUERIES, ROOT, analyse, name_faults, needs_kusto, unknown_log_lines
from tests.infra.telemetry_names import METRICS

FILES = sorted(QUERIES.rglob("*.kql"))
TEXTS = {str(path.relative_to(QUERIES)): path.read_text() for path in FILES}
APART = {".venv", ".venv-checkov", "node_modules", "infra", "scripts", "tests"}
APP = (path for path in ROOT.rglob("*.py") if not APART & set(path.parts))
SOURCE = "\n".join(path.read_text() for path in sorted(APP))


@needs_kusto
def test_every_query_is_correct() -> None:
    assert {name: found.faults for name, found in analyse(TEXTS).items() if found.faults} == {}


FAULTS = {
    "AppMetrics | where Nmae == 'chat.turns'": "'Nmae' does not refer to any known column",
    "AppMetric | take 1": "'AppMetric' does not refer to any known table",
    "AppMetrics | summarise count()": "Query operator expected",
    "AppMetrics\n| summarize sum(Name)": "2: The argument value must be summable",
    "AppMetrics | summarize Value = sum(Sum) | project Valeu": "'Valeu' does not refer to any known column",
    "AppTraces | where SeverityLevel >= 3 | extend X = percentile95(ItemCount)": "'percentile95' does not refer",
    "AppTraces | summarize count(": "Expected",
}


@needs_kusto
def test_faults_of_the_language_are_found() -> None:
    for query, found in analyse({query: query for query in FAULTS}).items():
        assert any(FAULTS[query] in fault for fault in found.faults), query


@pytest.mark.parametrize("name", TEXTS)
def test_every_name_in_a_query_is_one_of_our_telemetry(name: str) -> None:
    assert name_faults(TEXTS[name]) == []


@pytest.mark.parametrize(
    "query",
    [
        "AppMetrics | where Name == 'chat.turn'",
        "AppMetrics | where Name in ('chat.turns', 'chat.turns.replaid')",
        "AppMetrics | where tostring(Properties['chat.turn.state']) == 'failed'",
        "AppDependencies | where Name == 'chat.turn' and tostring(Properties['error.type']) == 'busy'",
        "AppDependencies | where Name startswith 'tool '",
        'AppTraces | where Properties["requestId"] == "x"',
        "let a = AppMetrics | count; AppTraces | where tostring(Properties['chat.limit']) == 'x'",
        "AppTraces | where Properties.path == '/'",
    ],
)
def test_names_that_do_not_exist_are_found(query: str) -> None:
    assert len(name_faults(query)) == 1


@pytest.mark.parametrize("name", TEXTS)
def test_every_log_line_in_a_query_is_written_by_the_code(name: str) -> None:
    assert unknown_log_lines(TEXTS[name], SOURCE) == []


@pytest.mark.parametrize(
    "line", ["== 'reqest'", "startswith 'sign-in denied: '", "startswith 'refused: '", "has 'threads erased in which'"]
)
def test_a_log_line_that_nobody_writes_is_found(line: str) -> None:
    query = f"AppTraces | where Message == 'request' or Message startswith 'sign-in refused: ' or Message {line}"
    assert unknown_log_lines(query, SOURCE) == [line.split("'")[1]]


@pytest.mark.parametrize("name", TEXTS)
def test_a_query_says_when_to_use_it_and_leaves_the_time_to_its_reader(name: str) -> None:
    assert TEXTS[name].startswith("// When: ")
    assert not re.search(r"TimeGenerated\s*(>|between)", TEXTS[name]) or name == "alerts/no_turns.kql"


def test_every_metric_is_shown_by_some_query() -> None:
    assert {metric for metric in METRICS if not any(f"'{metric}'" in text for text in TEXTS.values())} == set()


@needs_kusto
def test_every_alert_query_gives_one_number() -> None:
    alerts = {name: text for name, text in TEXTS.items() if name.startswith("alerts/")}
    for name, found in analyse(alerts).items():
        assert found.columns in ({"Value": "real"}, {"Value": "long"}), name


def test_operators_find_every_query_in_the_docs() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    assert [name for name in TEXTS if "/" not in name and f"`{name}`" not in page] == []
