"""The names under which the app's telemetry arrives in the workspace."""

from __future__ import annotations

METRICS = frozenset(
    {
        "azure.cosmosdb.client.operation.request_charge",
        "chat.feedback",
        "chat.leases.lost",
        "chat.limits.hit",
        "chat.store.requests",
        "chat.store.retries",
        "chat.streams.open",
        "chat.tool.calls",
        "chat.tool.duration",
        "chat.turn.duration",
        "chat.turn.time_to_first_text",
        "chat.turns",
        "chat.turns.replayed",
        "db.client.operation.duration",
        "gen_ai.client.token.usage",
    }
)
METRIC_ATTRIBUTES = frozenset(
    {
        "chat.feedback.rating",
        "chat.limit",
        "chat.limit.scope",
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
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
    }
)
LOG_FIELDS = frozenset(
    {"duration_ms", "logger_name", "method", "owner_hash", "path", "request_id", "status", "thread_id", "turn_id"}
)
LOG_LINES = frozenset({"request"})
