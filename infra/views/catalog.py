"""What the operator's views show: which query, in which form, under which title."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
QUERIES = ROOT / "infra" / "queries"
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
        View("tools", "Tool calls by outcome", colours={"Outcome": [("==", "ok", "green"), ("Default", None, "redBright")]}),
        View("decisions", "Calls that asked or acted", colours={"Decision": [("==", "unknown", "redBright")]}),
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
        View("deliveries", "Deliveries of the bot", "barchart"),
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


def read_query(name: str) -> str:
    """Return the text of a query."""
    return (QUERIES / f"{name}.kql").read_text().rstrip()


def stable_id(name: str) -> str:
    """Return an id that is the same each time the views are built."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"agent-chat-api/{name}"))
