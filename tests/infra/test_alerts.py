"""The alert rules: each has its query, its page in the docs, and a threshold that the workbook shows too."""

from __future__ import annotations

import re

from tests.infra.kql import ALERT_QUERIES, QUERIES, ROOT

MONITOR = ROOT / "infra" / "core" / "monitor"
ALERTS = (MONITOR / "alerts.bicep").read_text()
DOCS = (ROOT / "docs" / "operations.md").read_text()
THRESHOLDS = dict(re.findall(r"^param (\w+) int = (\d+)$", ALERTS, re.MULTILINE))
RULE = re.compile(
    r"name: '(?P<name>[\w-]+)'\n"
    r" +title: '(?P<title>[\w ]+)'\n"
    r" +severity: \d\n"
    r" +window: '(?P<window>\w+)'\n"
    r" +query: loadTextContent\('(?P<query>[^']+)'\)\n"
    r" +threshold: (?P<threshold>\w+)\n"
    r" +todo: '.+'\n"
)
RULES = [match.groupdict() for match in RULE.finditer(ALERTS)]
# https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-create-log-alert-rule
WINDOWS = {"PT5M", "PT10M", "PT15M", "PT30M", "PT45M", "PT1H", "PT2H", "PT3H", "PT4H", "PT5H", "PT6H", "P1D", "P2D"}


def test_every_alert_query_belongs_to_one_rule() -> None:
    loaded = [(MONITOR / rule["query"]).resolve() for rule in RULES]
    assert sorted(loaded) == sorted(ALERT_QUERIES.glob("*.kql"))
    assert len(RULES) == ALERTS.count("loadTextContent")


def test_a_rule_and_its_query_have_the_same_title() -> None:
    for rule in RULES:
        assert (MONITOR / rule["query"]).read_text().startswith(f'// When: the alert "{rule["title"]}" fires: ')


def test_every_threshold_is_used_by_one_rule() -> None:
    used = [rule["threshold"] for rule in RULES] + re.findall(r"^ +threshold: (\w+PerHour)$", ALERTS, re.MULTILINE)
    assert sorted(used) == sorted(THRESHOLDS)


def test_windows_are_such_as_azure_takes() -> None:
    assert {rule["window"] for rule in RULES} <= WINDOWS


def test_every_rule_has_a_section_in_the_docs() -> None:
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^### (.+)$", DOCS, re.MULTILINE)}
    linked = re.findall(r"docs/operations\.md#([\w-]+)", ALERTS)
    assert {rule["name"] for rule in RULES} | set(linked) <= headings


def test_the_overview_shows_the_limits_at_which_alerts_fire() -> None:
    overview = (QUERIES / "overview.kql").read_text()
    limits = dict(re.findall(r"^let (\w+) = ([\d.]+);$", overview, re.MULTILINE))
    for parameter in ("serverErrorsPercent", "failedTurnsPercent", "turnP95Seconds"):
        line = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=n)(?=P95)", "_", parameter).lower()
        assert float(limits[line]) == int(THRESHOLDS[parameter]), parameter
