"""The metrics, each made once and named as in docs/telemetry.md. Without a collector (see setup.py) they cost nothing.

Names follow the OpenTelemetry semantic conventions where these have one; the rest begins with ``chat.``. Durations are in
seconds. The framework adds its own, among them ``gen_ai.client.token.usage``.
"""

from __future__ import annotations

from opentelemetry import metrics

meter = metrics.get_meter("agent-chat-api")

# In seconds: a store's request takes milliseconds, a turn up to minutes.
OPERATION_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
TURN_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

turns = meter.create_counter("chat.turns", "{turn}", "Turns that have ended, by status.")
turn_duration = meter.create_histogram(
    "chat.turn.duration",
    "s",
    "From the acceptance of a message to the end of its turn.",
    explicit_bucket_boundaries_advisory=TURN_SECONDS,
)
time_to_first_text = meter.create_histogram(
    "chat.turn.time_to_first_text",
    "s",
    "From the acceptance of a message to the first text of a streamed answer.",
    explicit_bucket_boundaries_advisory=TURN_SECONDS,
)
turns_replayed = meter.create_counter("chat.turns.replayed", "{turn}", "Answers given again for a repeated Idempotency-Key.")
leases_lost = meter.create_counter("chat.leases.lost", "{lease}", "Turns that another turn took over.")

tool_calls = meter.create_counter("chat.tool.calls", "{call}", "Tool calls, by tool and outcome.")
tool_duration = meter.create_histogram(
    "chat.tool.duration", "s", "Duration of tool calls.", explicit_bucket_boundaries_advisory=OPERATION_SECONDS
)
tool_decisions = meter.create_counter(
    "chat.tool.decisions",
    "{call}",
    "Tool calls that acted or asked, by what came of it: asked, approved, refused, expired, unknown.",
)

store_duration = meter.create_histogram(
    "db.client.operation.duration",
    "s",
    "Duration of the store's operations, retries included.",
    explicit_bucket_boundaries_advisory=OPERATION_SECONDS,
)
store_charge = meter.create_histogram(
    "azure.cosmosdb.client.operation.request_charge",
    "{request_unit}",
    "Request units of the store's operations, retries included.",
    explicit_bucket_boundaries_advisory=(1, 5, 10, 25, 50, 100, 250, 500, 1000),
)
store_requests = meter.create_counter("chat.store.requests", "{request}", "Requests to Cosmos DB, by status code.")
store_retries = meter.create_counter("chat.store.retries", "{request}", "Requests to Cosmos DB that were sent again.")

limits_hit = meter.create_counter("chat.limits.hit", "{request}", "What was refused because a limit was used up.")
streams_open = meter.create_up_down_counter("chat.streams.open", "{stream}", "Responses that are being streamed.")
feedback = meter.create_counter("chat.feedback", "{rating}", "Ratings that users gave to answers.")
deliveries = meter.create_counter("chat.deliveries", "{activity}", "Activities of the bot that had to arrive, by outcome.")
