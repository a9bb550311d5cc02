"""The names under which the app's telemetry arrives in the workspace."""

from __future__ import annotations

from opentelemetry.metrics import Instrument

from observability import metrics

OURS = (value for value in vars(metrics).values() if isinstance(value, Instrument))
FRAMEWORK = ("gen_ai.client.token.usage",)
METRICS = frozenset((*(instrument._name for instrument in OURS), *FRAMEWORK))  # type: ignore[attr-defined]
METRIC_ATTRIBUTES = frozenset(
    {
        "chat.delivery.outcome",
        "chat.feedback.rating",
        "chat.limit",
        "chat.limit.scope",
        "chat.tool.decision",
        "chat.turn.continues",
        "chat.tool.outcome",
        "chat.turn.status",
        "db.collection.name",
        "db.operation.name",
        "db.system.name",
        "error.type",
        "gen_ai.request.model",
        "gen_ai.token.type",
        "gen_ai.tool.name",
        "http.response.status_code",
    }
)
SPANS = frozenset({"chat.turn", "chat ", "execute_tool ", "invoke_agent "})
# Those of `db.`, `http.` and `error.type` are not among a span's properties: the exporter makes columns of them or drops them.
SPAN_ATTRIBUTES = frozenset(
    {
        "azure.cosmosdb.operation.request_charge",
        "chat.owner.hash",
        "chat.thread.id",
        "chat.tool_calls",
        "chat.turn.id",
        "chat.turn.status",
        "chat.turn.time_to_first_text",
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.reasoning.output_tokens",
    }
)
LOG_FIELDS = frozenset(
    {"duration_ms", "logger_name", "method", "owner_hash", "path", "request_id", "status", "thread_id", "turn_id"}
)
LOG_LINES = frozenset({"request"})
