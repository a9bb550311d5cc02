"""What is wrong with KQL queries: syntax, names and types by Kusto's own parser; metrics, attributes and log lines by ours."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.infra.tables import TABLES
from tests.infra.telemetry_names import LOG_FIELDS, LOG_LINES, METRIC_ATTRIBUTES, METRICS, SPAN_ATTRIBUTES, SPANS

ROOT = Path(__file__).parents[2]
QUERIES = ROOT / "infra" / "queries"
ALERT_QUERIES = QUERIES / "alerts"
CHECKER = Path(__file__).with_name("check_kql.mjs")
LANGUAGE = ROOT / "node_modules" / "@kusto" / "language-service-next"

needs_kusto = pytest.mark.skipif(not shutil.which("node") or not LANGUAGE.exists(), reason="needs Node and `npm ci`")

NAMES_IN = {
    "AppMetrics": (METRICS, METRIC_ATTRIBUTES),
    "AppDependencies": (SPANS, SPAN_ATTRIBUTES),
    "AppAvailabilityResults": (frozenset({"Ready: "}), frozenset[str]()),
    "AppTraces": (frozenset[str](), LOG_FIELDS),
    "AppExceptions": (frozenset[str](), LOG_FIELDS),
}
TEXT = r"""(?:'([^']*)'|"([^"]*)")"""
NAME_COMPARED = re.compile(rf"\bName\s*(?:==|!=|startswith|has)\s*{TEXT}")
NAME_LISTED = re.compile(r"\bName\s+!?in\s*\(([^()]*)\)")
PROPERTY = re.compile(rf"\bProperties\s*\[\s*{TEXT}\s*\]")
MESSAGE_COMPARED = re.compile(rf"\b(?:Message|Line)\s*(==|startswith|has)\s*{TEXT}")


class Analysis(NamedTuple):
    """What Kusto's parser makes of a query: its faults, and the names and types of its result's columns."""

    faults: list[str]
    columns: dict[str, str]


def analyse(queries: Mapping[str, str]) -> dict[str, Analysis]:
    """Let Kusto's parser read each query."""
    asked = json.dumps({"tables": TABLES, "queries": queries})
    answer = subprocess.run(["node", CHECKER], input=asked, capture_output=True, text=True, check=True, timeout=60)
    return {name: Analysis(**found) for name, found in json.loads(answer.stdout).items()}


def name_faults(query: str) -> list[str]:
    """Return names of metrics, spans and attributes that our telemetry does not have, statement by statement."""
    faults: list[str] = []
    for statement in without_comments(query).split(";"):
        tables = [table for table in NAMES_IN if re.search(rf"\b{table}\b", statement)]
        names = frozenset[str]().union(*(NAMES_IN[table][0] for table in tables))
        attributes = frozenset[str]().union(*(NAMES_IN[table][1] for table in tables))
        if tables:
            faults += [f"no metric or span {name!r}" for name in _names(statement) if name not in names]
            faults += [f"no attribute {name!r}" for name in _texts(PROPERTY, statement) if name not in attributes]
        if ".Properties" in statement or re.search(r"\bProperties\.", statement):
            faults.append("Properties must be read as Properties['…']")
    return faults


def unknown_log_lines(query: str, source: str) -> list[str]:
    """Return the log lines in a query that the source does not write."""
    unknown = []
    for operator, first, second in MESSAGE_COMPARED.findall(without_comments(query)):
        text = first or second
        written = text in LOG_LINES if operator == "==" else (f'"{text}' if operator == "startswith" else text) in source
        if not written:
            unknown.append(text)
    return unknown


def without_comments(query: str) -> str:
    """Return the query without the lines that are comments."""
    return "\n".join(line for line in query.splitlines() if not line.lstrip().startswith("//"))


def _names(statement: str) -> Iterator[str]:
    yield from _texts(NAME_COMPARED, statement)
    for listed in NAME_LISTED.findall(statement):
        yield from _texts(re.compile(TEXT), listed)


def _texts(pattern: re.Pattern[str], statement: str) -> Iterator[str]:
    for groups in pattern.findall(statement):
        yield next((group for group in groups if group), "")
