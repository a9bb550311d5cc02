"""When a request to Cosmos DB is worth sending again, and after how long."""

from __future__ import annotations

import random

from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosHttpResponseError

BACKOFF_SECONDS = 0.05
RETRY_AFTER_MS = "x-ms-retry-after-ms"
TRANSIENT_STATUSES = {408, 410, 429, 449, 500, 502, 503, 504}


def backoff(attempt: int) -> float:
    """Return how many seconds to wait after an attempt, counted from 1, if nobody asks for more."""
    return BACKOFF_SECONDS * 2.0**attempt * random.uniform(0.5, 1)  # noqa: S311 - spreads retries, keeps no secret


def retry_after(error: CosmosHttpResponseError | CosmosBatchOperationError) -> float:
    """Return how many seconds Cosmos DB asked to wait; a batch's failed operation says it for itself."""
    asked = [float((error.headers or {}).get(RETRY_AFTER_MS, 0))]
    for result in getattr(error, "operation_responses", None) or ():
        asked.append(float(result.get("retryAfterMilliseconds", 0)))
    return max(asked) / 1000
